import { expect, onTestFinished, test } from 'vitest';
import { createSeededFaults } from '../../../local/fault-injection.ts';
import { newStack } from '../../support/stack.ts';
import { MIB } from '../../support/values.ts';
import { accelerateTimers } from './accelerate-timers.ts';
import { simulate } from './simulate.ts';
import { createVideo } from './writers.ts';

/** The short form of `npm run test:faults`, with a fixed seed. */

const RUNS = 100;
const SEED = 1;
/** A busy machine takes several times as long as an idle one. */
const TIMEOUT_MS = 600_000;

test('loses, duplicates, and overwrites nothing in random worlds', { timeout: TIMEOUT_MS }, async () => {
  const { failure, runs } = await simulate({ runs: RUNS, seed: SEED });
  expect(failure).toBeUndefined();
  expect(runs).toBe(RUNS);
});

test('sends at most 1.2 times the bytes at 5 % faults per request', { timeout: TIMEOUT_MS }, async () => {
  onTestFinished(accelerateTimers());
  const selectFault = createSeededFaults(0.05, 3);
  let faults = 0;
  let parts = 0;
  const stack = await newStack({
    env: { QUOTA_CALLS_PER_MINUTE: '1000000', QUOTA_PARTS_PER_MINUTE: '1000000', QUOTA_MINUTE_MS: '100' },
    quota: false,
    faults: async (serviceCall) => {
      if (serviceCall.call === 'UploadPart') parts++;
      const fault = await selectFault(serviceCall);
      if (fault) faults++;
      return fault;
    },
  });
  const [videos, partsPerVideo] = [6, 6];
  for (let n = 0; n < videos; n++)
    await stack.put(`video-${n}.mp4`, createVideo(partsPerVideo * MIB, `video ${n}`));
  const results = await stack.results();
  expect(results.filter(({ outcome }) => outcome === 'uploaded')).toHaveLength(videos);
  expect(faults).toBeGreaterThan(3);
  expect(parts).toBeLessThanOrEqual(1.2 * videos * partsPerVideo);
});
