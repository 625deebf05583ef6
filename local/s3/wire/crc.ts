import { crc32 } from 'node:zlib';

/** A running digest. A `Hash` of `node:crypto` is one too. */
export type Digest = Readonly<{ update: (bytes: Buffer) => unknown; digest: () => Buffer }>;

/*
 * Node provides CRC-32 only. The other two are defaults of common clients (AWS CLI: CRC64NVME), and storing a checksum
 * without verifying it would be worse than storing none.
 */

export function startCrc32(): Digest {
  let crc = 0;
  return {
    update(bytes) {
      crc = crc32(bytes, crc);
    },
    digest: () => bigEndian(crc),
  };
}

/** CRC-32C (Castagnoli), reflected. */
export function startCrc32c(): Digest {
  let crc = 0xffffffff;
  return {
    update(bytes) {
      for (const byte of bytes) crc = (crc >>> 8) ^ (CRC32C[(crc ^ byte) & 0xff] ?? 0);
    },
    digest: () => bigEndian(~crc >>> 0),
  };
}

/** CRC-64/NVME, reflected, as two halves of 32 bits. BigInt would be about 20 times slower. */
export function startCrc64nvme(): Digest {
  let low = 0xffffffff;
  let high = 0xffffffff;
  return {
    update(bytes) {
      for (const byte of bytes) {
        const at = (low ^ byte) & 0xff;
        low = ((low >>> 8) | (high << 24)) ^ (CRC64_LOW[at] ?? 0);
        high = (high >>> 8) ^ (CRC64_HIGH[at] ?? 0);
      }
    },
    digest: () => Buffer.concat([bigEndian(~high >>> 0), bigEndian(~low >>> 0)]),
  };
}

const CRC32C = Uint32Array.from({ length: 256 }, (_, at) => Number(remainder(BigInt(at), 0x82f63b78n)));
const CRC64 = Array.from({ length: 256 }, (_, at) => remainder(BigInt(at), 0x9a6c9329ac4bc9b5n));
const CRC64_LOW = Uint32Array.from(CRC64, (entry) => Number(entry & 0xffffffffn));
const CRC64_HIGH = Uint32Array.from(CRC64, (entry) => Number(entry >> 32n));

function remainder(value: bigint, polynomial: bigint): bigint {
  let rest = value;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1n ? (rest >> 1n) ^ polynomial : rest >> 1n;
  return rest;
}

function bigEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
