import type { UploadBounds } from '../schemas.ts';
import { READ_BYTES, readBuffer, releaseBuffer } from './buffer-pool.ts';
import { type ByteRange, groupForReading, partRange, ranges } from './plan.ts';
import { prefetch } from './prefetch.ts';

/** Ranged reads in flight, of several parts each, while earlier parts are sent. */
const READS_AHEAD = 2;

export type RangeReader = (range: ByteRange, signal: AbortSignal, into?: Uint8Array) => Promise<Uint8Array>;

/**
 * `read` reads the bytes again, for another attempt. `bytes` is part of a shared buffer, or a stream: the receiver calls `release`
 * when it no longer reads them.
 */
export type LoadedPart = Readonly<{
  part: number;
  range: ByteRange;
  body: Uint8Array | (() => AsyncIterable<Uint8Array>);
  release: () => void;
}>;

/** Reads parts in order and ahead. Parts that are larger than a buffer are read while they are sent. */
export async function* readParts(
  parts: readonly number[],
  upload: UploadBounds,
  read: RangeReader,
  signal: AbortSignal,
): AsyncGenerator<LoadedPart> {
  if (upload.partSize <= READ_BYTES) return yield* readBufferedParts(parts, upload, read, signal);
  for (const part of parts) {
    signal.throwIfAborted();
    const range = partRange(part, upload);
    yield { part, range, body: () => streamRange(range, read, signal), release: () => {} };
  }
}

/** Consecutive parts share one request and one buffer. */
async function* readBufferedParts(
  parts: readonly number[],
  upload: UploadBounds,
  read: RangeReader,
  signal: AbortSignal,
): AsyncGenerator<LoadedPart> {
  const groups = groupForReading(parts, upload, READ_BYTES);
  const spanOf = (group: readonly number[]): ByteRange => ({
    offset: partRange(group[0] ?? 0, upload).offset,
    size: group.reduce((sum, part) => sum + partRange(part, upload).size, 0),
  });
  const readGroup = (group: number[], aborted: AbortSignal) => {
    const span = spanOf(group);
    return readBuffer(span.size, aborted, (into) => read(span, aborted, into));
  };
  const reads = prefetch(groups, READS_AHEAD, readGroup, signal, releaseBuffer);
  for await (const { item: group, result: buffer } of reads) {
    const { offset: start } = spanOf(group);
    let users = 1; // this loop, and each part that it yielded
    const release = (): void => {
      if (--users === 0) releaseBuffer(buffer);
    };
    try {
      for (const part of group) {
        const range = partRange(part, upload);
        const from = range.offset - start;
        users++;
        yield { part, range, body: buffer.subarray(from, from + range.size), release };
      }
    } finally {
      release();
    }
  }
}

/**
 * Reads a range in pieces of a buffer each. A stream asks for the next piece while it sends the one before. So a piece is
 * released only when the second piece after it is asked for.
 */
async function* streamRange(
  { offset, size }: ByteRange,
  read: RangeReader,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const pieces = ranges(offset, offset + size, READ_BYTES);
  const readPiece = (piece: ByteRange, aborted: AbortSignal) =>
    readBuffer(piece.size, aborted, (into) => read(piece, aborted, into));
  const sending: Uint8Array[] = [];
  try {
    for await (const { item, result } of prefetch(pieces, 1, readPiece, signal, releaseBuffer)) {
      sending.push(result);
      if (sending.length > 2) releaseBuffer(sending.shift() ?? result);
      yield result.subarray(0, item.size);
    }
  } finally {
    for (const piece of sending) releaseBuffer(piece);
  }
}
