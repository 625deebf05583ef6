import { createCRC64, type IHasher } from 'hash-wasm';
import type { PartRun, UploadBounds } from '../schemas.ts';

/**
 * The two 64-bit CRCs of the pipeline: `crc64`, which COS computes (`x-cos-hash-crc64ecma`), and `nvme`, which S3 computes
 * (`x-amz-checksum-crc64nvme`). Both are reflected, and start and end with all bits inverted, so one arithmetic fits both.
 * https://reveng.sourceforge.io/crc-catalogue/17plus.htm
 */
const POLYNOMIALS = { crc64: 'c96c5795d7870f42', nvme: '9a6c9329ac4bc9b5' } as const;
export type Crc64Kind = keyof typeof POLYNOMIALS;

/** Both CRCs of the same bytes. */
export type Crcs = Readonly<Record<Crc64Kind, bigint>>;

/** Both CRCs of no bytes. */
export const NO_CRCS: Crcs = { crc64: 0n, nvme: 0n };

export const createCrc64Hasher = (kind: Crc64Kind): Promise<IHasher> => createCRC64(POLYNOMIALS[kind]);

/** Creates a function that computes both CRCs of a piece. `appendCrcs` joins pieces, so streams can share one function. */
export async function createCrcCalculator(): Promise<(bytes: Uint8Array) => Crcs> {
  const hashers = { crc64: await createCrc64Hasher('crc64'), nvme: await createCrc64Hasher('nvme') };
  const compute = (hasher: IHasher, bytes: Uint8Array): bigint =>
    parseHex(hasher.init().update(bytes).digest('hex'));
  return (bytes) => ({ crc64: compute(hashers.crc64, bytes), nvme: compute(hashers.nvme, bytes) });
}

/** The CRCs of `a` followed by `b`, which has `lengthOfB` bytes. */
export const appendCrcs = (a: Crcs, b: Crcs, lengthOfB: number): Crcs => ({
  crc64: combineCrc64('crc64', a.crc64, b.crc64, lengthOfB),
  nvme: combineCrc64('nvme', a.nvme, b.nvme, lengthOfB),
});

/**
 * Computes the CRC of `a` followed by `b` from their CRCs and the length of `b`, as `crc32_combine` of zlib does: appending n
 * bytes multiplies the CRC by x^8n modulo the polynomial.
 */
export function combineCrc64(kind: Crc64Kind, a: bigint, b: bigint, lengthOfB: number): bigint {
  return FIELDS[kind].multiply(a, FIELDS[kind].powerOfBytes(lengthOfB)) ^ b;
}

/** A polynomial over GF(2): bit 31 of `high` is the coefficient of x^0, bit 0 of `low` that of x^63. */
type Polynomial = Readonly<{ high: number; low: number }>;

const toHalves = (value: bigint): Polynomial => ({
  high: Number(value >> 32n) | 0,
  low: Number(value & 0xffff_ffffn) | 0,
});
const fromHalves = ({ high, low }: Polynomial): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);

/** Arithmetic modulo one polynomial. In 32-bit halves it is about twenty times as fast as with BigInt. */
function createField(modulus: Polynomial) {
  function multiply(a: Polynomial, b: Polynomial): Polynomial {
    let { high, low } = b;
    let productHigh = 0;
    let productLow = 0;
    for (let bit = 0; bit < 64; bit++) {
      const coefficient = bit < 32 ? a.high >>> (31 - bit) : a.low >>> (63 - bit);
      const mask = -(coefficient & 1);
      productHigh ^= high & mask;
      productLow ^= low & mask;
      const overflow = -(low & 1);
      low = ((low >>> 1) | (high << 31)) ^ (modulus.low & overflow);
      high = (high >>> 1) ^ (modulus.high & overflow);
    }
    return { high: productHigh, low: productLow };
  }

  /** x^8, x^16, x^32…: the factors for 1, 2, 4… bytes. */
  const squares: Polynomial[] = [{ high: 1 << 23, low: 0 }];
  for (let last = squares[0]; last && squares.length < 53; squares.push(last)) last = multiply(last, last);

  let lastLength = 0;
  let lastPower: Polynomial = { high: 1 << 31, low: 0 };

  /** Most parts of an object have the same length. */
  function powerOfBytes(length: number): Polynomial {
    if (length === lastLength) return lastPower;
    let power: Polynomial = { high: 1 << 31, low: 0 };
    let rest = length;
    for (const square of squares) {
      if (rest % 2 === 1) power = multiply(power, square);
      rest = Math.floor(rest / 2);
      if (rest === 0) break;
    }
    lastLength = length;
    lastPower = power;
    return power;
  }

  return {
    multiply: (a: bigint, b: Polynomial): bigint => fromHalves(multiply(toHalves(a), b)),
    powerOfBytes,
  };
}

const parseHex = (hex: string): bigint => BigInt(`0x${hex}`);
const toHex = (crc: bigint): string => crc.toString(16).padStart(16, '0');

const FIELDS: Readonly<Record<Crc64Kind, ReturnType<typeof createField>>> = {
  crc64: createField(toHalves(parseHex(POLYNOMIALS.crc64))),
  nvme: createField(toHalves(parseHex(POLYNOMIALS.nvme))),
};

type PartSizes = Pick<UploadBounds, 'size' | 'partSize'>;

/** The run of a single part. */
export const runOfPart = (part: number, { crc64, nvme }: Crcs): PartRun => ({
  first: part,
  count: 1,
  crc64: toHex(crc64),
  nvme: toHex(nvme),
});

export const crcsOfRun = ({ crc64, nvme }: PartRun): Crcs => ({
  crc64: parseHex(crc64),
  nvme: parseHex(nvme),
});

/**
 * Joins runs that follow each other. The result is ascending and as short as possible. If two runs have a part in
 * common, the one that starts earlier stays, or else the longer one. Parts that only the other one has then belong to no run.
 */
export function mergeRuns(runs: Iterable<PartRun>, sizes: PartSizes): PartRun[] {
  const merged: PartRun[] = [];
  for (const run of [...runs].sort((a, b) => a.first - b.first || b.count - a.count)) {
    const last = merged.at(-1);
    const end = last ? last.first + last.count : 0;
    if (run.first < end) continue;
    if (last && run.first === end) merged[merged.length - 1] = joinRuns(last, run, sizes);
    else merged.push(run);
  }
  return merged;
}

function joinRuns(a: PartRun, b: PartRun, { size, partSize }: PartSizes): PartRun {
  const end = Math.min(size, (b.first + b.count) * partSize);
  const crcs = appendCrcs(crcsOfRun(a), crcsOfRun(b), end - b.first * partSize);
  return { ...runOfPart(a.first, crcs), count: a.count + b.count };
}

/** The CRCs of the whole object, or undefined if the runs lack parts of it. */
export function crcsOfObject(runs: Iterable<PartRun>, sizes: PartSizes): Crcs | undefined {
  const [run, ...others] = mergeRuns(runs, sizes);
  const isWhole = run?.first === 0 && others.length === 0 && run.count * sizes.partSize >= sizes.size;
  return isWhole ? crcsOfRun(run) : undefined;
}
