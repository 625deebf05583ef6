import { expect, test } from 'vitest';
import { costOf, total } from '../../../bench/cost.ts';
import { PRICES } from '../../../bench/prices.ts';

const NOTHING = { quotaErrors: 0, cpuMs: 0 };

test('each thing that was counted is paid for at its own price', () => {
  const cost = costOf({
    s3: { ...NOTHING, requests: { GET: 900, HEAD: 100, PUT: 2, POST: 1 } },
    vod: { ...NOTHING, requests: { InitUpload: 1, UploadPart: 1_000 } },
    invocations: { trigger: { count: 2, ms: 500 }, part: { count: 8, ms: 9_500 } },
    transitions: 40,
  });
  expect(cost).toEqual({
    transitions: 0.001,
    'function seconds': 10 * PRICES.gbSecond,
    invocations: 10 * PRICES.invocation,
    's3 reads': 0.0004,
    's3 writes': 3 * PRICES.s3Write,
    quota: 250 * PRICES.tableWrite,
    events: 2 * (PRICES.event + 3 * PRICES.queueRequest),
  });
  expect(total({ a: 1, b: 0.5 })).toBe(1.5);
});

test('a run that did nothing costs nothing', () => {
  expect(total(costOf({ invocations: {}, transitions: 0 }))).toBe(0);
});
