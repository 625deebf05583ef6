import pMap from 'p-map';
import {
  NoProgress,
  ObjectChanged,
  ObjectDeleted,
  PartRejected,
  QuotaExceeded,
  UploadNotFound,
} from '../errors.ts';
import { type Deadline, DeadlineExceeded } from '../invocation/deadline.ts';
import { reportProgress, reportRetries } from '../invocation/progress.ts';
import { readRange } from '../s3/read-range.ts';
import type { PartInput, PartOutput, PartRun } from '../schemas.ts';
import { AdaptiveLimit } from '../upload/adaptive-limit.ts';
import { mergeRuns } from '../upload/crc64.ts';
import { type LoadedPart, type RangeReader, readParts } from '../upload/part-reader.ts';
import { decodeBatch, encodeBatch, MIN_BATCH_PARTS, partRange } from '../upload/plan.ts';
import { randomSeconds } from './result.ts';
import type { Services } from './services.ts';

/** Bytes between two reports to the admission: two to ten seconds. */
const REPORT_BYTES = 256 * 1024 ** 2;

/** How often a part is read and sent again if VOD did not receive the announced bytes. */
const MAX_RESENDS = 2;

/**
 * Sends the parts of a batch concurrently until all are sent or the time runs low, and returns the rest as the next batch.
 * A part counts as sent when the response to that part confirms it.
 *
 * An invocation that sent any part succeeds, so no part is sent twice. Only an invocation that sent nothing fails. A part
 * that can never be sent therefore ends up alone in a batch, and its error fails the step.
 * @throws {NoProgress} and the errors of S3 and VOD
 */
export async function runPart(
  input: PartInput,
  { s3, vod, admission }: Services,
  deadline: Deadline,
): Promise<PartOutput> {
  const { pin, upload, execution } = input;
  const parts = decodeBatch(input.batch);
  const done = new Set<number>();
  const runs: PartRun[] = [];
  const concurrency = vod.partsInFlight(upload.partSize);
  const inFlight = new AdaptiveLimit(concurrency);
  const report = reporter(
    execution !== undefined && admission.appliesTo(upload.size)
      ? (bytes) => admission.report(execution, bytes)
      : undefined,
  );
  let slowestMs = 0;
  // After the first error, the parts in flight finish, and no other part starts.
  const stop = new AbortController();
  const read: RangeReader = (range, signal, into) => readRange(s3, pin, range, signal, into);
  const reading = AbortSignal.any([deadline.signal, stop.signal]);

  /** Does not throw: on an error of its input, `pMap` would not wait for the parts in flight. */
  async function* loadParts(): AsyncGenerator<LoadedPart> {
    try {
      for await (const part of readParts(parts, upload, read, reading)) {
        if (stop.signal.aborted || !deadline.hasTimeFor(slowestMs)) return part.release();
        yield part;
      }
    } catch (error) {
      stop.abort(error);
    }
  }

  async function sendPart({ part, range, body: loaded, release }: LoadedPart): Promise<void> {
    const startedAt = performance.now();
    try {
      for (let resends = 0, body = loaded; ; resends++) {
        try {
          await inFlight.run(async () => {
            stop.signal.throwIfAborted();
            const checks = await vod.sendPart({ ...upload, pin }, { part, range }, body, deadline.signal);
            if (checks) runs.push({ first: part, count: 1, ...checks });
          });
          break;
        } catch (error) {
          if (!(error instanceof PartRejected) || resends === MAX_RESENDS) throw error;
          reportRetries({ of: 'VOD', count: 1 });
          if (body instanceof Uint8Array) body = await read(range, deadline.signal);
        }
      }
      done.add(part);
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      reportProgress({ stage: 'part', pin, bytes: range.size });
      report.add(range.size);
    } catch (error) {
      stop.abort(error);
    } finally {
      release();
    }
  }

  await pMap(loadParts(), sendPart, { concurrency });
  await report.end();
  const missing = parts.filter((part) => !done.has(part));
  return outputOf(input, { done: [...done], missing, runs }, stop.signal.reason, deadline.limit);
}

/** `runs`: the checksums of the parts that are done. */
type BatchResult = Readonly<{
  done: readonly number[];
  missing: readonly number[];
  runs?: readonly PartRun[];
}>;

/** Decides how the execution continues after these parts were sent. `error`: the first one, if any. */
export function outputOf(
  { batch: _, sent, ...state }: PartInput,
  { done, missing, runs = [] }: BatchResult,
  error: unknown,
  limitMs: number,
): PartOutput {
  const { pin, upload } = state;
  const total = {
    parts: sent.parts + done.length,
    bytes: done.reduce((sum, part) => sum + partRange(part, upload).size, sent.bytes),
    ...(runs.length > 0 && { runs: mergeRuns([...(sent.runs ?? []), ...runs], upload) }),
  };
  if (missing.length === 0) return { ...state, sent: total };
  const restartReason = restartReasonOf(error);
  if (restartReason) return { ...state, sent: { ...total, restartReason } };
  if (done.length > 0)
    return { ...state, sent: total, batch: encodeBatch(missing), ...waitAfter(error, done.length) };
  if (error !== undefined && !(error instanceof DeadlineExceeded)) throw error;
  throw new NoProgress(
    `UploadPart s3://${pin.bucket}/${pin.key}: expected at least one part of ${upload.partSize} bytes within ` +
      `${limitMs} ms, got none. Give the function more time, or redrive if S3 or VOD was slow.`,
  );
}

/** The invocation had time left, so the rest must not start immediately. */
function waitAfter(error: unknown, sentParts: number): Pick<PartOutput, 'waitSeconds'> {
  if (error === undefined || error instanceof DeadlineExceeded) return {};
  if (!(error instanceof QuotaExceeded)) return { waitSeconds: randomSeconds(5, 20) };
  return { waitSeconds: sentParts < MIN_BATCH_PARTS ? randomSeconds(120, 300) : randomSeconds(30, 90) };
}

/** Reports the sent bytes in groups: each report is a write to the quota table. */
export function reporter(send: ((bytes: number) => Promise<void>) | undefined) {
  let bytes = 0;
  let last = Promise.resolve();
  const flush = (): void => {
    const reported = bytes;
    bytes = 0;
    // A lost report only makes the next object wait longer.
    if (send) last = last.then(() => send(reported)).catch(() => {});
  };
  return {
    add: (more: number): void => {
      bytes += more;
      if (bytes >= REPORT_BYTES) flush();
    },
    end: async (): Promise<void> => {
      if (bytes > 0) flush();
      await last;
    },
  };
}

/** Errors after which Init must look at the object and at VOD's part list again. */
const restartReasonOf = (error: unknown): string | undefined =>
  error instanceof UploadNotFound || error instanceof ObjectChanged || error instanceof ObjectDeleted
    ? error.name // without the message: one state contains the reasons of hundreds of batches
    : undefined;
