import { DEPLOYMENT_DEFAULTS } from '../deploy/defaults.ts';
import type { Measurement } from './messages.ts';
import { PRICES } from './prices.ts';

const FUNCTION_GB = DEPLOYMENT_DEFAULTS.memoryMib / 1024;

/** SendMessage, ReceiveMessage, DeleteMessage. */
const QUEUE_REQUESTS_PER_EVENT = 3;

/** Writes to the quota table when eight processes share it: see docs/decisions/0006-quota-in-windows.md. */
const TABLE_WRITES_PER_PART = 0.13;

const READ_METHODS = new Set(['GET', 'HEAD']);

/** The price of a measured run in the cloud, in dollars by item. Storage, egress, and logs are not included. */
export function computeCost({
  s3,
  vod,
  invocations,
  transitions,
}: Pick<Measurement, 's3' | 'vod' | 'invocations' | 'transitions'>): Record<string, number> {
  const functions = Object.values(invocations);
  const requests = Object.entries(s3?.requests ?? {});
  const countRequests = (isRead: boolean): number =>
    sum(requests.map(([method, count]) => (READ_METHODS.has(method) === isRead ? count : 0)));
  const events = invocations.trigger?.count ?? 0;
  return {
    transitions: transitions * PRICES.transition,
    'function seconds': (sum(functions.map(({ ms }) => ms)) / 1000) * FUNCTION_GB * PRICES.gbSecond,
    invocations: sum(functions.map(({ count }) => count)) * PRICES.invocation,
    's3 reads': countRequests(true) * PRICES.s3Read,
    's3 writes': countRequests(false) * PRICES.s3Write,
    quota: (vod?.requests.UploadPart ?? 0) * TABLE_WRITES_PER_PART * PRICES.tableWrite,
    events: events * (PRICES.event + QUEUE_REQUESTS_PER_EVENT * PRICES.queueRequest),
  };
}

export const sum = (numbers: readonly number[]): number =>
  numbers.reduce((total, number) => total + number, 0);
