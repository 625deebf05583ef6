import * as v from 'valibot';
import { DEPLOYMENT_DEFAULTS } from '../deploy/defaults.ts';
import { localStateMachineJson } from '../deploy/state-machine.ts';
import { shutdownReserveMs } from '../lib/invocation/deadline.ts';
import { FinishJob, InitInput, PartInput, parse, UploadBounds } from '../lib/schemas.ts';
import { decodeBatch, encodeBatch, missingParts, planBatches } from '../lib/upload/plan.ts';
import { createVirtualClock } from './fleet/clock.ts';
import { createMachine, type ExecutionResult } from './fleet/machine.ts';

export type SimulatedObject = Readonly<{
  size: number;
  /** Whether VOD lacks this part when Init opens the upload. */
  isMissing: (part: number) => boolean;
  /** Rates of one invocation. Lower rates cause more checkpoints. */
  partsPerSecond: number;
  /** Undefined: there is no hash pass. */
  hashBytesPerSecond?: number;
  /** Default: that of API 2.0. `hasChecksums`: each batch returns the checksums of its parts. */
  layout?: Readonly<{ partSize: number; functions: number; session: string; hasChecksums: boolean }>;
}>;

export type SimulatedRun = Readonly<{
  /** Events of the history. */
  events: number;
  batches: number;
  /** Size of the largest input or output of a function, in bytes. */
  maxStateBytes: number;
  invocations: number;
  sentParts: number;
}>;

const { timeoutMs } = DEPLOYMENT_DEFAULTS;
const WORKING_SECONDS = (timeoutMs - shutdownReserveMs(timeoutMs)) / 1000;
const SHA1 = '0123456789abcdef0123456789abcdef01234567';
/** API 2.0 at the default quota. */
const DEFAULT_LAYOUT = { partSize: 1_048_576, functions: 4, session: SHA1, hasChecksums: false } as const;
const CHECKSUMS = { crc64: '0'.repeat(16), nvme: '0'.repeat(16) } as const;
const FinishInput = v.object({ job: FinishJob });

/** Runs the deployed state machine for an object that is too large to measure. The functions only return their results. */
export async function simulateExecution(object: SimulatedObject): Promise<SimulatedRun> {
  let [maxStateBytes, invocations, sentParts] = [0, 0, 0];
  const recordSize = (state: unknown): void => {
    maxStateBytes = Math.max(maxStateBytes, Buffer.byteLength(JSON.stringify(state)));
  };

  const { partSize, functions, session, hasChecksums } = object.layout ?? DEFAULT_LAYOUT;
  const bounds = v.parse(UploadBounds, { size: object.size, partSize });
  const missing = new Set(missingParts([], bounds).filter(object.isMissing));

  const handlers: Readonly<Record<string, (input: unknown) => unknown>> = {
    Init: (input) => init(parse(InitInput, input, 'init')),
    Part: (input) => part(parse(PartInput, input, 'part')),
    Finish: (input) => finish(parse(FinishInput, input, 'finish').job),
  };

  function init(job: InitInput): unknown {
    const pin = { ...job.request, etag: '0'.repeat(32), size: object.size };
    const hashRate = object.hashBytesPerSecond ?? Number.POSITIVE_INFINITY;
    const hashed = (job.hash?.offset ?? 0) + WORKING_SECONDS * hashRate;
    if (!job.sha1 && hashed < object.size)
      return { ...job, next: 'hash', pin, hash: { offset: hashed, state: 'x'.repeat(128) } };
    const { hash: _, ...rest } = job;
    return {
      ...rest,
      next: 'parts',
      pin,
      sha1: SHA1,
      session,
      upload: { ...bounds, functions, ...planBatches([...missing], functions, partSize) },
    };
  }

  function part({ batch, sent, ...rest }: PartInput): unknown {
    const parts = decodeBatch(batch);
    const count = Math.floor(WORKING_SECONDS * object.partsPerSecond);
    const [sentNow, left] = [parts.slice(0, count), parts.slice(count)];
    for (const part of sentNow) missing.delete(part);
    sentParts += sentNow.length;
    const totals = { parts: sent.parts + sentNow.length, bytes: sent.bytes + sentNow.length * partSize };
    const first = sent.runs?.[0]?.first ?? parts[0] ?? 0;
    const runs = hasChecksums && [{ first, count: totals.parts, ...CHECKSUMS }];
    return {
      ...rest,
      sent: { ...totals, ...(runs && { runs }) },
      ...(left.length > 0 && { batch: encodeBatch(left) }),
    };
  }

  function finish({ upload: _, parts: __, ...rest }: FinishJob): unknown {
    if (missing.size > 0) return { ...rest, next: 'init', round: rest.round + 1 };
    const { bucket, key } = rest.request;
    return { next: 'done', bucket, key, outcome: 'uploaded', sent: rest.sent };
  }

  const clock = createVirtualClock();
  let ended: ExecutionResult | undefined;
  const host = {
    ...clock,
    random: () => 0.5,
    async invoke(resource: string, input: unknown): Promise<unknown> {
      invocations++;
      recordSize(input);
      const output = handlers[resource.split(':').at(-1) ?? '']?.(input);
      recordSize(output);
      return JSON.parse(JSON.stringify(output));
    },
  };
  const request = {
    bucket: 'a-bucket-with-a-name-of-the-usual-length',
    key: `${'folder/'.repeat(16)}a long name of a video.mp4`,
  };
  void createMachine(localStateMachineJson())
    .run('x'.repeat(80), request, host)
    .then((result) => {
      ended = result;
    });
  await clock.run(() => ended !== undefined);
  if (ended?.status !== 'SUCCEEDED') throw new Error(`expected a successful execution, got ${ended?.error}.`);
  recordSize(ended.output);
  return {
    events: ended.events,
    batches: ended.entered.ReturnTotals ?? 0,
    maxStateBytes,
    invocations,
    sentParts,
  };
}
