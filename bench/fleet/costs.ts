import { computeCost, sum } from '../cost.ts';
import { PRICES } from '../prices.ts';
import { type FleetRun, runFleet } from './fleet.ts';
import { fleetUsage } from './measures.ts';
import { GiB } from './model.ts';
import type { FleetObject } from './steps.ts';

/** The costs and the times of objects as a user of the cloud sees them, from the simulator of the fleet. */

const SEED = 1;
const GB = 1e9;

const COUNTS = [1, 10];
const COST_SIZES = { '1 GiB': GiB, '100 GB': 100 * GB };
const TIME_SIZES = { '3 MB': 3e6, '1 GiB': GiB, '100 GiB': 100 * GiB, '1 TB': 1000 * GB };

const upload = (size: number, count: number): Promise<FleetRun> =>
  runFleet({ seed: SEED, arrivals: Array.from({ length: count }, () => ({ size, atMs: 0 })) });

/** Returns one line for each size and number of objects: the dollars for one object. */
export async function describeCosts(): Promise<string[]> {
  const lines: string[] = [];
  for (const [name, size] of Object.entries(COST_SIZES)) {
    for (const count of COUNTS) {
      const dollars = sum(Object.values(computeCost(fleetUsage(await upload(size, count))))) / count;
      const [low, high] = PRICES.egressPerGB.map((price) => ((size / GB) * price).toFixed(2));
      const others = count === 1 ? 'alone' : `one of ${count}`;
      lines.push(`${name} ${others}: processing $${dollars.toFixed(5)}, egress $${low} to $${high}`);
    }
  }
  return lines;
}

/** Returns one line for each size: the seconds of each step of an object alone. */
export async function describeTimes(): Promise<string[]> {
  const lines: string[] = [];
  for (const [name, size] of Object.entries(TIME_SIZES)) {
    const [object] = (await upload(size, 1)).objects;
    if (object) lines.push(`${name}: ${describeSteps(object)}`);
  }
  return lines;
}

function describeSteps({
  arrivesAt,
  startedAt = 0,
  firstPartAt = 0,
  lastPartAt = 0,
  finishedAt = 0,
}: FleetObject): string {
  const steps = {
    'event, queue, and trigger': startedAt - arrivesAt,
    'Init with the hash pass': firstPartAt - startedAt,
    parts: lastPartAt - firstPartAt,
    'Finish with the write-back, and Cover': finishedAt - lastPartAt,
    total: finishedAt - arrivesAt,
  };
  return Object.entries(steps)
    .map(([step, ms]) => `${step} ${formatTime(ms)}`)
    .join(', ');
}

function formatTime(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 3 * 3_600_000 ? `${(ms / 60_000).toFixed(1)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}
