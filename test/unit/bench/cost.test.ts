import { expect, test } from 'vitest';
import { computeCost, measuredUsage, sum } from '../../../bench/cost.ts';
import { PRICES } from '../../../bench/prices.ts';

test('computeCost multiplies each count by its own price', () => {
  const tally = { quotaErrors: 0, sentBytes: 0, cpuMs: 0 };
  const cost = computeCost(
    measuredUsage({
      s3: { ...tally, requests: { GET: 900, HEAD: 100, PUT: 2, POST: 1 } },
      vod: { ...tally, requests: { InitUpload: 1, UploadPart: 1_000 } },
      invocations: { trigger: { count: 2, ms: 500 }, part: { count: 8, ms: 9_500 } },
      transitions: 40,
    }),
  );
  expect(cost).toEqual({
    transitions: 0.001,
    'function seconds': 10 * PRICES.gbSecond,
    invocations: 10 * PRICES.invocation,
    's3 reads': 0.0004,
    's3 writes': 3 * PRICES.s3Write,
    quota: 130 * PRICES.tableWrite,
    events: 2 * (PRICES.event + 3 * PRICES.queueRequest),
  });
});

test('computeCost returns 0 for every item of a run that did nothing', () => {
  expect(sum(Object.values(computeCost(measuredUsage({ invocations: {}, transitions: 0 }))))).toBe(0);
});
