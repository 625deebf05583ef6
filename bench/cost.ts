import type { Measured } from './messages.ts';
import { PRICES } from './prices.ts';

/** What a measured run would have cost in the cloud, without storage, egress, and logs. */

/** Memory of each function in GB: what `context.memoryLimitInMB` of the local engine says, and the deployment sets. */
export const FUNCTION_GB = 1;

/** Sent to the queue, received, deleted. */
const QUEUE_REQUESTS = 3;

/** Writes to the quota table when eight processes share it: see `lib/quota/rate-limiter.ts`. */
const TABLE_WRITES_PER_PART = 0.13;

const READS = new Set(['GET', 'HEAD']);

type Counted = Pick<Measured, 's3' | 'vod' | 'invocations' | 'transitions'>;

/** Dollars by what they are paid for. */
export function costOf({ s3, vod, invocations, transitions }: Counted): Record<string, number> {
  const runs = Object.values(invocations);
  const sum = (of: readonly number[]): number => of.reduce((total, one) => total + one, 0);
  const requests = Object.entries(s3?.requests ?? {});
  const reads = sum(requests.filter(([name]) => READS.has(name)).map(([, count]) => count));
  const writes = sum(requests.filter(([name]) => !READS.has(name)).map(([, count]) => count));
  const events = invocations.trigger?.count ?? 0;
  return {
    transitions: transitions * PRICES.transition,
    'function seconds': (sum(runs.map(({ ms }) => ms)) / 1000) * FUNCTION_GB * PRICES.gbSecond,
    invocations: sum(runs.map(({ count }) => count)) * PRICES.invocation,
    's3 reads': reads * PRICES.s3Read,
    's3 writes': writes * PRICES.s3Write,
    quota: (vod?.requests.UploadPart ?? 0) * TABLE_WRITES_PER_PART * PRICES.tableWrite,
    events: events * (PRICES.event + QUEUE_REQUESTS * PRICES.queueRequest),
  };
}

export const total = (cost: Record<string, number>): number =>
  Object.values(cost).reduce((sum, dollars) => sum + dollars, 0);
