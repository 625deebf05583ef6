import {
  type S3Client,
  type S3ClientResolvedConfig,
  S3ServiceException,
  type ServiceInputTypes,
  type ServiceOutputTypes,
} from '@aws-sdk/client-s3';
import type { Command } from '@smithy/types';
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
import { reportRetries } from '../invocation/progress.ts';

/** The limit for small responses (HEAD, tags, ACL, list page). The client's own limit suits large copies. */
export const REQUEST_TIMEOUT_MS = 10_000;

/**
 * Sends one request and converts its failure with `toStorageError`.
 * @param operation names the request in error messages, such as `HEAD s3://bucket/key`
 */
export async function sendS3<T>(
  operation: string,
  signal: AbortSignal,
  request: () => Promise<T>,
): Promise<T> {
  try {
    const response = await request();
    reportSdkRetries(response);
    return response;
  } catch (error) {
    reportSdkRetries(error);
    throw toStorageError(operation, error, signal);
  }
}

/** `sendS3` for a command with a small response. The limit includes the SDK's retries. */
export async function sendS3WithTimeout<I extends ServiceInputTypes, O extends ServiceOutputTypes>(
  s3: S3Client,
  operation: string,
  command: Command<ServiceInputTypes, I, ServiceOutputTypes, O, S3ClientResolvedConfig>,
  signal: AbortSignal,
): Promise<O> {
  const limit = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  const abortSignal = AbortSignal.any([signal, limit]);
  try {
    return await sendS3(operation, signal, () => s3.send(command, { abortSignal }));
  } catch (error) {
    if (!limit.aborted || signal.aborted) throw error;
    throw new StorageUnavailable(`${operation}: no response within ${REQUEST_TIMEOUT_MS} ms`, {
      cause: error,
    });
  }
}

/** The SDK adds the number of attempts to its responses and errors. */
const RetriedBySdk = v.object({ $metadata: v.object({ attempts: v.pipe(v.number(), v.minValue(2)) }) });

function reportSdkRetries(response: unknown): void {
  if (v.is(RetriedBySdk, response)) reportRetries({ of: 'S3', count: response.$metadata.attempts - 1 });
}

/** Statuses below 500 that a retry can cure: request timeout, conflicting writes, too many requests. */
const RETRYABLE_STATUS = new Set([408, 409, 429]);

/** S3, and KMS through S3, return these codes with status 400. `AnnotationLimitExceeded` is permanent. */
const THROTTLED = /Throttl|RequestTimeout|SlowDown|(?<!Annotation)LimitExceeded|TooManyRequests/;

/**
 * A retry succeeds: the client has learned the time from the response, the copy was already completed, or a part that was
 * copied twice arrived late.
 */
const RETRYABLE_CODES = new Set(['RequestTimeTooSkewed', 'NoSuchUpload', 'InvalidPart']);

/** The failure of a request as an error of this project, or the reason of `signal` if it has aborted. */
export function toStorageError(operation: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof StorageUnavailable) return error;
  const name = error instanceof Error ? error.name : '';
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
  const text = `${operation}: ${[status, errorMessage(error)].filter(Boolean).join(' ')}`;
  const options = { cause: error };
  if (name === 'CredentialsProviderError')
    return new InvalidSetting(`${text}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`, options);
  if (name === 'InvalidObjectState')
    return new UnsupportedObject(`${text}. The object is archived: restore it, then redrive.`, options);
  // 416: the object is smaller now. Some stores check the range before the condition.
  if (status === 412 || status === 416) return new ObjectChanged(text, options);
  if (RETRYABLE_CODES.has(name)) return new StorageUnavailable(text, options);
  if (status === 404) return new ObjectDeleted(text, options);
  if (status === 401 || status === 403) {
    const hint = 'Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and the policy.';
    return new StorageRejected(`${text}. ${hint}`, options);
  }
  const isPermanent =
    status !== undefined &&
    (status < 500 || status === 501) &&
    !RETRYABLE_STATUS.has(status) &&
    !THROTTLED.test(name);
  if (!isPermanent) return new StorageUnavailable(`${text}. Check that S3_ENDPOINT is reachable.`, options);
  const redirect = status >= 300 && status < 400 ? ', a redirect, which is not followed' : '';
  const hint = 'Check S3_ENDPOINT, AWS_REGION, and the bucket.';
  return new StorageRejected(`${text}${redirect}. ${hint}`, options);
}

const NOT_IMPLEMENTED = new Set(['NotImplemented', 'MethodNotAllowed', 'AccessControlListNotSupported']);

/** Whether the service does not know the operation or one of its conditions. */
export const isNotImplemented = (error: unknown): boolean =>
  error instanceof StorageRejected && error.cause instanceof Error && NOT_IMPLEMENTED.has(error.cause.name);
