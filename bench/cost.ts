import { DEPLOYMENT_DEFAULTS } from '../deploy/defaults.ts';
import type { Measurement } from './messages.ts';
import { PRICES } from './prices.ts';

/** The billed amounts of a run. `functionGbSeconds`: seconds of all functions, each times its memory. */
export type Usage = Readonly<{
  transitions: number;
  functionGbSeconds: number;
  invocations: number;
  s3Reads: number;
  s3Writes: number;
  tableWrites: number;
  tableReads: number;
  queueRequests: number;
  events: number;
}>;

/** The price of a run in the cloud, in dollars by item. Storage, egress, and logs are not included. */
export const computeCost = (usage: Usage): Record<string, number> => ({
  transitions: usage.transitions * PRICES.transition,
  'function seconds': usage.functionGbSeconds * PRICES.gbSecond,
  invocations: usage.invocations * PRICES.invocation,
  's3 reads': usage.s3Reads * PRICES.s3Read,
  's3 writes': usage.s3Writes * PRICES.s3Write,
  quota: usage.tableWrites * PRICES.tableWrite + usage.tableReads * PRICES.tableRead,
  events: usage.events * PRICES.event + usage.queueRequests * PRICES.queueRequest,
});

const FUNCTION_GB = DEPLOYMENT_DEFAULTS.memoryMib / 1024;

/** SendMessage, ReceiveMessage, DeleteMessage. */
const QUEUE_REQUESTS_PER_EVENT = 3;

/** Writes to the quota table when eight processes share it: see docs/decisions/0006-quota-in-windows.md. */
const TABLE_WRITES_PER_PART = 0.13;

const READ_METHODS = new Set(['GET', 'HEAD']);

/** Returns the amounts that a measured run would use in the cloud. All functions count with the memory of the largest ones. */
export function measuredUsage({
  s3,
  vod,
  invocations,
  transitions,
}: Pick<Measurement, 's3' | 'vod' | 'invocations' | 'transitions'>): Usage {
  const functions = Object.values(invocations);
  const requests = Object.entries(s3?.requests ?? {});
  const countRequests = (isRead: boolean): number =>
    sum(requests.map(([method, count]) => (READ_METHODS.has(method) === isRead ? count : 0)));
  const events = invocations.trigger?.count ?? 0;
  return {
    transitions,
    functionGbSeconds: (sum(functions.map(({ ms }) => ms)) / 1000) * FUNCTION_GB,
    invocations: sum(functions.map(({ count }) => count)),
    s3Reads: countRequests(true),
    s3Writes: countRequests(false),
    tableWrites: (vod?.requests.UploadPart ?? 0) * TABLE_WRITES_PER_PART,
    tableReads: 0,
    queueRequests: events * QUEUE_REQUESTS_PER_EVENT,
    events,
  };
}

export const sum = (numbers: readonly number[]): number =>
  numbers.reduce((total, number) => total + number, 0);
