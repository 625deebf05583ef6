import { describe, expect, test } from 'vitest';
import { partsInFlight, planUpload } from '../../../../lib/vod/v2018/limits.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

describe('planUpload', () => {
  test.each([
    ['1 byte', 1, 8, 1],
    ['1 GiB', GIB, 8, 9],
    ['100 GiB', 100 * GIB, 11, 13],
    ['5 TiB', 5 * 1024 * GIB, 525, 16],
  ])('plans %s', (_, size, partMib, functions) => {
    const plan = planUpload(size, 16);
    expect(plan).toMatchObject({ partSize: partMib * MIB, functions });
    expect(Math.ceil(size / plan.partSize)).toBeLessThanOrEqual(10_000);
  });

  test.each([
    [8, 8],
    [11, 4],
    [24, 2],
    [525, 2],
  ])('sends parts of %i MiB %i at a time, so that they fit into the buffers', (partMib, concurrency) => {
    expect(partsInFlight(partMib * MIB)).toBe(concurrency);
  });

  test('sends 100 GiB in less than four minutes', () => {
    expect(planUpload(100 * GIB, 16).seconds).toBeLessThan(240);
  });
});
