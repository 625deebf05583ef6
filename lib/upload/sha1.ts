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
 * How many reads are in flight: one S3 connection gives about 85 MB/s and answers after some 30 ms, so that reads of 8 MiB
 * come at 65 MB/s on each; seven of them bring more than a processor hashes.
 */
const READING = { bytes: READ_BYTES, ahead: 7 };

/** Slower than any link worth planning for, bytes per millisecond: what surely fits the time left at this pace. */
const MIN_THROUGHPUT = 40_000;

export type RangeReader = (range: ByteRange, signal: AbortSignal) => Promise<Uint8Array>;

export type HashResult = { sha1: Sha1 } | { checkpoint: HashCheckpoint };

/**
 * The SHA-1 of an object by ordered, prefetched ranged reads; or, when the time nears its end, a checkpoint of about
 * 100 bytes from which a later invocation goes on.
 *
 * Two engines: node:crypto is fastest but cannot be interrupted; hash-wasm can. An object that surely fits the time left
 * goes to the first. If that guess was wrong the checkpoint starts over with the second: it costs time, never the result.
 * A passing fault of S3 is handed over in the same way, as long as anything was hashed.
 * @throws {DeadlineExceeded} {StorageUnavailable} when nothing was, and whatever else a read throws
 */
export async function hashObject(
  pin: ObjectVersion,
  read: RangeReader,
  deadline: Deadline,
  from?: HashCheckpoint,
  reading = READING,
): Promise<HashResult> {
  const fits = pin.size / MIN_THROUGHPUT < deadline.remaining();
  const { hasher, start } = !from && fits ? { hasher: cryptoHasher(), start: 0 } : await wasmHasher(from);
  let offset = start;
  let fault: unknown;
  reportProgress({ stage: 'hash', pin, from: start, done: start });
  try {
    const reads = prefetch(
      ranges(offset, pin.size, reading.bytes),
      reading.ahead,
      read,
      deadline.signal,
      releaseBuffer,
    );
    for await (const { result } of reads) {
      hasher.update(result);
      releaseBuffer(result);
      offset += result.byteLength;
      reportProgress({ stage: 'hash', pin, from: start, done: offset });
      if (offset < pin.size && !deadline.hasTimeFor(0)) break;
    }
  } catch (error) {
    fault = error;
  }
  if (offset === pin.size) return { sha1: v.parse(Sha1, hasher.digest()) };
  const isPassing =
    fault === undefined || fault instanceof DeadlineExceeded || fault instanceof StorageUnavailable;
  if (isPassing && offset > start) return { checkpoint: hasher.checkpoint(offset) };
  throw fault ?? new DeadlineExceeded(`the time limit of ${deadline.limit} ms was over`);
}

type Hasher = {
  update(bytes: Uint8Array): void;
  digest(): string;
  checkpoint(offset: number): HashCheckpoint;
};

function cryptoHasher(): Hasher {
  const hash = createHash('sha1');
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest('hex'),
    checkpoint: () => ({ offset: 0, state: '' }),
  };
}

/** Goes on from the checkpoint; from the beginning where there is none, or where it is of another build of the engine. */
async function wasmHasher(from?: HashCheckpoint): Promise<{ hasher: Hasher; start: number }> {
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
  const hasher: Hasher = {
    update: (bytes) => void hash.update(bytes),
    digest: () => hash.digest('hex'),
    checkpoint: (offset) => ({ offset, state: Buffer.from(hash.save()).toString('base64') }),
  };
  return { hasher, start };
}
