import * as v from 'valibot';
import { localStateMachineJson } from '../../deploy/state-machine.ts';
import type { QuotaSettings } from '../../lib/config.ts';
import { admissionLimits, createAdmission } from '../../lib/quota/admission.ts';
import { createQuota } from '../../lib/quota/quota.ts';
import type { DispatchServices } from '../../lib/trigger/dispatch.ts';
import type { Api } from '../messages.ts';
import { API_MODELS } from './api.ts';
import { createVirtualClock } from './clock.ts';
import { createExecutions } from './executions.ts';
import { createLambda, type Invocations } from './lambda.ts';
import { createMachine, type ExecutionResult } from './machine.ts';
import { S3, VOD } from './model.ts';
import { createPartObserver, type Sending } from './observer.ts';
import { createQueue } from './queue.ts';
import { createRandom } from './random.ts';
import { FUNCTIONS, QUEUE } from './settings.ts';
import { type Clients, createSteps, ETAG, type FleetObject, isCopiedInParts, type Steps } from './steps.ts';
import { createSharedTable, type TableUnits } from './table.ts';
import { startTrigger } from './trigger.ts';
import { createVod, type Outage, type Vod } from './vod.ts';

/** An object that arrives `atMs` after the start of the run. */
export type Arrival = Readonly<{ size: number; atMs: number }>;

export type FleetOptions = Readonly<{
  seed: number;
  api?: Api;
  arrivals: readonly Arrival[];
  /** Functions that the account may run concurrently. */
  concurrency?: number;
  /** The latency of VOD. */
  vodLatencyMs?: number;
  /** Times since the start of the run. */
  outage?: Outage;
  /** The share of VOD's quota that another user takes. */
  neighbourShare?: number;
  /** Settings of the stack that differ from what the account grants. */
  settings?: Partial<Pick<QuotaSettings, 'callsPerMinute' | 'partsPerMinute' | 'maxFunctions'>>;
  /** Places in the admission that executions hold that no longer exist. */
  deadExecutions?: number;
  /** The clocks of the functions differ from the true time by up to this, in milliseconds. */
  clockSkewMs?: number;
}>;

/** The observations of one run. Times in milliseconds since its start. */
export type FleetRun = Readonly<{
  objects: readonly FleetObject[];
  executions: readonly ExecutionResult[];
  /** Error and cause of each failed execution. */
  failures: readonly string[];
  deadLetters: number;
  makespanMs: number;
  vod: Vod;
  table: TableUnits;
  s3: Readonly<{ reads: number; writes: number }>;
  invocations: Invocations;
  throttles: number;
  coldStarts: number;
  queueRequests: number;
  events: number;
  sending: Sending;
  /** Parts sent in each minute, by size of their object. */
  partsByMinute: ReadonlyMap<number, readonly number[]>;
}>;

const BUCKET = 'a-bucket-with-a-name-of-the-usual-length';
const RESOURCE = /:function:(\w+)$/;
/** The lease of an execution that died just now. */
const DEAD_LEASE_MS = 32 * 60_000;

/** A longer run is a deadlock. */
const MAX_RUN_MS = 30 * 24 * 3_600_000;

const StepName = v.picklist(['init', 'part', 'finish', 'cover']);
const machine = createMachine(localStateMachineJson());

/** Lets a population of objects pass through the pipeline, in virtual time. The same options give the same run. */
export async function runFleet({
  seed,
  api = '2.0',
  arrivals,
  concurrency = 1000,
  vodLatencyMs,
  outage,
  neighbourShare,
  settings,
  deadExecutions = 0,
  clockSkewMs = 0,
}: FleetOptions): Promise<FleetRun> {
  const clock = createVirtualClock();
  const startedAt = clock.now();
  const elapsed = (): number => clock.now() - startedAt;
  const observer = createPartObserver(elapsed);
  const random = createRandom(seed);
  const table = createSharedTable(clock);
  const model = API_MODELS[api];
  const vod = createVod(clock, random, {
    quota: model.quota,
    latencyMs: vodLatencyMs,
    neighbourShare,
    outage: outage && { from: startedAt + outage.from, until: startedAt + outage.until },
  });
  const queue = createQueue(clock, random, QUEUE);
  const quotaSettings = {
    api,
    callsPerMinute: VOD.callsPerMinute,
    partsPerMinute: VOD.partsPerMinute,
    minuteMs: 60_000,
    maxFunctions: concurrency,
    ...settings,
  };
  const limits = admissionLimits(quotaSettings);
  const createClients = (): TriggerClients => {
    const skewMs = Math.round(clockSkewMs * (2 * random() - 1));
    const own = { now: () => clock.now() + skewMs, sleep: clock.sleep };
    const shared = { ...quotaSettings, counter: table.counter, clock: own, random };
    return {
      quota: createQuota(shared),
      triggerQuota: createQuota({ ...shared, maxWaitMs: FUNCTIONS.trigger.timeoutMs }),
      admission: createAdmission({ store: table.store, limits, clock: own, random }),
    };
  };
  for (let n = 0; n < deadExecutions; n++) {
    const entry = { since: 0, until: startedAt + DEAD_LEASE_MS, parts: 1_000_000, lane: 'large' as const };
    void table.store.put(`dead-${n}`, entry, []);
  }
  const lambda = createLambda(clock, FUNCTIONS, concurrency, createClients);

  const objects = arrivals.map(
    ({ size, atMs }, n): FleetObject => ({
      key: `videos/clip-${n}.mp4`,
      size,
      arrivesAt: atMs,
      initTries: 0,
    }),
  );
  const byKey = new Map(objects.map((object) => [object.key, object]));
  const s3 = { reads: 0, writes: 0 };
  const written = new Set<string>();
  let [events, inTransit] = [0, 0];

  const sendEventAfter = (ms: number, { key, size }: FleetObject, reason: string): void => {
    inTransit++;
    clock.schedule(ms, () => {
      inTransit--;
      events++;
      queue.send(JSON.stringify(toEvent(key, size, reason, events)));
    });
  };
  const findObject = (key: string): FleetObject => {
    const object = byKey.get(key);
    if (!object) throw new Error(`expected an object ${key}, got none.`);
    return object;
  };
  const steps: Steps = createSteps({
    clock,
    random,
    api: model,
    vod,
    s3: {
      read(requests = 1) {
        s3.reads += requests;
      },
      write(requests = 1) {
        s3.writes += requests;
      },
    },
    findObject,
    onWrittenBack(object) {
      written.add(object.key);
      const reason = isCopiedInParts(object.size) ? 'CompleteMultipartUpload' : 'CopyObject';
      sendEventAfter(S3.eventMs, object, reason);
    },
    onPart: observer.onPart,
  });

  const host = {
    ...clock,
    random,
    async invoke(resource: string, input: unknown): Promise<unknown> {
      const name = v.parse(StepName, RESOURCE.exec(resource)?.[1]?.toLowerCase());
      return lambda.invoke<unknown>(name, (environment, deadline) =>
        steps[name](input, environment, deadline),
      );
    },
  };

  const failures: string[] = [];
  const executions = createExecutions(machine, host, ({ key }, result) => {
    if (result.status === 'FAILED') failures.push(`${key}: ${result.error}: ${result.cause}`);
    else findObject(key).finishedAt ??= elapsed();
  });

  const toDispatchServices = ({ triggerQuota: quota, admission }: TriggerClients): DispatchServices => ({
    async startExecution(name, { key }) {
      const status = await executions.start(name, { bucket: BUCKET, key });
      findObject(key).startedAt ??= elapsed();
      return { name, status };
    },
    async isWrittenBack({ key }) {
      s3.reads++;
      await clock.sleep(S3.latencyMs);
      return written.has(key);
    },
    quota,
    admission,
    queue: {
      postpone: (receiptHandle, seconds) => queue.changeVisibility(receiptHandle, 1000 * seconds),
      reject: async (body) => void queue.deadLetters.push(body),
    },
    clock,
    random,
  });

  for (const object of objects) sendEventAfter(object.arrivesAt + S3.eventMs, object, 'PutObject');
  startTrigger(clock, queue, lambda, QUEUE.triggers, QUEUE.visibilityMs, toDispatchServices);

  const isOver = (): boolean =>
    inTransit + queue.size() + executions.running() === 0 || elapsed() > MAX_RUN_MS;
  const { random: unseeded } = Math;
  Math.random = random; // the waits of the steps
  try {
    await clock.run(isOver);
  } finally {
    Math.random = unseeded;
  }
  const finished = objects.flatMap(({ finishedAt }) => finishedAt ?? []);
  return {
    objects,
    executions: executions.ended,
    failures,
    deadLetters: queue.deadLetters.length,
    makespanMs: Math.max(...finished),
    vod,
    table: table.units,
    s3,
    invocations: lambda.invocations,
    throttles: lambda.throttles(),
    coldStarts: lambda.coldStarts(),
    queueRequests: queue.requests(),
    events,
    sending: observer.sending(),
    partsByMinute: observer.byMinute,
  };
}

type TriggerClients = Clients & Readonly<{ triggerQuota: Clients['quota'] }>;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html */
const toEvent = (key: string, size: number, reason: string, sequencer: number) => ({
  version: '0',
  source: 'aws.s3',
  'detail-type': 'Object Created',
  detail: {
    version: '0',
    bucket: { name: BUCKET },
    object: { key, size, etag: ETAG, sequencer: sequencer.toString(16).padStart(18, '0') },
    reason,
  },
});
