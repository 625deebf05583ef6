import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidInput } from '../../../lib/errors.ts';
import type { UploadBounds } from '../../../lib/schemas.ts';
import {
  decodeBatch,
  encodeBatch,
  groupForReading,
  type HeldPart,
  MAX_BATCHES,
  MAX_PLAN_BYTES,
  MIN_BATCH_PARTS,
  missingParts,
  partCount,
  partRange,
  planBatches,
  ranges,
} from '../../../lib/upload/plan.ts';
import { createRandom, MIB } from '../../support/values.ts';

/** An object of up to 2,000 parts. */
const anyBounds = fc
  .record({ partSize: fc.integer({ min: 1, max: MIB }), parts: fc.integer({ min: 1, max: 2000 }) })
  .chain(({ partSize, parts }) =>
    fc
      .integer({ min: 1, max: partSize })
      .map((last): UploadBounds => ({ size: (parts - 1) * partSize + last, partSize })),
  );

const anyParts = (most = 5000) =>
  fc
    .oneof(
      fc.uniqueArray(fc.nat(most), { minLength: 1, maxLength: 300 }),
      fc
        .tuple(fc.nat(most), fc.nat(300))
        .map(([first, n]) => Array.from({ length: n + 1 }, (_, i) => first + i)),
    )
    .map((parts) => parts.sort((a, b) => a - b));

/** The end of consecutive ranges, or NaN if they have a gap. */
const endOf = (list: readonly { offset: number; size: number }[], start = 0): number =>
  list.reduce((end, { offset, size }) => (offset === end ? end + size : Number.NaN), start);

/** An object, the held parts, and entries that match no part. */
const anyHeld = anyBounds.chain((bounds) => {
  const part = fc.nat(partCount(bounds) - 1);
  const entry = (offset: number, dataSize: number): HeldPart => ({ offset, dataSize });
  const { size, partSize } = bounds;
  return fc.record({
    bounds: fc.constant(bounds),
    held: fc.uniqueArray(part, { maxLength: 300 }),
    odd: fc.array(
      fc.oneof(
        part.map((n) => entry(n * partSize, partRange(n, bounds).size + 1)),
        part.map((n) => entry(n * partSize, 0)),
        part.map((n) => entry(n * partSize + 0.5, partSize)),
        part.map((n) => entry(n * partSize + 1, partSize - 1)),
        fc.nat(9).map((n) => entry((partCount(bounds) + n) * partSize, partSize)),
        fc.constant(entry(size, 0)),
      ),
      { maxLength: 20 },
    ),
  });
});

test('partRange covers the object exactly once, in order', () => {
  fc.assert(
    fc.property(anyBounds, (bounds) => {
      const cover = Array.from({ length: partCount(bounds) }, (_, part) => partRange(part, bounds));
      expect(cover).toEqual([...ranges(0, bounds.size, bounds.partSize)]);
      expect(endOf(cover)).toBe(bounds.size);
      expect(cover.every(({ size }, n) => size === bounds.partSize || n === cover.length - 1)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test('ranges start at any offset, and no range is empty', () => {
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(5000), fc.integer({ min: 1, max: 700 }), (offset, size, step) => {
      const list = [...ranges(offset, size, step)];
      expect(endOf(list, offset)).toBe(Math.max(offset, size));
      expect(list.every((range) => range.size >= 1 && range.size <= step)).toBe(true);
    }),
  );
});

test('missingParts returns the parts that are not held, and ignores entries that match no part', () => {
  fc.assert(
    fc.property(anyHeld, ({ bounds, held, odd }) => {
      const entries = held.map((part) => {
        const { offset, size: dataSize } = partRange(part, bounds);
        return { offset, dataSize };
      });
      const all = Array.from({ length: partCount(bounds) }, (_, part) => part);
      expect(missingParts([...odd, ...entries], bounds)).toEqual(all.filter((part) => !held.includes(part)));
    }),
  );
});

describe('planBatches', () => {
  test('divides the missing parts into at most 400 batches of about equal work', () => {
    fc.assert(
      fc.property(
        fc.oneof(anyParts(), anyParts(200_000), fc.constant([])),
        fc.integer({ min: 1, max: 100 }),
        (missing, functions) => {
          const { batches, hasMore } = planBatches(missing, functions);
          const planned = batches.flatMap(decodeBatch);
          expect(planned).toEqual(missing.slice(0, planned.length));
          expect(planned.length < missing.length).toBe(hasMore === true);
          expect(JSON.stringify(batches).length).toBeLessThanOrEqual(MAX_PLAN_BYTES + 2);
          expect(batches.length).toBeLessThanOrEqual(MAX_BATCHES);
          const work = batches.map((batch) => decodeBatch(batch).length);
          expect(new Set(work.slice(0, -1)).size).toBeLessThanOrEqual(1);
          expect(Math.max(0, ...work)).toBeLessThanOrEqual(
            Math.max(
              MIN_BATCH_PARTS,
              Math.ceil(missing.length / (4 * functions)),
              Math.ceil(missing.length / MAX_BATCHES),
            ),
          );
        },
      ),
    );
  });

  test('encodes any ascending set of parts so that decodeBatch returns it', () => {
    fc.assert(
      fc.property(anyParts(1_000_000), (parts) => {
        expect(decodeBatch(encodeBatch(parts))).toEqual(parts);
      }),
    );
  });

  test('encodes consecutive parts as their bounds only', () => {
    expect(encodeBatch([7, 8, 9])).toEqual({ first: 7, count: 3 });
    expect(Object.keys(encodeBatch([7, 9]))).toEqual(['first', 'count', 'missing']);
    expect(() => encodeBatch([])).toThrow(RangeError);
  });

  const TERABYTE: UploadBounds = { size: 2 ** 40, partSize: MIB };

  test.each([0.05, 0.95])('fits 1 TB into a state, with a share of %f of its parts missing', (share) => {
    const random = createRandom(20_261_121);
    const all = Array.from({ length: partCount(TERABYTE) }, (_, part) => part);
    const missing = all.filter(() => random() < share);
    const { batches, hasMore } = planBatches(missing, 4);
    expect(hasMore).toBe(undefined);
    expect(JSON.stringify(batches).length).toBeLessThan(0.4 * 256 * 1024);
    expect(batches.length).toBeLessThanOrEqual(MAX_BATCHES);
    // `toEqual` would take a second.
    const packed = (parts: number[]) => Buffer.from(Uint32Array.from(parts).buffer);
    expect(packed(batches.flatMap(decodeBatch)).equals(packed(missing))).toBe(true);
  });
});

test('planBatches leaves parts that do not fit one state to a bounded number of rounds', () => {
  const random = createRandom(7);
  let left = Array.from({ length: 5_000_000 }, (_, part) => part).filter(() => random() < 0.5);
  let rounds = 0;
  for (let hasMore: true | undefined = true; hasMore; rounds++) {
    const plan = planBatches(left, 4);
    expect(JSON.stringify(plan.batches).length).toBeLessThanOrEqual(MAX_PLAN_BYTES + 2);
    left = left.slice(plan.batches.reduce((sum, batch) => sum + decodeBatch(batch).length, 0));
    hasMore = plan.hasMore;
  }
  expect(left).toEqual([]);
  expect(rounds).toBeLessThan(20);
});

describe('decodeBatch', () => {
  const anyText = fc.oneof(
    fc.string({ minLength: 1 }),
    fc.base64String({ minLength: 1, maxLength: 400 }),
    fc.uint8Array({ maxLength: 2000 }).map((bytes) => deflateRawSync(bytes).toString('base64')),
    fc.tuple(anyParts(), fc.nat(), fc.string({ minLength: 1, maxLength: 1 })).map(([parts, at, char]) => {
      const text = encodeBatch([...parts, (parts.at(-1) ?? 0) + 2]).missing ?? '';
      return text.slice(0, at % text.length) + char + text.slice((at % text.length) + 1);
    }),
  );

  test('rejects a damaged list, or returns parts within the bounds of the batch', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 3000 }), anyText, (first, count, missing) => {
        let parts: number[] = [];
        try {
          parts = decodeBatch({ first, count, missing });
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidInput);
        }
        expect(parts).toEqual([...new Set(parts)].sort((a, b) => a - b));
        expect(parts.every((part) => part >= first && part < first + count)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  const encodeBitmap = (bitmap: Uint8Array): string => deflateRawSync(bitmap).toString('base64');

  test.each([
    ['is much longer than the count', Buffer.alloc(64 * MIB)],
    ['is a byte longer than the count', Buffer.alloc(14)],
    ['is a byte shorter than the count', Buffer.alloc(12)],
    ['is empty', Buffer.alloc(0)],
  ])('rejects a list that %s', (_, bitmap) => {
    expect(() => decodeBatch({ first: 3, count: 100, missing: encodeBitmap(bitmap) })).toThrow(InvalidInput);
  });

  test('rejects a count above any batch before it fills the memory', () => {
    const missing = encodeBitmap(Buffer.alloc(2 ** 18, 0xff)); // 2 ** 21 parts
    for (const batch of [
      { count: Number.MAX_SAFE_INTEGER },
      { count: 2 ** 30 },
      { count: 2 ** 21, missing },
      { count: Number.MAX_SAFE_INTEGER, missing },
      { count: 2 ** 30, missing: encodeBitmap(Buffer.alloc(2 ** 27)) },
    ])
      expect(() => decodeBatch({ first: 0, ...batch })).toThrow(InvalidInput);
  });

  test('accepts scattered parts of the largest object in the smallest parts', () => {
    const parts = [0, 50e12 / (MIB / 2) - 1].map(Math.floor);
    expect(decodeBatch(encodeBatch(parts))).toEqual(parts);
  });
});

test('groupForReading covers exactly the parts, with consecutive reads of at most the read size', () => {
  fc.assert(
    fc.property(
      anyParts(),
      fc.integer({ min: 1, max: 16 }),
      fc.integer({ min: 1, max: MIB }),
      (parts, times, partSize) => {
        const bounds = { size: 6000 * partSize, partSize };
        const maxBytes = times * partSize + Math.floor(partSize / 2);
        const groups = groupForReading(parts, bounds, maxBytes);
        expect(groups.flat()).toEqual(parts);
        for (const group of groups) {
          expect(group.length * partSize).toBeLessThanOrEqual(maxBytes);
          expect(group.every((part, n) => part === (group[0] ?? 0) + n)).toBe(true);
        }
        const joinable = groups.filter((group, n) => {
          const before = groups[n - 1];
          return before?.at(-1) === (group[0] ?? 0) - 1 && before.length < times;
        });
        expect(joinable).toEqual([]);
      },
    ),
  );
});

test('groupForReading reads a part alone that is larger than the read size', () => {
  expect(groupForReading([1, 2], { size: 4 * MIB, partSize: MIB }, 10)).toEqual([[1], [2]]);
});
