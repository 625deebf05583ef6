import { addAbortSignal, Readable } from 'node:stream';
import {
  GetObjectAnnotationCommand,
  ListObjectAnnotationsCommand,
  PutObjectAnnotationCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { ObjectDeleted, StorageRejected, UnsupportedObject } from '../errors.ts';
import type { ObjectVersion } from '../schemas.ts';
import { quoteETag } from './copy-fields.ts';
import { isForbidden, unquoteETag } from './head-object.ts';
import { isNotImplemented, REQUEST_TIMEOUT_MS, sendS3WithTimeout, toStorageError } from './request.ts';
import { abilitiesOf } from './store-abilities.ts';

/**
 * An annotation is a named text of an object version. Writing one makes no new version and emits no object-created event. It
 * stays until the object is overwritten, and CopyObject copies it.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/annotations-overview.html
 */

const MAX_ANNOTATION_BYTES = 1024 ** 2;

const UNKNOWN_SERVICE = 'the S3 service does not know annotations';

/** `text`: undefined if the object has no such annotation. `unsupported`: why it cannot have one. */
export type AnnotationRead = Readonly<{ text: string | undefined } | { unsupported: string }>;

/** @throws {ObjectDeleted} {StorageUnavailable} */
export async function readAnnotation(
  s3: S3Client,
  { bucket, key, versionId, etag }: ObjectVersion,
  name: string,
  signal: AbortSignal,
): Promise<AnnotationRead> {
  const abilities = abilitiesOf(s3);
  if (abilities.hasAnnotations === false) return { unsupported: UNKNOWN_SERVICE };
  const operation = `GET annotation ${name} of s3://${bucket}/${key}`;
  const object = { Bucket: bucket, Key: key, VersionId: versionId };
  const command = new GetObjectAnnotationCommand({ ...object, AnnotationName: name });
  try {
    const output = await sendS3WithTimeout(s3, operation, command, signal);
    const { AnnotationPayload: body, ContentLength = 0, ETag } = output;
    // A service that does not know annotations ignores the query and returns the object itself.
    if (!(body instanceof Readable) || ContentLength > MAX_ANNOTATION_BYTES || unquoteETag(ETag) === etag) {
      if (body instanceof Readable) body.destroy();
      abilities.hasAnnotations ??= false;
      return { unsupported: UNKNOWN_SERVICE };
    }
    const limit = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    addAbortSignal(limit, body);
    const text = await body.transformToString('utf8').catch((error: unknown) => {
      throw toStorageError(operation, error, signal);
    });
    abilities.hasAnnotations = true;
    return { text };
  } catch (error) {
    if (isNoSuchAnnotation(error)) {
      abilities.hasAnnotations = true;
      return { text: undefined };
    }
    const unsupported = whyUnsupported('GetObjectAnnotation', error);
    if (unsupported === undefined) throw error;
    if (isNotImplemented(error)) abilities.hasAnnotations ??= false;
    return { unsupported };
  }
}

/**
 * Writes an annotation if the object still has the ETag of `pin`. Only for a service for which `readAnnotation` has returned a text or none: a
 * service that does not know annotations would replace the object with the text.
 * @returns why S3 rejected it, or undefined
 * @throws {ObjectChanged} {ObjectDeleted} {StorageUnavailable}
 */
export async function putAnnotation(
  s3: S3Client,
  pin: ObjectVersion,
  name: string,
  text: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { bucket, key, versionId } = pin;
  const command = new PutObjectAnnotationCommand({
    Bucket: bucket,
    Key: key,
    VersionId: versionId,
    AnnotationName: name,
    AnnotationPayload: text,
    ObjectIfMatch: quoteETag(pin),
  });
  try {
    await sendS3WithTimeout(s3, `PUT annotation ${name} of s3://${bucket}/${key}`, command, signal);
    return undefined;
  } catch (error) {
    const unsupported = whyUnsupported('PutObjectAnnotation', error);
    if (unsupported === undefined) throw error;
    return unsupported;
  }
}

/**
 * Finds out whether a copy in parts would lose annotations.
 * @returns why it would, or undefined
 * @throws {ObjectDeleted} {StorageUnavailable}
 */
export async function whyNotCopyableInParts(
  s3: S3Client,
  pin: ObjectVersion,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await findAnnotations(s3, pin, signal);
  if (found === 'some') return 'it has annotations, which a copy in parts would lose';
  return found === 'none' ? undefined : found.hidden;
}

/**
 * Finds out whether S3 may have rejected a copy because of annotations: the copy of an object that has some needs the
 * permissions to read and to write them.
 * @returns why it may have, or undefined
 * @throws {ObjectDeleted} {StorageUnavailable}
 */
export async function whyCopyForbidden(
  s3: S3Client,
  pin: ObjectVersion,
  error: unknown,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!isForbidden(error, 'AccessDenied')) return undefined;
  const found = await findAnnotations(s3, pin, signal);
  if (found === 'none') return undefined;
  const cause = found === 'some' ? 'it has annotations' : `it may have annotations, and ${found.hidden}`;
  return `${whyUnsupported('CopyObject', error)}: ${cause}. Check s3:GetObjectAnnotation and s3:PutObjectAnnotation`;
}

/**
 * A store that does not know annotations would return the object instead of a list, so `readAnnotation` finds out first.
 * `hidden`: the rejection by a policy.
 */
async function findAnnotations(
  s3: S3Client,
  { versionId: _, ...pin }: ObjectVersion,
  signal: AbortSignal,
): Promise<'none' | 'some' | Readonly<{ hidden: string }>> {
  const abilities = abilitiesOf(s3);
  if (abilities.hasAnnotations === undefined) await readAnnotation(s3, pin, 'any', signal);
  if (abilities.hasAnnotations === false) return 'none';
  const { bucket: Bucket, key: Key } = pin;
  const command = new ListObjectAnnotationsCommand({ Bucket, Key, MaxAnnotationResults: 1 });
  try {
    const operation = `LIST annotations of s3://${Bucket}/${Key}`;
    const { Annotations = [] } = await sendS3WithTimeout(s3, operation, command, signal);
    return Annotations.length > 0 ? 'some' : 'none';
  } catch (error) {
    const unsupported = whyUnsupported('ListObjectAnnotations', error);
    if (unsupported === undefined) throw error;
    return isForbidden(error) ? { hidden: unsupported } : 'none';
  }
}

const isNoSuchAnnotation = (error: unknown): boolean =>
  error instanceof ObjectDeleted && error.cause instanceof Error && error.cause.name === 'NoSuchAnnotation';

const OBJECT_IS_GONE = new Set(['NoSuchKey', 'NoSuchVersion', 'NoSuchBucket']);

/** The permanent rejection of a call: by the service, the region, the kind of object, the policy, or a limit. */
function whyUnsupported(call: string, error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  const isPermanent =
    error instanceof StorageRejected ||
    error instanceof UnsupportedObject ||
    (error instanceof ObjectDeleted && cause instanceof Error && !OBJECT_IS_GONE.has(cause.name));
  if (!isPermanent) return undefined;
  const status = cause instanceof S3ServiceException ? cause.$metadata.httpStatusCode : undefined;
  return `S3 rejects ${call} (${[status, cause instanceof Error && cause.name].filter(Boolean).join(' ')})`;
}
