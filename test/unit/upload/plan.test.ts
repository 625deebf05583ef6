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
import { MIB, sha1 } from '../../support/values.ts';

const SHA1 = sha1('');

/** An object of up to 2,000 parts. */
const anyBounds = fc
  .record({ partSize: fc.integer({ min: 1, max: MIB }), parts: fc.integer({ min: 1, max: 2000 }) })
  .chain(({ partSize, parts }) =>
    fc
      .integer({ min: 1, max: partSize })
      .map((last): UploadBounds => ({ sha1: SHA1, size: (parts - 1) * partSize + last, partSize })),
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

/** An object, parts of it that are held, and entries of a list that are no parts of it. */
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

test('the parts cover the object exactly once, in order', () => {
  fc.assert(
    fc.property(anyBounds, (bounds) => {
      const cover = Array.from({ length: partCount(bounds) }, (_, part) => partRange(part, bounds));
      expect(cover).toEqual([...ranges(0, bounds.size, bounds.partSize)]);
      expect(cover.reduce((end, { offset, size }) => (offset === end ? end + size : Number.NaN), 0)).toBe(
        bounds.size,
      );
      expect(cover.every(({ size }, n) => size === bounds.partSize || n === cover.length - 1)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test('ranges go on from any offset, and no range is empty', () => {
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(5000), fc.integer({ min: 1, max: 700 }), (offset, size, step) => {
      const list = [...ranges(offset, size, step)];
      expect(
        list.reduce((end, range) => (range.offset === end ? end + range.size : Number.NaN), offset),
      ).toBe(Math.max(offset, size));
      expect(list.every((range) => range.size >= 1 && range.size <= step)).toBe(true);
    }),
  );
});

test('missing is what is not held; an entry that is no part of the plan is sent again', () => {
  fc.assert(
    fc.property(anyHeld, ({ bounds, held, odd }) => {
      const list = [
        ...odd,
        ...held.map((part) => ({
          offset: partRange(part, bounds).offset,
          dataSize: partRange(part, bounds).size,
        })),
      ];
      const all = Array.from({ length: partCount(bounds) }, (_, part) => part);
      expect(missingParts(list, bounds)).toEqual(all.filter((part) => !held.includes(part)));
    }),
  );
});

describe('batches', () => {
  test('hold exactly the missing parts, ascending, at most 400 and about the same work each', () => {
    fc.assert(
      fc.property(fc.oneof(anyParts(), anyParts(200_000), fc.constant([])), (missing) => {
        const { batches, hasMore } = planBatches(missing);
        const planned = batches.flatMap(decodeBatch);
        expect(planned).toEqual(missing.slice(0, planned.length));
        expect(planned.length < missing.length).toBe(hasMore === true);
        expect(JSON.stringify(batches).length).toBeLessThanOrEqual(MAX_PLAN_BYTES + 2);
        expect(batches.length).toBeLessThanOrEqual(MAX_BATCHES);
        const work = batches.map((batch) => decodeBatch(batch).length);
        expect(new Set(work.slice(0, -1)).size).toBeLessThanOrEqual(1);
        expect(Math.max(0, ...work)).toBeLessThanOrEqual(
          Math.max(MIN_BATCH_PARTS, Math.ceil(missing.length / MAX_BATCHES)),
        );
      }),
    );
  });

  test('any ascending set of parts goes into a batch and comes out of it', () => {
    fc.assert(
      fc.property(anyParts(1_000_000), (parts) => {
        expect(decodeBatch(encodeBatch(parts))).toEqual(parts);
      }),
    );
  });

  test('a stretch that is all missing needs no more than its bounds', () => {
    expect(encodeBatch([7, 8, 9])).toEqual({ first: 7, count: 3 });
    expect(Object.keys(encodeBatch([7, 9]))).toEqual(['first', 'count', 'missing']);
    expect(() => encodeBatch([])).toThrow(RangeError);
  });

  const STATE_LIMIT = 256 * 1024;
  const TERABYTE: UploadBounds = { sha1: SHA1, size: 2 ** 40, partSize: MIB };

  test.each([
    { what: 'every twentieth missing', share: 0.05, most: 0.4 },
    { what: 'every twentieth held', share: 0.95, most: 0.4 },
  ])('of 1 TB, $what at random, fit the state machine', ({ share, most }) => {
    const random = seeded(20_261_121);
    const missing = Array.from({ length: partCount(TERABYTE) }, (_, part) => part).filter(
      () => random() < share,
    );
    const { batches, hasMore } = planBatches(missing);
    expect(hasMore).toBe(undefined);
    expect(JSON.stringify(batches).length / STATE_LIMIT).toBeLessThanOrEqual(most);
    expect(batches.length).toBeLessThanOrEqual(MAX_BATCHES);
    // Bytes compare in no time where `toEqual` takes a second.
    const packed = (parts: number[]) => Buffer.from(Uint32Array.from(parts).buffer);
    expect(packed(batches.flatMap(decodeBatch)).equals(packed(missing))).toBe(true);
  });
});

test('holes too many for one state are planned in rounds that come to an end', () => {
  const random = seeded(7);
  let left = Array.from({ length: 5_000_000 }, (_, part) => part).filter(() => random() < 0.5);
  let rounds = 0;
  for (let hasMore: true | undefined = true; hasMore; rounds++) {
    const plan = planBatches(left);
    expect(JSON.stringify(plan.batches).length).toBeLessThanOrEqual(MAX_PLAN_BYTES + 2);
    left = left.slice(plan.batches.reduce((sum, batch) => sum + decodeBatch(batch).length, 0));
    hasMore = plan.hasMore;
  }
  expect(left).toEqual([]);
  expect(rounds).toBeLessThan(20);
});

describe('a list of missing parts that is damaged', () => {
  const anyText = fc.oneof(
    fc.string({ minLength: 1 }),
    fc.base64String({ minLength: 1, maxLength: 400 }),
    fc.uint8Array({ maxLength: 2000 }).map((bytes) => deflateRawSync(bytes).toString('base64')),
    fc.tuple(anyParts(), fc.nat(), fc.string({ minLength: 1, maxLength: 1 })).map(([parts, at, char]) => {
      const text = encodeBatch([...parts, (parts.at(-1) ?? 0) + 2]).missing ?? '';
      return text.slice(0, at % text.length) + char + text.slice((at % text.length) + 1);
    }),
  );

  test('is refused, or read as parts of its own stretch', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.integer({ min: 1, max: 3000 }), anyText, (first, count, missing) => {
        const read = () => decodeBatch({ first, count, missing });
        let parts: number[] = [];
        try {
          parts = read();
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidInput);
        }
        expect(
          parts.every((part, n) => part >= first && part < first + count && part > (parts[n - 1] ?? -1)),
        ).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['far too long when inflated', Buffer.alloc(64 * MIB)],
    ['a run past its end', Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])],
    ['a run past any number', Buffer.concat([Buffer.alloc(400, 0xff), Buffer.from([1])])],
    ['a run of no number', Buffer.concat([Buffer.alloc(400, 0x80), Buffer.from([0])])],
    ['runs of nothing', Buffer.alloc(4 * MIB)],
    ['no runs', Buffer.alloc(0)],
    ['a number that never ends', Buffer.alloc(1000, 0x80)],
  ])('%s: refused at once, in little memory', (_, runs) => {
    const missing = deflateRawSync(runs).toString('base64');
    expect(() => decodeBatch({ first: 3, count: 100, missing })).toThrow(InvalidInput);
  });
});

test('a batch of more parts than any has is refused before its list fills the memory', () => {
  const held = Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0x7f])]); // one run of 2 ** 28 - 1 missing parts
  const missing = deflateRawSync(held).toString('base64');
  expect(() => decodeBatch({ first: 0, count: Number.MAX_SAFE_INTEGER })).toThrow(InvalidInput);
  expect(() => decodeBatch({ first: 0, count: 2 ** 30 })).toThrow(InvalidInput);
  expect(() => decodeBatch({ first: 0, count: 2 ** 28 - 1, missing })).toThrow(InvalidInput);
});

test('reads cover exactly the parts; each is consecutive and at most the read size', () => {
  fc.assert(
    fc.property(
      anyParts(),
      fc.integer({ min: 1, max: 16 }),
      fc.integer({ min: 1, max: MIB }),
      (parts, times, partSize) => {
        const bounds = { sha1: SHA1, size: 6000 * partSize, partSize };
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

test('a part larger than the read size is read alone', () => {
  expect(groupForReading([1, 2], { sha1: SHA1, size: 4 * MIB, partSize: MIB }, 10)).toEqual([[1], [2]]);
});

/** mulberry32: the same "random" parts in each run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
