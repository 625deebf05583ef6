import { DeadlineExceeded } from '../deadline.ts';
import { NoProgress, ObjectChanged, ObjectDeleted, ObjectNotFound } from '../errors.ts';
import type { ObjectVersion, Outcome, Result, SentTotals, UploadRequest } from '../schemas.ts';

type JobState = Readonly<{ request: UploadRequest; pin?: ObjectVersion | undefined; sent: SentTotals }>;

/** The end of an object's journey. */
export const finalResult = (
  { request: { bucket, key }, pin, sent }: JobState,
  outcome: Outcome,
  more: Partial<Pick<Result, 'reason' | 'fileId' | 'url' | 'sha1' | 'size' | 'coverOf'>> = {},
): Result => ({ next: 'done', bucket, key, outcome, ...(pin && { size: pin.size }), ...more, sent });

export const SUPERSEDED_REASON =
  'the object was overwritten since: the event of its new state brings that one';

/**
 * The end that an error means, where it means one: an object that changed or vanished on the way is no failure. Somebody
 * who asks for an object that is not there is told so, though.
 * @throws the error itself where it is a failure
 */
export function resultFromError(error: unknown, job: JobState): Result {
  const { bucket, key, etag } = job.request;
  if (error instanceof ObjectChanged) return finalResult(job, 'superseded', { reason: SUPERSEDED_REASON });
  if (error instanceof ObjectDeleted) {
    if (job.pin || etag !== undefined)
      return finalResult(job, 'deleted', { reason: 'the object was deleted since' });
    throw new ObjectNotFound(`s3://${bucket}/${key}: there is no such object or bucket: check both names`, {
      cause: error,
    });
  }
  throw toNoProgressError(error, job.request);
}

/** The time that was over, as an error of the step; any other error is itself. */
export function toNoProgressError(error: unknown, { bucket, key }: { bucket: string; key: string }): unknown {
  if (!(error instanceof DeadlineExceeded)) return error;
  return new NoProgress(
    `s3://${bucket}/${key}: ${error.message} before S3 or VOD answered: give the function more time, or redrive if they ` +
      'were slow',
    { cause: error },
  );
}
