import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { InvalidInput } from '../errors.ts';
import { type Batch, truncate, type UploadBounds } from '../schemas.ts';

/** Bytes `offset` to `offset + size - 1`. */
export type ByteRange = Readonly<{ offset: number; size: number }>;

/** A part that VOD holds, as `InitUpload` lists it. */
export type HeldPart = Readonly<{ offset: number; dataSize: number }>;

/** Bounds the state and the history of an execution, whatever the size of the object. */
export const MAX_BATCHES = 400;

/** Half of the 256 KiB that a state can have. The rest is for the request, the object version, and the totals of the batches. */
export const MAX_PLAN_BYTES = 128 * 1024;

/** The most parts that a batch sends. 400 such batches hold more parts than the largest object has. */
export const MAX_BATCH_PARTS = 2 ** 20;

/** The numbers of parts below are of this size. */
const PART_BYTES = 1024 ** 2;

/** The fewest parts that are worth an invocation. */
export const MIN_BATCH_PARTS = 256;

/** Batches for each concurrent function: some finish earlier than others, and take another batch. */
const BATCHES_PER_FUNCTION = 4;

/** Larger batches save transitions of the state machine, but smaller ones keep all functions busy until the end. */
const IDEAL_BATCH_PARTS = 2_048;

/** Enough for the largest object, 50 TB, in the smallest parts, 512 KiB. */
const MAX_BITMAP_BYTES = 16 * 1024 * 1024;

export const partCount = ({ size, partSize }: UploadBounds): number => Math.ceil(size / partSize);

/** The bytes of part number `part`, which starts at 0. Only the last part may be shorter than the part size. */
export function partRange(part: number, { size, partSize }: UploadBounds): ByteRange {
  const offset = part * partSize;
  return { offset, size: Math.min(partSize, size - offset) };
}

/** Divides the bytes from `offset` to the end of the object into consecutive ranges of at most `step` bytes. */
export function* ranges(offset: number, size: number, step: number): Generator<ByteRange> {
  for (let at = offset; at < size; at += step) yield { offset: at, size: Math.min(step, size - at) };
}

/** The numbers of the parts to send, ascending. Entries that do not match a part of this upload are ignored: that part is sent again. */
export function missingParts(held: Iterable<HeldPart>, bounds: UploadBounds): number[] {
  const isHeld = new Uint8Array(partCount(bounds));
  for (const { offset, dataSize } of held) {
    const part = offset / bounds.partSize;
    if (Number.isInteger(part) && part < isHeld.length && partRange(part, bounds).size === dataSize) {
      isHeld[part] = 1;
    }
  }
  const missing: number[] = [];
  for (const [part, flag] of isHeld.entries()) if (!flag) missing.push(part);
  return missing;
}

/**
 * Divides the missing parts (ascending) into batches of about equal work. When they are too scattered for one state, the
 * batches hold only the first of them, and `hasMore` leaves the rest to the next round.
 * @param functions those that send batches concurrently
 * @param partSize larger parts make batches of fewer parts
 */
export function planBatches(
  missing: readonly number[],
  functions: number,
  partSize = PART_BYTES,
): { batches: Batch[]; hasMore?: true } {
  const evenSize = Math.ceil(missing.length / (functions * BATCHES_PER_FUNCTION));
  const scale = Math.max(1, partSize / PART_BYTES);
  const batchSize = Math.max(
    Math.ceil(MIN_BATCH_PARTS / scale),
    Math.min(Math.ceil(IDEAL_BATCH_PARTS / scale), evenSize),
    Math.ceil(missing.length / MAX_BATCHES),
  );
  const batches: Batch[] = [];
  let bytes = 0;
  for (let at = 0; at < missing.length; at += batchSize) {
    const batch = encodeBatch(missing.slice(at, at + batchSize));
    bytes += JSON.stringify(batch).length + 1;
    if (bytes > MAX_PLAN_BYTES) return { batches, hasMore: true };
    batches.push(batch);
  }
  return { batches };
}

/** Encodes the numbers of the parts to send (ascending, at least one). @throws {RangeError} without a part */
export function encodeBatch(parts: readonly number[]): Batch {
  const [first, last] = [parts.at(0), parts.at(-1)];
  if (first === undefined || last === undefined) throw new RangeError('a batch needs at least one part');
  const count = last - first + 1;
  if (count === parts.length) return { first, count };
  // One bit per part, 1 for a part to send; deflated; base64.
  const bitmap = new Uint8Array(Math.ceil(count / 8));
  for (const part of parts) {
    const bit = part - first;
    bitmap[bit >> 3] = (bitmap[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return { first, count, missing: deflateRawSync(bitmap, { level: 9 }).toString('base64') };
}

/** The numbers of the parts that a batch sends, ascending. @throws {InvalidInput} for a damaged list, or too many parts */
export function decodeBatch({ first, count, missing }: Batch): number[] {
  const bitmap = missing === undefined ? undefined : inflateBitmap(first, count, missing);
  const parts: number[] = [];
  for (let bit = 0; bit < count; bit++) {
    if (bitmap && ((bitmap[bit >> 3] ?? 0) & (1 << (bit & 7))) === 0) continue;
    // A wrong count must neither fill the memory nor take time.
    if (parts.length === MAX_BATCH_PARTS || (!bitmap && count > MAX_BATCH_PARTS))
      throw new InvalidInput(
        `batch from part ${first}: expected at most ${MAX_BATCH_PARTS} parts, got more.`,
      );
    parts.push(first + bit);
  }
  return parts;
}

function inflateBitmap(first: number, count: number, missing: string): Uint8Array {
  const size = Math.ceil(count / 8);
  try {
    const maxOutputLength = Math.min(size, MAX_BITMAP_BYTES);
    const bitmap = inflateRawSync(Buffer.from(missing, 'base64'), { maxOutputLength });
    if (bitmap.length === size) return bitmap;
    throw new RangeError(`expected ${size} bytes, got ${bitmap.length}`);
  } catch (cause) {
    const problem = `expected a list of ${count} parts, got ${truncate(missing, 40)}`;
    throw new InvalidInput(`batch from part ${first}: ${problem}.`, { cause });
  }
}

/** Groups parts (ascending), so that each group fits one ranged read of at most `maxBytes`. */
export function groupForReading(
  parts: readonly number[],
  bounds: UploadBounds,
  maxBytes: number,
): number[][] {
  const perRead = Math.max(1, Math.floor(maxBytes / bounds.partSize));
  const groups: number[][] = [];
  for (const part of parts) {
    const group = groups.at(-1);
    if (group && group.length < perRead && group.at(-1) === part - 1) group.push(part);
    else groups.push([part]);
  }
  return groups;
}
