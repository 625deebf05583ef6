import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { READ_BYTES, readBuffer, releaseBuffer } from '../../../lib/upload/buffer-pool.ts';
import { type LoadedPart, type RangeReader, readParts } from '../../../lib/upload/part-reader.ts';
import { never } from '../../support/values.ts';

const PART_SIZE = 5 * READ_BYTES + 1000;
const BOUNDS = { size: PART_SIZE + 3, partSize: PART_SIZE };

/** Reads a byte that depends on the offset, so that pieces differ. */
const read: RangeReader = async ({ offset, size }, _, into) => {
  await nextTurn();
  return (into ?? Buffer.alloc(size)).subarray(0, size).fill((offset / READ_BYTES) % 251);
};

async function load(parts: number[], reader = read): Promise<LoadedPart[]> {
  const loaded: LoadedPart[] = [];
  for await (const part of readParts(parts, BOUNDS, reader, never)) loaded.push(part);
  return loaded;
}

const streamOf = ({ body }: LoadedPart): AsyncIterable<Uint8Array> => {
  if (body instanceof Uint8Array) throw new Error('expected a stream');
  return body();
};

test('a part that is larger than a buffer is a stream of pieces, which can be read again', async () => {
  const [first, last] = await load([0, 1]);
  if (!first || !last) throw new Error('expected two parts');
  for (let attempt = 0; attempt < 2; attempt++) {
    const pieces: [size: number, byte: number | undefined][] = [];
    for await (const piece of streamOf(first)) pieces.push([piece.length, piece[0]]);
    expect(pieces).toEqual([...[0, 1, 2, 3, 4].map((n) => [READ_BYTES, n]), [1000, 5]]);
  }
  const rest: number[] = [];
  for await (const piece of streamOf(last)) rest.push(piece.length);
  expect(rest).toEqual([3]);
});

test('a piece stays as it is until the second piece after it is asked for', async () => {
  const [part] = await load([0]);
  if (!part) throw new Error('expected a part');
  const recent: { piece: Uint8Array; byte: number | undefined }[] = [];
  for await (const piece of streamOf(part)) {
    recent.push({ piece, byte: piece[0] });
    await nextTurn();
    for (const { piece: kept, byte } of recent.slice(-2)) expect(kept[kept.length - 1]).toBe(byte);
  }
  expect(recent).toHaveLength(6);
});

test('all buffers return to the pool, also when a stream is left early or a read fails', async () => {
  const failing: RangeReader = async (range, signal, into) => {
    if (range.offset >= 2 * READ_BYTES) throw new Error('broken');
    return read(range, signal, into);
  };
  for (let round = 0; round < 4; round++) {
    const [part] = await load([0]);
    const [broken] = await load([0], failing);
    if (!part || !broken) throw new Error('expected parts');
    for await (const _ of streamOf(part)) break;
    await expect(async () => {
      for await (const _ of streamOf(broken));
    }).rejects.toThrow('broken');
  }
  const all = Array.from({ length: 8 }, () =>
    readBuffer(READ_BYTES, AbortSignal.timeout(5000), async (into) => into),
  );
  for (const buffer of await Promise.all(all)) releaseBuffer(buffer);
});
