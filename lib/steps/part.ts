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
import type { PartInput, PartOutput, UploadBounds } from '../schemas.ts';
import { AdaptiveLimit } from '../upload/adaptive-limit.ts';
import { READ_BYTES, readBuffer, releaseBuffer } from '../upload/buffer-pool.ts';
import {
  type ByteRange,
  decodeBatch,
  encodeBatch,
  groupForReading,
  MIN_BATCH_PARTS,
  partRange,
} from '../upload/plan.ts';
import { prefetch } from '../upload/prefetch.ts';
import { randomSeconds } from './result.ts';
import type { Services } from './services.ts';

/** Ranged reads in flight, of several parts each, while earlier parts are sent. */
const READS_AHEAD = 2;

/** If VOD takes 200 ms per part, one function still sends 160 MiB/s. */
export const PARTS_IN_FLIGHT = 32;

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
  const inFlight = new AdaptiveLimit(PARTS_IN_FLIGHT);
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

  async function sendPart({ part, range, bytes, release }: LoadedPart): Promise<void> {
    const startedAt = performance.now();
    try {
      for (let resends = 0, body = bytes; ; resends++, body = await read(range, deadline.signal)) {
        try {
          await inFlight.run(async () => {
            stop.signal.throwIfAborted();
            await vod.uploadPart(upload.sha1, range, body, deadline.signal);
          });
          break;
        } catch (error) {
          if (!(error instanceof PartRejected) || resends === MAX_RESENDS) throw error;
          reportRetries({ of: 'VOD', count: 1 });
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

  await pMap(loadParts(), sendPart, { concurrency: PARTS_IN_FLIGHT });
  await report.end();
  const missing = parts.filter((part) => !done.has(part));
  return outputOf(input, [...done], missing, stop.signal.reason, deadline.limit);
}

/** Decides how the execution continues after these parts were sent. `error`: the first one, if any. */
export function outputOf(
  { batch: _, sent, ...state }: PartInput,
  done: readonly number[],
  missing: readonly number[],
  error: unknown,
  limitMs: number,
): PartOutput {
  const { pin, upload } = state;
  const total = {
    parts: sent.parts + done.length,
    bytes: done.reduce((sum, part) => sum + partRange(part, upload).size, sent.bytes),
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

type RangeReader = (range: ByteRange, signal: AbortSignal, into?: Uint8Array) => Promise<Uint8Array>;

/** `bytes` is part of a shared buffer. The receiver calls `release` when it no longer reads them. */
type LoadedPart = Readonly<{ part: number; range: ByteRange; bytes: Uint8Array; release: () => void }>;

/** Reads parts in order and ahead. Consecutive parts share one request and one buffer. */
async function* readParts(
  parts: readonly number[],
  upload: UploadBounds,
  read: RangeReader,
  signal: AbortSignal,
): AsyncGenerator<LoadedPart> {
  const groups = groupForReading(parts, upload, READ_BYTES);
  const spanOf = (group: readonly number[]): ByteRange => ({
    offset: partRange(group[0] ?? 0, upload).offset,
    size: group.reduce((sum, part) => sum + partRange(part, upload).size, 0),
  });
  const readGroup = (group: number[], aborted: AbortSignal) => {
    const span = spanOf(group);
    return readBuffer(span.size, aborted, (into) => read(span, aborted, into));
  };
  const reads = prefetch(groups, READS_AHEAD, readGroup, signal, releaseBuffer);
  for await (const { item: group, result: buffer } of reads) {
    const { offset: start } = spanOf(group);
    let users = 1; // this loop, and each part that it yielded
    const release = (): void => {
      if (--users === 0) releaseBuffer(buffer);
    };
    try {
      for (const part of group) {
        const range = partRange(part, upload);
        const from = range.offset - start;
        users++;
        yield { part, range, bytes: buffer.subarray(from, from + range.size), release };
      }
    } finally {
      release();
    }
  }
}
