import { NoProgress, ObjectChanged, ObjectDeleted, ObjectNotFound } from '../errors.ts';
import { type Deadline, DeadlineExceeded } from '../invocation/deadline.ts';
import type { ObjectVersion, Outcome, Result, SentTotals, UploadRequest } from '../schemas.ts';
import type { Services } from './services.ts';

type JobState = Readonly<{
  request: UploadRequest;
  pin?: ObjectVersion | undefined;
  sent: SentTotals;
  note?: string | undefined;
}>;

/** The output of an execution. */
export const finalResult = (
  { request: { bucket, key }, pin, sent: { parts, bytes }, note }: JobState,
  outcome: Outcome,
  more: Partial<Pick<Result, 'reason' | 'fileId' | 'url' | 'sha1' | 'size' | 'coverOf'>> = {},
): Result => ({
  next: 'done',
  ...{ bucket, key, outcome },
  ...(pin && { size: pin.size }),
  ...more,
  ...(note !== undefined && { reason: more.reason === undefined ? note : `${more.reason}; ${note}` }),
  sent: { parts, bytes },
});

/** Adds a fact about the upload to those of earlier rounds. */
export const joinNotes = (earlier: string | undefined, note: string | undefined): string | undefined =>
  earlier === undefined || note === undefined || earlier.includes(note)
    ? (earlier ?? note)
    : `${earlier}; ${note}`;

export const SUPERSEDED_REASON =
  'the object was overwritten; the event of the new version starts its own execution';

/**
 * Turns an error into an outcome if the object changed or was deleted during the execution. A request for an object that
 * never existed fails.
 * @throws {ObjectNotFound} {NoProgress} and any other error, unchanged
 */
export function resultFromError(error: unknown, job: JobState): Result {
  if (error instanceof ObjectChanged) return finalResult(job, 'superseded', { reason: SUPERSEDED_REASON });
  if (!(error instanceof ObjectDeleted)) throw toNoProgressError(error, job.request);
  const { bucket, key, etag } = job.request;
  if (job.pin || etag !== undefined)
    return finalResult(job, 'deleted', {
      reason: 'the object was deleted after the execution was requested',
    });
  throw new ObjectNotFound(`s3://${bucket}/${key}: there is no such object or bucket. Check both names.`, {
    cause: error,
  });
}

/** Converts `DeadlineExceeded` to an error that the state machine knows. Returns any other error unchanged. */
export function toNoProgressError(error: unknown, { bucket, key }: { bucket: string; key: string }): unknown {
  if (!(error instanceof DeadlineExceeded)) return error;
  return new NoProgress(
    `s3://${bucket}/${key}: ${error.message} before S3 or VOD responded. ` +
      'Give the function more time, or redrive if S3 or VOD was slow.',
    { cause: error },
  );
}

export function sumSent(totals: readonly SentTotals[]): SentTotals {
  const runs = totals.flatMap(({ runs = [] }) => runs);
  return {
    parts: totals.reduce((sum, { parts }) => sum + parts, 0),
    bytes: totals.reduce((sum, { bytes }) => sum + bytes, 0),
    ...(runs.length > 0 && { runs }),
  };
}

/** Releases the place of an execution. If this fails, its lease ends later. */
export const leaveAdmission = async (
  { execution, pin }: Readonly<{ execution?: string | undefined; pin?: ObjectVersion | undefined }>,
  { admission }: Pick<Services, 'admission'>,
): Promise<void> => {
  if (execution === undefined || !pin || !admission.appliesTo(pin.size)) return;
  await admission.leave(execution).catch(() => {});
};

/** Removes what an upload left that will not be closed. VOD removes the rest later. */
export const abandonUpload = async (
  { session, pin }: Readonly<{ session?: string | undefined; pin?: ObjectVersion | undefined }>,
  { vod }: Pick<Services, 'vod'>,
  { signal }: Deadline,
): Promise<void> => {
  if (session !== undefined && pin) await vod.abandon({ session, pin }, signal).catch(() => {});
};

/** A wait outside the function. Executions that wait together come back one by one. */
export const randomSeconds = (least: number, most: number): number =>
  Math.round(least + Math.random() * (most - least));
