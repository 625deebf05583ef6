import { expect, test } from 'vitest';
import { type FleetOptions, runFleet } from '../../../bench/fleet/fleet.ts';
import { measureFleet } from '../../../bench/fleet/measures.ts';
import { arrivals } from '../../../bench/fleet/scenarios.ts';

/** The short form of `npm run bench -- fleet`. */

const GiB = 1024 ** 3;
const MINUTE = 60_000;
const CLIP_BYTES = 20e6;

const measure = async (options: Omit<FleetOptions, 'seed'>) =>
  measureFleet(await runFleet({ seed: 7, ...options }));

const NOTHING_FAILS = { failures: 0, deadLetters: 0, resentParts: 0 };

test('large objects that arrive at the same moment use 95 % of the quota, and cost what one alone does', async () => {
  const alone = await measure({ arrivals: arrivals(1, 10 * GiB) });
  const fleet = await measure({ arrivals: arrivals(4, 10 * GiB) });
  expect(fleet).toMatchObject(NOTHING_FAILS);
  expect(fleet.partsPerMinute).toBeGreaterThan(9_500);
  expect(fleet.maxEvents).toBeLessThan(1.5 * alone.maxEvents);
  expect(fleet.dollarsPerGiB).toBeLessThan(1.25 * alone.dollarsPerGiB);
});

test('300 clips within a minute start at the rate of the quota, and try InitUpload once', async () => {
  const alone = await measure({ arrivals: arrivals(1, CLIP_BYTES) });
  const fleet = await measure({ arrivals: arrivals(300, CLIP_BYTES, { withinMs: MINUTE }) });
  expect(fleet).toMatchObject(NOTHING_FAILS);
  expect(fleet.makespanMs).toBeLessThan(1.2 * 3 * MINUTE);
  expect(fleet.initTriesPerObject).toBeLessThan(1.2);
  expect(fleet.transitionsPerObject).toBeLessThan(1.3 * alone.transitionsPerObject);
});

const MIXED = [...arrivals(2, 2 * GiB), ...arrivals(30, CLIP_BYTES, { atMs: MINUTE, withinMs: MINUTE })];

const SMALL = [
  ...arrivals(2, GiB / 2),
  ...arrivals(1, 10 * GiB),
  ...arrivals(20, CLIP_BYTES, { withinMs: MINUTE }),
];

test.each<[string, Omit<FleetOptions, 'seed' | 'arrivals'>]>([
  ['with 10 concurrent functions', { concurrency: 10 }],
  ['after an outage of VOD of six hours', { outage: { from: 1.5 * MINUTE, until: 361.5 * MINUTE } }],
  ['next to a neighbour who takes half of the quota', { neighbourShare: 0.5 }],
])('all objects finish %s, and no part is sent twice', async (_, options) => {
  expect(await measure({ arrivals: MIXED, ...options })).toMatchObject(NOTHING_FAILS);
});

test.each<[string, Omit<FleetOptions, 'seed' | 'arrivals'>]>([
  ['two concurrent functions, which is fewer than one object uses', { concurrency: 2 }],
  ['a setting of one function', { settings: { maxFunctions: 1 } }],
  ['a setting of more functions than the account has', { concurrency: 5, settings: { maxFunctions: 1000 } }],
  ["quota settings above the account's", { settings: { callsPerMinute: 300, partsPerMinute: 30_000 } }],
  ['the lowest quota settings', { settings: { callsPerMinute: 100, partsPerMinute: 100 } }],
  ['leases of executions that no longer exist', { deadExecutions: 50 }],
  ['clocks that are minutes apart', { clockSkewMs: 3 * MINUTE }],
])('all objects finish with %s', async (_, options) => {
  expect(await measure({ arrivals: SMALL, ...options })).toMatchObject({ failures: 0, deadLetters: 0 });
});

test('the same seed gives the same run', async () => {
  const options = { arrivals: MIXED, concurrency: 10 };
  expect(await measure(options)).toEqual(await measure(options));
});
