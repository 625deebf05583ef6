import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { InvalidInput } from '../errors.ts';
import type { Batch, UploadBounds } from '../schemas.ts';

/** Bytes `offset` to `offset + size - 1`. */
export type ByteRange = Readonly<{ offset: number; size: number }>;

/** A part that the service says it holds, as `InitUpload` lists it. */
export type HeldPart = Readonly<{ offset: number; dataSize: number }>;

/** Largest number of batches: it bounds the state passed on and the history events, whatever the size of the object. */
export const MAX_BATCHES = 400;

/** Of the 256 KiB that a state may be: the request, its pin, and the batches' results need room as well. */
export const MAX_PLAN_BYTES = 128 * 1024;

/** Most parts that one batch has to send: 400 of them are more than the largest object has. */
export const MAX_BATCH_PARTS = 2 ** 20;

/** Fewest parts worth an invocation of their own. */
export const MIN_BATCH_PARTS = 256;

export const partCount = ({ size, partSize }: UploadBounds): number => Math.ceil(size / partSize);

/** The bytes of part `part` (0-based); only the last part may be shorter than the part size. */
export function partRange(part: number, { size, partSize }: UploadBounds): ByteRange {
  const offset = part * partSize;
  return { offset, size: Math.min(partSize, size - offset) };
}

/** Consecutive ranges of at most `step` bytes that cover `offset` to `size` exactly, in order. */
export function* ranges(offset: number, size: number, step: number): Generator<ByteRange> {
  for (let at = offset; at < size; at += step) yield { offset: at, size: Math.min(step, size - at) };
}

/** Part numbers still to be sent. An entry of the list that is no part of this plan counts as not held: it is sent again. */
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
 * Cuts the missing parts (ascending) into batches of about the same work. Together they hold exactly those parts; or, where
 * holes are so many that their list would outgrow the state, the first of them, and `more`: the rest is for the next round.
 */
export function planBatches(missing: readonly number[]): { batches: Batch[]; hasMore?: true } {
  const batchSize = Math.max(MIN_BATCH_PARTS, Math.ceil(missing.length / MAX_BATCHES));
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

/** The batch that holds exactly these parts (ascending, at least one). */
export function encodeBatch(parts: readonly number[]): Batch {
  const [first, last] = [parts.at(0), parts.at(-1)];
  if (first === undefined || last === undefined) throw new RangeError('a batch needs at least one part');
  const count = last - first + 1;
  return count === parts.length ? { first, count } : { first, count, missing: encodeParts(parts) };
}

/** The parts to send of a batch, ascending. */
export function decodeBatch({ first, count, missing }: Batch): number[] {
  const assertBatchSize = (parts: number): void => {
    // Looked at before it is filled: a count that lies must not fill the memory.
    if (parts > MAX_BATCH_PARTS)
      throw new InvalidInput(`batch from part ${first}: expected at most ${MAX_BATCH_PARTS} parts to send`);
  };
  if (missing === undefined) {
    assertBatchSize(count);
    return Array.from({ length: count }, (_, n) => first + n);
  }
  const parts: number[] = [];
  let at = first;
  let toSend = true;
  for (const run of decodeParts(missing)) {
    if (at + run > first + count)
      throw new InvalidInput(`batch from part ${first}: runs past its ${count} parts`);
    if (toSend) {
      assertBatchSize(parts.length + run);
      for (let n = 0; n < run; n++) parts.push(at + n);
    }
    at += run;
    toSend = !toSend;
  }
  if (at !== first + count)
    throw new InvalidInput(`batch from part ${first}: runs end before its ${count} parts`);
  return parts;
}

/** Groups parts (ascending) into stretches that one ranged read of at most `maxBytes` serves. */
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

/** Run lengths, first of missing, then of held parts, and so on, as LEB128 numbers; deflated; base64. */
function encodeParts(parts: readonly number[]): string {
  const bytes: number[] = [];
  const put = (run: number): void => {
    let rest = run;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    bytes.push(rest);
  };
  let start = parts[0] ?? 0;
  let end = start;
  for (const part of parts) {
    if (part > end) {
      put(end - start);
      put(part - end);
      start = part;
    }
    end = part + 1;
  }
  put(end - start);
  return deflateRawSync(Uint8Array.from(bytes), { level: 9 }).toString('base64');
}

function* decodeParts(packed: string): Generator<number> {
  let run = 0;
  let weight = 1;
  for (const byte of inflate(packed)) {
    run += (byte & 127) * weight;
    weight *= 128;
    if (byte < 128) {
      yield run;
      run = 0;
      weight = 1;
    }
  }
}

function inflate(packed: string): Uint8Array {
  try {
    // 2 bytes a run at most for a batch of the largest object; far more than that is not ours.
    return inflateRawSync(Buffer.from(packed, 'base64'), { maxOutputLength: 4 * 1024 * 1024 });
  } catch (cause) {
    throw new InvalidInput(`batch: its list of missing parts cannot be read: ${packed.slice(0, 40)}`, {
      cause,
    });
  }
}
