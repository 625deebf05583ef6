import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PartRun } from '../../../lib/schemas.ts';
import {
  appendCrcs,
  type Crcs,
  combineCrc64,
  crcsOfObject,
  createCrcCalculator,
  mergeRuns,
  NO_CRCS,
  runOfPart,
} from '../../../lib/upload/crc64.ts';
import { createBytes } from '../../support/values.ts';

const crcsOf = await createCrcCalculator();

// https://reveng.sourceforge.io/crc-catalogue/17plus.htm#crc.cat.crc-64-crc64 and crc.cat.crc-64-nvme
test('computes the check values of CRC-64/XZ and CRC64NVME', () => {
  expect(crcsOf(Buffer.from('123456789'))).toEqual({
    crc64: 11051210869376104954n,
    nvme: 0xae8b14860a799888n,
  });
  expect(crcsOf(Buffer.alloc(0))).toEqual(NO_CRCS);
});

/** Bytes, and where to cut them. */
const anyPieces = fc
  .tuple(fc.uint8Array({ maxLength: 5_000 }), fc.array(fc.nat(5_000), { maxLength: 8 }))
  .map(([bytes, cuts]) => {
    const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
    return { bytes, pieces: ends.map((end, n) => bytes.subarray(ends[n - 1] ?? 0, end)) };
  });

describe('the CRCs of joined pieces', () => {
  test('equal those of the whole', () => {
    fc.assert(
      fc.property(anyPieces, ({ bytes, pieces }) => {
        const join = (crcs: Crcs, piece: Uint8Array) => appendCrcs(crcs, crcsOf(piece), piece.length);
        expect(pieces.reduce(join, NO_CRCS)).toEqual(crcsOf(bytes));
      }),
    );
  });

  test('equal those of the whole, whichever pieces are joined first', () => {
    fc.assert(
      fc.property(anyPieces, ({ bytes, pieces: [first, ...rest] }) => {
        const tail = rest.reduceRight(
          ({ crcs, length }, piece) => ({
            crcs: appendCrcs(crcsOf(piece), crcs, length),
            length: length + piece.length,
          }),
          { crcs: NO_CRCS, length: 0 },
        );
        const start = crcsOf(first ?? Buffer.alloc(0));
        expect(appendCrcs(start, tail.crcs, tail.length)).toEqual(crcsOf(bytes));
      }),
    );
  });

  test('are exact for lengths that exceed 32 bits', () => {
    // Joining 2^44 + 1 pieces of one byte gives the same as joining 2^44 of them and then one.
    const one = crcsOf(Buffer.from('x'));
    let crcs = one;
    let length = 1;
    for (; length < 2 ** 44; length *= 2) crcs = appendCrcs(crcs, crcs, length);
    const appended = appendCrcs(crcs, one, 1);
    expect(appendCrcs(one, crcs, length)).toEqual(appended);
    expect(appendCrcs(appended, crcs, length)).toEqual(appendCrcs(crcs, appended, length + 1));
  });

  test('depend on the polynomial', () => {
    expect(combineCrc64('crc64', 1n, 2n, 3)).not.toBe(combineCrc64('nvme', 1n, 2n, 3));
  });
});

const PART_SIZE = 100;
/** An object of 40 parts, the last of which has 37 bytes. */
const object = createBytes(39 * PART_SIZE + 37);
const sizes = { size: object.length, partSize: PART_SIZE };
const PARTS = Math.ceil(object.length / PART_SIZE);
const bytesOf = (first: number, count: number): Buffer =>
  object.subarray(first * PART_SIZE, (first + count) * PART_SIZE);
const runOf = (first: number, count = 1): PartRun => ({
  ...runOfPart(first, crcsOf(bytesOf(first, count))),
  count,
});

describe('runs of parts', () => {
  test('merge in any order, and end in the CRCs of the object', () => {
    const order = fc.shuffledSubarray(
      Array.from({ length: PARTS }, (_, part) => part),
      { minLength: PARTS },
    );
    fc.assert(
      fc.property(order, (parts) => {
        let runs: PartRun[] = [];
        for (const part of parts) {
          expect(crcsOfObject(runs, sizes)).toBeUndefined();
          // The state machine stores the runs as JSON.
          runs = JSON.parse(JSON.stringify(mergeRuns([...runs, runOf(part)], sizes)));
        }
        expect(runs).toEqual([runOf(0, PARTS)]);
        expect(crcsOfObject(runs, sizes)).toEqual(crcsOf(object));
      }),
      { numRuns: 30 },
    );
  });

  test('that do not follow each other stay separate', () => {
    const runs = [runOf(7, 2), runOf(0, 3), runOf(5), runOf(6)];
    expect(mergeRuns(runs, sizes)).toEqual([runOf(0, 3), runOf(5, 4)]);
  });

  test('with a common part never count it twice', () => {
    expect(mergeRuns([runOf(0, 3), runOf(0, 5), runOf(3), runOf(5)], sizes)).toEqual([runOf(0, 6)]);
    expect(mergeRuns([runOf(2, 4), runOf(0, 3)], sizes)).toEqual([runOf(0, 3)]);
  });

  test.each([
    ['no run', []],
    ['runs without the first part', [runOf(1, PARTS - 1)]],
    ['runs without the last part', [runOf(0, PARTS - 1)]],
    ['runs with a gap', [runOf(0, 10), runOf(11, PARTS - 11)]],
  ])('of the object are unknown with %s', (_, runs) => {
    expect(crcsOfObject(runs, sizes)).toBeUndefined();
  });

  test('keep leading zeros of a CRC', () => {
    expect(runOfPart(3, { crc64: 1n, nvme: 0n })).toEqual({
      first: 3,
      count: 1,
      crc64: '0000000000000001',
      nvme: '0000000000000000',
    });
  });
});
