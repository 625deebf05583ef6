import { OutOfTime } from '../deadline.ts';
import { ObjectChanged, ObjectGone, ObjectNotFound, TimeLimitTooShort } from '../errors.ts';
import type { Outcome, Pin, Request, Result, Sent } from '../schemas.ts';

type Journey = Readonly<{ request: Request; pin?: Pin | undefined; sent: Sent }>;

/** The end of an object's journey. */
export const done = (
  { request: { bucket, key }, pin, sent }: Journey,
  outcome: Outcome,
  more: Partial<Pick<Result, 'why' | 'fileId' | 'url' | 'sha1' | 'size' | 'coverOf'>> = {},
): Result => ({ next: 'done', bucket, key, outcome, ...(pin && { size: pin.size }), ...more, sent });

export const SUPERSEDED = 'the object was overwritten since: the event of its new state brings that one';

/**
 * The end that an error means, where it means one: an object that changed or vanished on the way is no failure. Somebody
 * who asks for an object that is not there is told so, though.
 * @throws the error itself where it is a failure
 */
export function endedBy(error: unknown, job: Journey): Result {
  const { bucket, key, etag } = job.request;
  if (error instanceof ObjectChanged) return done(job, 'superseded', { why: SUPERSEDED });
  if (error instanceof ObjectGone) {
    if (job.pin || etag !== undefined) return done(job, 'gone', { why: 'the object was deleted since' });
    throw new ObjectNotFound(`s3://${bucket}/${key}: there is no such object or bucket: check both names`, {
      cause: error,
    });
  }
  throw timely(error, job.request);
}

/** The time that was over, as an error of the step; any other error is itself. */
export function timely(error: unknown, { bucket, key }: { bucket: string; key: string }): unknown {
  if (!(error instanceof OutOfTime)) return error;
  return new TimeLimitTooShort(
    `s3://${bucket}/${key}: ${error.message} before S3 or VOD answered: give the function more time, or redrive if they ` +
      'were slow',
    { cause: error },
  );
}
