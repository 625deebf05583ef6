import { createCRC64 } from 'hash-wasm';

/**
 * CRC-64/XZ, the checksum in `x-cos-hash-crc64ecma`: reflected, with all ones as the initial value and the final XOR. Its text
 * is decimal. Combining is written here and not imported from `lib`, so that the service checks the pipeline independently.
 */
const POLYNOMIAL = 'c96c5795d7870f42';

/** A running CRC. `digest` returns it in decimal. */
export async function startCrc64(): Promise<{ update: (bytes: Buffer) => void; digest: () => string }> {
  const hasher = await createCRC64(POLYNOMIAL);
  return {
    update: (bytes) => void hasher.update(bytes),
    digest: () => BigInt(`0x${hasher.digest()}`).toString(),
  };
}

/** The CRC of the concatenation of parts, from the CRC and the length in bytes of each. */
export const combineCrc64 = (parts: readonly Readonly<{ crc64: string; size: number }>[]): string =>
  parts.reduce((crc, part) => multiply(powerOfX(part.size), crc) ^ BigInt(part.crc64), 0n).toString();

// Polynomials over GF(2) modulo that of the CRC. They are reflected: the highest bit is the coefficient of x^0.
const MODULUS = BigInt(`0x${POLYNOMIAL}`);
const ONE = 1n << 63n;
const X_TO_THE_8 = ONE >> 8n;

function multiply(a: bigint, b: bigint): bigint {
  let product = 0n;
  let shifted = b;
  for (let bit = ONE; bit > 0n; bit >>= 1n) {
    if (a & bit) product ^= shifted;
    shifted = shifted & 1n ? (shifted >> 1n) ^ MODULUS : shifted >> 1n;
  }
  return product;
}

/** By length in bytes. Most parts of an upload have the same length. */
const powers = new Map<number, bigint>();

/** Returns x^(8 · bytes): multiplying by it appends as many zero bytes. */
function powerOfX(bytes: number): bigint {
  const known = powers.get(bytes);
  if (known !== undefined) return known;
  let power = ONE;
  let square = X_TO_THE_8;
  for (let rest = BigInt(bytes); rest > 0n; rest >>= 1n) {
    if (rest & 1n) power = multiply(power, square);
    square = multiply(square, square);
  }
  if (powers.size > 1000) powers.clear();
  powers.set(bytes, power);
  return power;
}
