import { expect, onTestFinished, test } from 'vitest';
import { createSeededFaults } from '../../../local/fault-injection.ts';
import { newStack } from '../../support/stack.ts';
import { hurryAll } from './hurry.ts';
import { simulate } from './simulate.ts';
import { film } from './writers.ts';

/** The promises of the chain under random faults, a short form of `npm run test:faults -- --runs 10000`. */

const RUNS = 200;
/** Real time is mostly the machine's: a busy one takes several times as long. */
const PATIENCE = { timeout: 600_000 };

test('whatever breaks: nothing lost, nothing doubled, nothing of others overwritten', PATIENCE, async () => {
  const { failure, runs } = await simulate({ runs: RUNS, seed: Date.now() % 2 ** 31 });
  expect(failure).toBeUndefined();
  expect(runs).toBe(RUNS);
});

test('at 5 % of faults per request, no more than 1.2 times the bytes are sent', PATIENCE, async () => {
  onTestFinished(hurryAll());
  const faults = createSeededFaults(0.05, 3);
  let struck = 0;
  let parts = 0;
  const world = await newStack({
    env: { QUOTA_CALLS_PER_MINUTE: '1000000', QUOTA_PARTS_PER_MINUTE: '1000000', QUOTA_MINUTE_MS: '100' },
    quota: false,
    faults: async (serviceCall) => {
      if (serviceCall.call === 'UploadPart') parts++;
      const fault = await faults(serviceCall);
      if (fault) struck++;
      return fault;
    },
  });
  const [films, partsEach] = [6, 6];
  for (let n = 0; n < films; n++)
    await world.put(`film-${n}.mp4`, film(partsEach * 1024 * 1024, `film ${n}`));
  const results = await world.results();
  expect(results.filter(({ outcome }) => outcome === 'uploaded')).toHaveLength(films);
  expect(struck).toBeGreaterThan(3);
  expect(parts).toBeLessThanOrEqual(1.2 * films * partsEach);
});
