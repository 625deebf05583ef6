import { createHash } from 'node:crypto';
import { createSHA1 } from 'hash-wasm';
import * as v from 'valibot';
import { type Deadline, DeadlineExceeded } from '../deadline.ts';
import { StorageUnavailable } from '../errors.ts';
import { reportProgress } from '../progress.ts';
import { type HashCheckpoint, type ObjectVersion, Sha1 } from '../schemas.ts';
import { READ_BYTES, releaseBuffer } from './buffer-pool.ts';
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

export type HashResult = { sha1: Sha1 } | { checkpoint: HashCheckpoint };

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
  from?: HashCheckpoint,
  reading = READING,
): Promise<HashResult> {
  const fits = pin.size / MIN_THROUGHPUT < deadline.remaining();
  const { hash, start, createCheckpoint } =
    !from && fits ? createCryptoHasher() : await createWasmHasher(from);
  let offset = start;
  let error: unknown;
  reportProgress({ stage: 'hash', pin, from: start, done: start });
  try {
    const parts = ranges(offset, pin.size, reading.bytes);
    const reads = prefetch(parts, reading.concurrency, read, deadline.signal, releaseBuffer);
    for await (const { result } of reads) {
      hash.update(result);
      releaseBuffer(result);
      offset += result.byteLength;
      reportProgress({ stage: 'hash', pin, from: start, done: offset });
      if (offset < pin.size && !deadline.hasTimeFor(0)) break;
    }
  } catch (caught) {
    error = caught;
  }
  if (offset === pin.size) return { sha1: v.parse(Sha1, hash.digest('hex')) };
  const isTemporary =
    error === undefined || error instanceof DeadlineExceeded || error instanceof StorageUnavailable;
  if (isTemporary && offset > start) return { checkpoint: createCheckpoint(offset) };
  throw error ?? new DeadlineExceeded(`the time limit of ${deadline.limit} ms was over`);
}

type Hasher = Readonly<{
  hash: { update(bytes: Uint8Array): unknown; digest(encoding: 'hex'): string };
  /** The offset of the first byte to hash. */
  start: number;
  createCheckpoint(offset: number): HashCheckpoint;
}>;

const createCryptoHasher = (): Hasher => ({
  hash: createHash('sha1'),
  start: 0,
  createCheckpoint: () => ({ offset: 0, state: '' }),
});

/** Continues from the checkpoint. Starts at 0 without one, or when another build of hash-wasm made it. */
async function createWasmHasher(from?: HashCheckpoint): Promise<Hasher> {
  const hash = (await createSHA1()).init();
  let start = 0;
  if (from?.state) {
    try {
      hash.load(Buffer.from(from.state, 'base64'));
      start = from.offset;
    } catch {
      hash.init();
    }
  }
  const save = (): string => Buffer.from(hash.save()).toString('base64');
  return { hash, start, createCheckpoint: (offset) => ({ offset, state: save() }) };
}
