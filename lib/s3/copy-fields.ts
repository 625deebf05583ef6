import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { HttpRequest } from '@smithy/core/protocols';
import type { MiddlewareStack } from '@smithy/types';
import type { ObjectVersion } from '../schemas.ts';
import type { Grants } from './grants.ts';
import type { Metadata, ObjectHead } from './head-object.ts';
import { isNotImplemented } from './request.ts';

/** A copy drops every field that the request does not restate. */
export const preservedFields = ({ response, pin }: ObjectHead, metadata: Metadata, grants: Grants) => ({
  Bucket: pin.bucket,
  Key: pin.key,
  Metadata: { ...metadata },
  CacheControl: response.CacheControl,
  ContentDisposition: response.ContentDisposition,
  ContentEncoding: response.ContentEncoding,
  ContentLanguage: response.ContentLanguage,
  ContentType: response.ContentType,
  WebsiteRedirectLocation: response.WebsiteRedirectLocation,
  StorageClass: response.StorageClass,
  ServerSideEncryption: response.ServerSideEncryption,
  SSEKMSKeyId: response.SSEKMSKeyId,
  // Left out, it would take the bucket's default.
  BucketKeyEnabled: response.ServerSideEncryption?.startsWith('aws:kms')
    ? (response.BucketKeyEnabled ?? false)
    : undefined,
  ObjectLockLegalHoldStatus: response.ObjectLockLegalHoldStatus,
  // Left out, they would take the bucket's default.
  ObjectLockEventHold: response.ObjectLockEventHold,
  ObjectLockEventHoldDurationDays: response.ObjectLockEventHoldDurationDays,
  ObjectLockEventHoldDurationYears: response.ObjectLockEventHoldDurationYears,
  ...activeRetention(response),
  ...grants,
});
export type CopyFields = ReturnType<typeof preservedFields>;

/** S3 rejects a retention date in the past. */
const activeRetention = ({ ObjectLockMode, ObjectLockRetainUntilDate }: HeadObjectCommandOutput) =>
  ObjectLockRetainUntilDate && ObjectLockRetainUntilDate > new Date()
    ? { ObjectLockMode, ObjectLockRetainUntilDate }
    : {};

/** Sends the original `Expires` header: the SDK's field accepts only dates, and `0` or `-1` are common. */
export function preserveExpires<I extends object, O extends object>(
  stack: MiddlewareStack<I, O>,
  { response: { ExpiresString: expires } }: ObjectHead,
): void {
  if (expires === undefined) return;
  stack.add(
    (next) => (args) => {
      if (HttpRequest.isInstance(args.request)) args.request.headers.expires = expires;
      return next(args);
    },
    { step: 'build', name: 'preserveExpires' },
  );
}

/** Names no version: the conditions then apply to the current one, also in a service without destination conditions. */
export const copySource = ({ bucket, key }: ObjectVersion): string =>
  `${bucket}/${key}`.split('/').map(encodeURIComponent).join('/');

export const quoteETag = ({ etag }: ObjectVersion): string => `"${etag}"`;

/** Sends with `conditions`, or with `fallback` to a service that does not implement them. */
export async function withFallback<C, T>(
  conditions: C,
  fallback: C,
  send: (conditions: C) => Promise<T>,
  isUnsupported: (error: unknown) => boolean = isNotImplemented,
): Promise<T> {
  try {
    return await send(conditions);
  } catch (error) {
    if (isUnsupported(error)) return send(fallback);
    throw error;
  }
}
