import { UploadNotFound } from '../../lib/errors.ts';
import type { Deadline } from '../../lib/invocation/deadline.ts';
import type { Admission } from '../../lib/quota/admission.ts';
import type { Action, Quota } from '../../lib/quota/quota.ts';
import {
  FileId,
  FinishInput,
  type FinishOutput,
  InitInput,
  type InitOutput,
  PartInput,
  type PartOutput,
  parse,
  Sha1,
} from '../../lib/schemas.ts';
import { askForAdmission, isTransient } from '../../lib/steps/init.ts';
import { outputOf, reporter } from '../../lib/steps/part.ts';
import { finalResult, leaveAdmission, randomSeconds, sumSent } from '../../lib/steps/result.ts';
import { AdaptiveLimit } from '../../lib/upload/adaptive-limit.ts';
import { READ_BYTES } from '../../lib/upload/buffer-pool.ts';
import { decodeBatch, planBatches } from '../../lib/upload/plan.ts';
import type { ApiModel } from './api.ts';
import type { VirtualClock } from './clock.ts';
import type { Environment } from './lambda.ts';
import { createMeter } from './meter.ts';
import { FUNCTION, GiB, MiB, S3 as S3_MODEL } from './model.ts';
import { type Vod, VodQuotaExceeded } from './vod.ts';

/**
 * The steps in virtual time. They decide with the functions of `lib/` that the deployed steps use. Each request and each byte
 * is replaced by the time that it takes.
 */

/** The clients of an environment, which its modules create. */
export type Clients = Readonly<{ quota: Quota; admission: Admission }>;

/** An object of the population, and what the run observes about it. Times in milliseconds since the start of the run. */
export type FleetObject = {
  readonly key: string;
  readonly size: number;
  readonly arrivesAt: number;
  initTries: number;
  /** When its execution started. */
  startedAt?: number;
  firstPartAt?: number;
  lastPartAt?: number;
  finishedAt?: number;
};

export type StepServices = Readonly<{
  clock: VirtualClock;
  random: () => number;
  api: ApiModel;
  vod: Vod;
  /** Count requests to S3. */
  s3: Readonly<{ read(requests?: number): void; write(requests?: number): void }>;
  findObject(key: string): FleetObject;
  /** Called for each part that VOD confirmed. */
  onPart(object: FleetObject): void;
  /** The copy that a write-back makes emits an event. */
  onWrittenBack(object: FleetObject): void;
}>;

type Step<Output> = (
  input: unknown,
  environment: Environment<Clients>,
  deadline: Deadline,
) => Promise<Output>;
export type Steps = Readonly<{
  init: Step<InitOutput>;
  part: Step<PartOutput>;
  finish: Step<FinishOutput>;
  cover: Step<unknown>;
}>;

/** The hash pass checks its deadline after this many MiB. */
const HASH_STEP_MIB = 256;

/** As the VOD client retries: `RETRY` and `MAX_REJECTIONS` in lib/vod/v2/client.ts. */
const VOD_RETRY = { retries: 4, minMs: 200, factor: 3, maxMs: 5_000, rejections: 5 } as const;

/** A larger object is copied in parts of this size, up to 64 of them concurrently: lib/s3/copy-in-parts.ts. */
const COPY_PART_BYTES = GiB;
const COPIES_IN_FLIGHT = 64;
const MAX_COPY_BYTES = 5 * GiB;

const SHA1 = parse(Sha1, '0'.repeat(40), 'SHA-1');
const FILE_ID = parse(FileId, '1', 'fileId');
const HASH_STATE = 'x'.repeat(128);

export const ETAG = '0'.repeat(32);

export const isCopiedInParts = (size: number): boolean => size > MAX_COPY_BYTES;

export function createSteps(services: StepServices): Steps {
  const { clock, random, api, vod, s3 } = services;
  const requestS3 = (): Promise<void> => {
    s3.read();
    return clock.sleep(S3_MODEL.latencyMs);
  };

  /** Takes the call from the quota, makes it, and retries it as the VOD client does. */
  async function callVod<T>(
    action: Action | undefined,
    quota: Quota,
    signal: AbortSignal,
    call: () => Promise<T>,
  ): Promise<T> {
    for (let attempt = 0, rejections = 1; ; ) {
      if (action !== undefined) await quota.take(action, signal);
      try {
        return await call();
      } catch (error) {
        if (error instanceof UploadNotFound) throw error;
        if (error instanceof VodQuotaExceeded) {
          if (action !== undefined) await quota.pause(action);
          if (rejections++ === VOD_RETRY.rejections) throw error;
          continue;
        }
        if (attempt++ === VOD_RETRY.retries) throw error;
      }
      const delay = Math.min(VOD_RETRY.maxMs, VOD_RETRY.minMs * VOD_RETRY.factor ** (attempt - 1));
      await clock.sleep(delay * (1 + random()), signal);
    }
  }

  /** Hashes from an offset until the time runs low. Returns the offset that it reached. */
  async function hash(
    { size }: FleetObject,
    from: number,
    { cpu, networkIn }: Environment<Clients>,
    deadline: Deadline,
  ): Promise<number> {
    let offset = from;
    while (offset < size && deadline.hasTimeFor(0)) {
      const bytes = Math.min(size - offset, HASH_STEP_MIB * MiB);
      const amount = bytes / MiB;
      s3.read(Math.ceil(bytes / READ_BYTES));
      const now = clock.now();
      await clock.sleep(Math.max(cpu.use(amount * FUNCTION.hashMsPerMiB, now), networkIn.use(amount, now)));
      offset += bytes;
    }
    return offset;
  }

  return {
    async init(input, environment, deadline) {
      const { quota, admission } = environment.clients;
      const given = parse(InitInput, input, 'the input of init');
      const object = services.findObject(given.request.key);
      await requestS3(); // HeadObject
      await requestS3(); // GetObjectTagging
      const pin = { ...given.request, etag: ETAG, size: object.size };
      const pauseStarts = (): Promise<void> => quota.pause('StartExecution').catch(() => {});

      let job = { ...given, pin };
      if (api.needsSha1 && !job.sha1) {
        const turn = await askForAdmission(job, 'hash', admission);
        if (turn.next === 'wait') return turn;
        job = turn;
        const offset = await hash(object, job.hash?.offset ?? 0, environment, deadline);
        if (offset < object.size) return { ...job, next: 'hash', hash: { offset, state: HASH_STATE } };
      }
      const { hash: _, ...rest } = job;
      const next = api.needsSha1 ? { ...rest, sha1: SHA1 } : rest;
      try {
        const turn = await askForAdmission(next, 'send', admission);
        if (turn.next === 'wait') return turn;
        object.initTries++;
        const { size } = object;
        const { partSize, functions } = api.layout(size, admission.limits.partFunctions);
        const call = () => vod.initUpload(object.key, Math.ceil(size / partSize));
        const missing = missingOf(await callVod(api.actions.open, quota, deadline.signal, call));
        const upload = { size, partSize, functions };
        return {
          ...turn,
          next: 'parts',
          session: SHA1,
          upload: { ...upload, ...planBatches(missing, functions, partSize) },
        };
      } catch (error) {
        if (isTransient(error)) await pauseStarts();
        if (given.sha1 || !api.needsSha1 || !isTransient(error)) throw error;
        return { ...next, next: 'wait', waitSeconds: randomSeconds(30, 60) };
      }
    },

    async part(input, { clients: { quota, admission }, cpu, networkIn, networkOut }, deadline) {
      const job = parse(PartInput, input, 'the input of part');
      const { execution, upload } = job;
      const object = services.findObject(job.pin.key);
      const parts = decodeBatch(job.batch);
      const partMiB = upload.partSize / MiB;
      const partsInFlight = api.partsInFlight(upload.partSize);
      const inFlight = new AdaptiveLimit(partsInFlight);
      const pace = createMeter(api.partsPerSecond / upload.functions);
      const report = reporter(
        execution !== undefined && admission.appliesTo(upload.size)
          ? (bytes) => admission.report(execution, bytes)
          : undefined,
      );
      const done = new Set<number>();
      let slowestMs = 0;
      let failure: unknown;
      await requestS3();
      s3.read(Math.ceil((parts.length * upload.partSize) / READ_BYTES) - 1);

      /** Reading, digesting, and sending overlap. The slowest counts. */
      const sendMs = (): number => {
        const now = clock.now();
        return Math.max(
          pace.use(1, now),
          cpu.use(api.sendMsPerMiB * partMiB, now),
          networkIn.use(partMiB, now),
          networkOut.use(partMiB, now),
        );
      };
      const sendPart = (part: number): Promise<void> =>
        inFlight.run(async () => {
          if (failure !== undefined) throw failure;
          await callVod(api.actions.part, quota, deadline.signal, () =>
            vod.uploadPart(object.key, part, sendMs()),
          );
        });

      const source = parts.values();
      const work = async (): Promise<void> => {
        for (const part of source) {
          if (failure !== undefined || !deadline.hasTimeFor(slowestMs)) return;
          const startedAt = clock.now();
          try {
            await sendPart(part);
          } catch (error) {
            failure ??= error;
            return;
          }
          slowestMs = Math.max(slowestMs, clock.now() - startedAt);
          done.add(part);
          report.add(upload.partSize);
          services.onPart(object);
        }
      };
      await Promise.all(Array.from({ length: partsInFlight }, work));
      await report.end();
      const missing = parts.filter((part) => !done.has(part));
      return outputOf(job, { done: [...done], missing }, failure, deadline.limit);
    },

    async finish(input, environment, deadline) {
      const { quota, admission } = environment.clients;
      const { upload, parts = [], ...rest } = parse(FinishInput, input, 'the input of finish').job;
      const object = services.findObject(rest.request.key);
      const job = { ...rest, sent: sumSent([rest.sent, ...parts]) };
      const nextRound = { ...job, next: 'init' as const, round: job.round + 1 };
      if (parts.some(({ restartReason }) => restartReason !== undefined)) return nextRound;
      if (upload?.hasMore) return { ...job, next: 'init' };
      await leaveAdmission(job, { admission });
      try {
        await callVod(api.actions.close, quota, deadline.signal, () => vod.finishUpload(object.key));
      } catch (error) {
        if (error instanceof UploadNotFound) return nextRound;
        throw error;
      }
      await requestS3(); // HeadObject
      await copyInPlace(object.size);
      services.onWrittenBack(object);
      return finalResult(job, 'uploaded', { fileId: FILE_ID });
    },

    async cover() {
      s3.write(); // ListObjectsV2 costs as much as a write
      await clock.sleep(S3_MODEL.latencyMs);
      return { outcome: 'none' };
    },
  };

  /** The write-back: one copy, or copies of parts. */
  async function copyInPlace(size: number): Promise<void> {
    const copyMs = (bytes: number): number => S3_MODEL.latencyMs + (1000 * bytes) / MiB / S3_MODEL.copyMiB;
    const parts = isCopiedInParts(size) ? Math.ceil(size / COPY_PART_BYTES) : 1;
    s3.write(parts > 1 ? parts + 2 : 1);
    const rounds = Math.ceil(parts / COPIES_IN_FLIGHT);
    await clock.sleep(rounds * copyMs(parts > 1 ? COPY_PART_BYTES : size));
  }
}

function missingOf(held: Uint8Array): number[] {
  const missing: number[] = [];
  for (let part = 0; part < held.length; part++) if (!held[part]) missing.push(part);
  return missing;
}
