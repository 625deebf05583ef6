import { createHash } from 'node:crypto';
import { createSHA1, type IHasher } from 'hash-wasm';
import * as v from 'valibot';
import { StorageUnavailable } from '../errors.ts';
import { type Deadline, DeadlineExceeded } from '../invocation/deadline.ts';
import { reportProgress } from '../invocation/progress.ts';
import { Crc64, type HashCheckpoint, type ObjectVersion, Sha1 } from '../schemas.ts';
import { READ_BYTES, releaseBuffer } from './buffer-pool.ts';
import { createCrc64Hasher } from './crc64.ts';
import { type ByteRange, ranges } from './plan.ts';
import { prefetch } from './prefetch.ts';

/**
 * Reads in flight. One S3 connection delivers about 85 MB/s after some 30 ms, which is 65 MB/s with reads of 8 MiB. Seven
 * connections deliver more than a CPU can hash.
 */
const READING = { bytes: READ_BYTES, concurrency: 7 };

/** Bytes per millisecond that every usable link reaches. An object that fits the remaining time at this rate surely fits. */
const MIN_THROUGHPUT = 40_000;

export type RangeReader = (range: ByteRange, signal: AbortSignal) => Promise<Uint8Array>;

/** `needsCrc64`: compute the CRC64NVME as well, from the same reads. */
type HashOptions = Readonly<{
  from?: HashCheckpoint | undefined;
  needsCrc64?: boolean;
  reading?: typeof READING;
}>;

/** `crc64` is missing if the checkpoint that the pass continued from has none. */
export type HashResult = { sha1: Sha1; crc64?: string } | { checkpoint: HashCheckpoint };

/**
 * Hashes an object in order, with prefetched ranged reads. When the time runs low, it returns a checkpoint of about 100
 * bytes, from which a later invocation continues. It also does so after a temporary S3 error, if it hashed any bytes.
 *
 * node:crypto is fastest, but has no checkpoints; hash-wasm has. node:crypto hashes objects that surely fit the remaining time.
 * If one does not fit after all, its checkpoint restarts the pass with hash-wasm. This costs time, but never a wrong result.
 * @throws {DeadlineExceeded} {StorageUnavailable} when no bytes were hashed; other errors of `read`
 */
export async function hashObject(
  pin: ObjectVersion,
  read: RangeReader,
  deadline: Deadline,
  { from, needsCrc64 = false, reading = READING }: HashOptions = {},
): Promise<HashResult> {
  const fits = pin.size / MIN_THROUGHPUT < deadline.remaining();
  const crc64 = needsCrc64 ? (await createCrc64Hasher('nvme')).init() : undefined;
  const hasher = !from && fits ? createCryptoHasher(crc64) : await createWasmHasher(crc64, from);
  const { start } = hasher;
  let offset = start;
  let error: unknown;
  reportProgress({ stage: 'hash', pin, from: start, done: start });
  try {
    const parts = ranges(offset, pin.size, reading.bytes);
    const reads = prefetch(parts, reading.concurrency, read, deadline.signal, releaseBuffer);
    for await (const { result } of reads) {
      hasher.update(result);
      releaseBuffer(result);
      offset += result.byteLength;
      reportProgress({ stage: 'hash', pin, from: start, done: offset });
      if (offset < pin.size && !deadline.hasTimeFor(0)) break;
    }
  } catch (caught) {
    error = caught;
  }
  if (offset === pin.size) return hasher.digest();
  const isTemporary =
    error === undefined || error instanceof DeadlineExceeded || error instanceof StorageUnavailable;
  if (isTemporary && offset > start) return { checkpoint: hasher.createCheckpoint(offset) };
  throw error ?? new DeadlineExceeded(`the time limit of ${deadline.limit} ms was over`);
}

type Hasher = Readonly<{
  /** The offset of the first byte to hash. */
  start: number;
  update(bytes: Uint8Array): void;
  digest(): { sha1: Sha1; crc64?: string };
  createCheckpoint(offset: number): HashCheckpoint;
}>;

function createCryptoHasher(crc64: IHasher | undefined): Hasher {
  const sha1 = createHash('sha1');
  return {
    start: 0,
    update(bytes) {
      sha1.update(bytes);
      crc64?.update(bytes);
    },
    digest: () => digestsOf(sha1, crc64),
    createCheckpoint: () => ({ offset: 0, state: '' }),
  };
}

/** Continues from the checkpoint. Starts at 0 without one, or when another build of hash-wasm made it. */
async function createWasmHasher(newCrc64: IHasher | undefined, from?: HashCheckpoint): Promise<Hasher> {
  const sha1 = (await createSHA1()).init();
  let crc64 = newCrc64;
  let start = 0;
  if (from?.state) {
    try {
      load(sha1, from.state);
      if (from.crc64 === undefined) crc64 = undefined;
      else if (crc64) load(crc64, from.crc64);
      start = from.offset;
    } catch {
      sha1.init();
      crc64 = newCrc64?.init();
    }
  }
  return {
    start,
    update(bytes) {
      sha1.update(bytes);
      crc64?.update(bytes);
    },
    digest: () => digestsOf(sha1, crc64),
    createCheckpoint: (offset) => ({ offset, state: save(sha1), ...(crc64 && { crc64: save(crc64) }) }),
  };
}

const digestsOf = (sha1: { digest(encoding: 'hex'): string }, crc64: IHasher | undefined) => ({
  sha1: v.parse(Sha1, sha1.digest('hex')),
  ...(crc64 && { crc64: v.parse(Crc64, Buffer.from(crc64.digest('binary')).toString('base64')) }),
});

const save = (hasher: IHasher): string => Buffer.from(hasher.save()).toString('base64');
const load = (hasher: IHasher, state: string): IHasher => hasher.load(Buffer.from(state, 'base64'));
