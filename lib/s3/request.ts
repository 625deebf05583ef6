import { S3ServiceException } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import {
  errorMessage,
  InvalidSetting,
  ObjectChanged,
  ObjectDeleted,
  StorageRejected,
  StorageUnavailable,
  UnsupportedObject,
} from '../errors.ts';
import { reportRetries } from '../progress.ts';

/** Requests to S3: how long an answer may take, and what its errors mean to the chain. */

/** Longest wait for the answer to a small question (a HEAD, tags, an ACL): the client's own limit is that of large copies. */
const REQUEST_TIMEOUT_MS = 10_000;

/** One request to S3; what goes wrong becomes an error of the chain that names `what` was tried. */
export async function sendS3<T>(what: string, signal: AbortSignal, request: () => Promise<T>): Promise<T> {
  try {
    const reply = await request();
    reportSdkRetries(reply);
    return reply;
  } catch (error) {
    reportSdkRetries(error);
    throw toStorageError(what, error, signal);
  }
}

/**
 * The same for what is answered in a moment, and in good time: a HEAD, tags, an ACL, a page of a list. Repeats included.
 * @param request is to give up as soon as its signal aborts
 */
export async function sendS3WithTimeout<T>(
  what: string,
  signal: AbortSignal,
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const either = AbortSignal.any([signal, limit]);
  try {
    return await sendS3(what, signal, () => request(either));
  } catch (error) {
    if (!limit.aborted || signal.aborted) throw error;
    throw new StorageUnavailable(`${what}: no answer within ${REQUEST_TIMEOUT_MS} ms`, { cause: error });
  }
}

/** What the SDK says of a reply, and of an error: among other things how often it has tried. */
const SdkMetadata = v.object({ $metadata: v.object({ attempts: v.pipe(v.number(), v.minValue(2)) }) });

function reportSdkRetries(answer: unknown): void {
  if (v.is(SdkMetadata, answer)) reportRetries({ of: 'S3', count: answer.$metadata.attempts - 1 });
}

/** Below 500 and yet worth another try: request timeout, conflicting writes, too many requests. */
const RETRYABLE_STATUS = new Set([408, 409, 429]);

/** Said with a 400 by S3, and by KMS through it. */
const THROTTLED = /Throttl|RequestTimeout|SlowDown|LimitExceeded|TooManyRequests/;

/** Another try may go better: the client has learned the time from the reply; whoever has ended the copy has done it whole. */
const RETRYABLE_CODES = new Set(['RequestTimeTooSkewed', 'NoSuchUpload']);

/** What went wrong, as an error of the chain; where `signal` has aborted, its reason. */
export function toStorageError(what: string, error: unknown, signal: AbortSignal): unknown {
  // The reason is ours: the deadline, a sibling's failure, or a stall that already says so.
  if (signal.aborted) return signal.reason;
  if (error instanceof StorageUnavailable) return error;
  const { name, $metadata } =
    error instanceof S3ServiceException ? error : { name: nameOf(error), $metadata: undefined };
  const status = $metadata?.httpStatusCode;
  const said = `${what}: ${[status, errorMessage(error)].filter(Boolean).join(' ')}`;
  if (name === 'CredentialsProviderError') {
    return new InvalidSetting(`${said}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`, { cause: error });
  }
  if (name === 'InvalidObjectState') {
    return new UnsupportedObject(`${said}: the object is archived: restore it, then redrive`, {
      cause: error,
    });
  }
  if (status === 412) return new ObjectChanged(said, { cause: error });
  if (RETRYABLE_CODES.has(name)) return new StorageUnavailable(said, { cause: error });
  if (status === 404) return new ObjectDeleted(said, { cause: error });
  if (status === 401 || status === 403) {
    return new StorageRejected(`${said}: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and the policy`, {
      cause: error,
    });
  }
  if (
    status !== undefined &&
    (status < 500 || status === 501) &&
    !RETRYABLE_STATUS.has(status) &&
    !THROTTLED.test(name)
  ) {
    const moved = status >= 300 && status < 400 ? 'a redirect, which is not followed: ' : '';
    return new StorageRejected(`${said}: ${moved}check S3_ENDPOINT, AWS_REGION, and the bucket`, {
      cause: error,
    });
  }
  return new StorageUnavailable(`${said}: is S3 there, and S3_ENDPOINT right?`, { cause: error });
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '');
