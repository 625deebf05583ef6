import { computeCost, sum, type Usage } from '../cost.ts';
import type { FleetRun } from './fleet.ts';
import { GiB } from './model.ts';

/** The results of a run, as the scenarios judge them. */
export type FleetMeasures = Readonly<{
  failures: number;
  deadLetters: number;
  makespanMs: number;
  /** Parts per minute, from the first part of all until the last object sent its first part. */
  partsPerMinute: number;
  maxEvents: number;
  transitionsPerObject: number;
  initTriesPerObject: number;
  dollarsPerGiB: number;
  medianWaitMs: number;
  resentParts: number;
}>;

export function measureFleet(run: FleetRun): FleetMeasures {
  const { objects, executions } = run;
  const perObject = (total: number): number => total / objects.length;
  const { sending } = run;
  return {
    failures: run.failures.length + objects.filter(({ finishedAt }) => finishedAt === undefined).length,
    deadLetters: run.deadLetters,
    makespanMs: run.makespanMs,
    partsPerMinute: sending.partsBeforeLast / ((sending.lastObjectAt - sending.firstPartAt) / 60_000),
    maxEvents: Math.max(...executions.map(({ events }) => events)),
    transitionsPerObject: perObject(sum(executions.map(({ transitions }) => transitions))),
    initTriesPerObject: perObject(sum(objects.map(({ initTries }) => initTries))),
    dollarsPerGiB:
      sum(Object.values(computeCost(fleetUsage(run)))) / (sum(objects.map(({ size }) => size)) / GiB),
    medianWaitMs: medianWait(run),
    resentParts: run.vod.resentParts(),
  };
}

export function fleetUsage({ executions, invocations, s3, table, queueRequests, events }: FleetRun): Usage {
  const functions = Object.values(invocations);
  return {
    transitions: sum(executions.map(({ transitions }) => transitions)),
    functionGbSeconds: sum(functions.map(({ gbSeconds }) => gbSeconds)),
    invocations: sum(functions.map(({ count }) => count)),
    s3Reads: s3.reads,
    s3Writes: s3.writes,
    tableWrites: table.writes,
    tableReads: table.reads,
    queueRequests,
    events,
  };
}

/** The middle time from the arrival of an object to the end of its execution. */
export function medianWait({ objects }: Pick<FleetRun, 'objects'>): number {
  const waits = objects.map(
    ({ arrivesAt, finishedAt }) => (finishedAt ?? Number.POSITIVE_INFINITY) - arrivesAt,
  );
  return waits.sort((a, b) => a - b)[Math.floor(waits.length / 2)] ?? Number.NaN;
}
