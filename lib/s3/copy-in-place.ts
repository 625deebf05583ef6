import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  type CopyObjectCommandInput,
  CreateMultipartUploadCommand,
  GetObjectAclCommand,
  type Grant,
  type HeadObjectCommandOutput,
  type S3Client,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { HttpRequest } from '@smithy/core/protocols';
import type { MiddlewareStack } from '@smithy/types';
import pMap from 'p-map';
import { ObjectChanged, StorageRejected } from '../errors.ts';
import type { ObjectVersion, Sha1 } from '../schemas.ts';
import { type ByteRange, ranges } from '../upload/plan.ts';
import { fullObjectSha1, headObject, type ObjectHead, unquoteETag, versionOf } from './head-object.ts';
import { sendS3, sendS3WithTimeout } from './request.ts';
import { readTags } from './tags.ts';

/**
 * An object copied onto itself with other user metadata. A copy drops whatever is not restated, so all else is; and both
 * ends are conditional, so that another writer's newer object is never overwritten.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
 */

/** Parts of a larger object's copy: S3 copies one at some 100 MB/s, so they go side by side. At most 10,000, of 5 GiB at most. */
const COPY_PART_BYTES = 1024 ** 3;
const MAX_PARTS = 10_000;
const PARTS_IN_FLIGHT = 64;

/** Longest wait, in milliseconds, to give back a copy that failed. */
const ABORT_MS = 5_000;

type Metadata = Readonly<Record<string, string>>;

/** What the copy has become. `sha1`: S3's own, of what it now holds, where it computed one. */
export type CopyResult = Readonly<{ etag: string; versionId: string | undefined; sha1: Sha1 | undefined }>;

/**
 * @param maxCopyBytes from which size on the copy is made in parts
 * @throws {ObjectChanged} {ObjectDeleted} {StorageRejected} {StorageUnavailable}; an unfinished copy is given back
 */
export async function copyInPlace(
  s3: S3Client,
  from: ObjectHead,
  metadata: Metadata,
  signal: AbortSignal,
  maxCopyBytes: number,
): Promise<CopyResult> {
  const fields = { ...preservedFields(from, metadata), ...(await readGrants(s3, from.pin, signal)) };
  return from.pin.size <= maxCopyBytes
    ? copyWhole(s3, from, fields, signal)
    : copyInParts(s3, from, fields, signal, Math.min(COPY_PART_BYTES, maxCopyBytes));
}

/** What a copy of either kind has to say again. */
const preservedFields = ({ head, pin }: ObjectHead, metadata: Metadata) => ({
  Bucket: pin.bucket,
  Key: pin.key,
  Metadata: { ...metadata },
  CacheControl: head.CacheControl,
  ContentDisposition: head.ContentDisposition,
  ContentEncoding: head.ContentEncoding,
  ContentLanguage: head.ContentLanguage,
  ContentType: head.ContentType,
  WebsiteRedirectLocation: head.WebsiteRedirectLocation,
  StorageClass: head.StorageClass,
  ServerSideEncryption: head.ServerSideEncryption,
  SSEKMSKeyId: head.SSEKMSKeyId,
  // Left out, it would be as the bucket has it.
  BucketKeyEnabled: head.ServerSideEncryption?.startsWith('aws:kms')
    ? (head.BucketKeyEnabled ?? false)
    : undefined,
  ObjectLockLegalHoldStatus: head.ObjectLockLegalHoldStatus,
  ...retentionOf(head),
});

/** A lock that has run out protects nothing, and S3 takes no date in the past. */
const retentionOf = ({ ObjectLockMode, ObjectLockRetainUntilDate }: HeadObjectCommandOutput) =>
  ObjectLockRetainUntilDate && ObjectLockRetainUntilDate > new Date()
    ? { ObjectLockMode, ObjectLockRetainUntilDate }
    : {};

type Fields = ReturnType<typeof preservedFields> & Grants;

/** No version is named: the condition is then on the current one, also where the store knows none on the destination. */
const sourceOf = ({ bucket, key }: ObjectVersion) =>
  `${bucket}/${key}`.split('/').map(encodeURIComponent).join('/');
const quoted = ({ etag }: ObjectVersion): string => `"${etag}"`;

/** Sends with the conditions; with fewer to a store that does not know them all. */
async function withFallback<C extends object, T>(
  conditions: C,
  fewer: C,
  send: (conditions: C) => Promise<T>,
): Promise<T> {
  try {
    return await send(conditions);
  } catch (error) {
    if (isNotImplemented(error)) return send(fewer);
    throw error;
  }
}

type CopyConditions = Pick<
  CopyObjectCommandInput,
  'IfMatch' | 'CopySourceIfMatch' | 'CopySourceIfUnmodifiedSince'
>;

async function copyWhole(
  s3: S3Client,
  from: ObjectHead,
  fields: Fields,
  signal: AbortSignal,
): Promise<CopyResult> {
  const { pin, head } = from;
  const what = `COPY s3://${pin.bucket}/${pin.key} onto itself`;
  // Who writes other metadata to the same bytes leaves the ETag as it is; it shows in the time alone, to the second. S3 looks at
  // that only where nothing is said of the source's ETag: the destination's is the same.
  const ifSameETag: CopyConditions = { CopySourceIfMatch: quoted(pin) };
  const ifUnmodified: CopyConditions = {
    IfMatch: quoted(pin),
    ...(head.LastModified ? { CopySourceIfUnmodifiedSince: head.LastModified } : ifSameETag),
  };
  const { CopyObjectResult: result, VersionId } = await withFallback(
    ifUnmodified,
    ifSameETag,
    (conditions) => {
      const command = new CopyObjectCommand({
        ...fields,
        ...conditions,
        CopySource: sourceOf(pin),
        MetadataDirective: 'REPLACE',
        TaggingDirective: 'COPY',
        // Computed by S3 over the stored bytes: a proof from end to end, and what vouches for the object from now on.
        ChecksumAlgorithm: 'SHA1',
      });
      restateExpires(command.middlewareStack, from);
      return sendS3(what, signal, () => s3.send(command, { abortSignal: signal }));
    },
  );
  return { etag: unquoteETag(result?.ETag), versionId: versionOf(VersionId), sha1: fullObjectSha1(result) };
}

async function copyInParts(
  s3: S3Client,
  from: ObjectHead,
  fields: Fields,
  signal: AbortSignal,
  partBytes: number,
): Promise<CopyResult> {
  const { pin, checksum } = from;
  const { bucket: Bucket, key: Key } = pin;
  const what = `COPY s3://${Bucket}/${Key} onto itself in parts`;
  const Tagging = toTaggingHeader(await readTags(s3, pin, signal));
  const create = new CreateMultipartUploadCommand({
    ...fields,
    Tagging, // unlike CopyObject, this copies no tags
    ...(checksum && { ChecksumAlgorithm: checksum.algorithm, ChecksumType: 'FULL_OBJECT' }),
  });
  restateExpires(create.middlewareStack, from);
  const { UploadId } = await sendS3WithTimeout(what, signal, (abortSignal) =>
    s3.send(create, { abortSignal }),
  );
  const upload = { Bucket, Key, UploadId };
  try {
    const Parts = await copyParts(s3, pin, upload, what, partBytes, signal);
    await assertUnmodified(s3, from, what, signal);
    if (toTaggingHeader(await readTags(s3, pin, signal)) !== Tagging)
      throw new ObjectChanged(`${what}: its tags were changed meanwhile`);
    const { ETag, VersionId } = await withFallback({ IfMatch: quoted(pin) }, {}, (conditions) => {
      const complete = new CompleteMultipartUploadCommand({
        ...upload,
        ...conditions,
        MultipartUpload: { Parts },
        ...(checksum && { ChecksumType: 'FULL_OBJECT' }),
      });
      return sendS3(what, signal, () => s3.send(complete, { abortSignal: signal }));
    });
    // Of parts S3 computes no SHA-1 of the whole.
    return { etag: unquoteETag(ETag), versionId: versionOf(VersionId), sha1: undefined };
  } catch (error) {
    // Parts of an unfinished copy are paid for. Where this fails too, the bucket's lifecycle rule has to do it.
    const abort = new AbortMultipartUploadCommand(upload);
    await s3.send(abort, { abortSignal: AbortSignal.timeout(ABORT_MS) }).catch(() => {});
    throw error;
  }
}

/** Copying the parts takes minutes, and the condition on the end of it sees only other bytes. */
async function assertUnmodified(
  s3: S3Client,
  from: ObjectHead,
  what: string,
  signal: AbortSignal,
): Promise<void> {
  const now = await headObject(s3, from.pin, signal);
  const [then, since] = [from.head.LastModified, now.head.LastModified];
  if (now.pin.versionId === from.pin.versionId && then?.getTime() === since?.getTime()) return;
  throw new ObjectChanged(
    `${what}: expected it as of ${then?.toISOString()}, it was written ${since?.toISOString()}`,
  );
}

/** All parts side by side. When one fails the others are stopped and waited for: none may arrive after the copy is given back. */
async function copyParts(
  s3: S3Client,
  pin: ObjectVersion,
  upload: { Bucket: string; Key: string; UploadId: string | undefined },
  what: string,
  partBytes: number,
  signal: AbortSignal,
): Promise<CompletedPart[]> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  let fault: { error: unknown } | undefined;
  const copyPart = async ({ offset, size }: ByteRange, index: number): Promise<CompletedPart> => {
    const PartNumber = index + 1;
    if (fault) return { PartNumber };
    const CopySourceRange = `bytes=${offset}-${offset + size - 1}`;
    const source = { CopySource: sourceOf(pin), CopySourceIfMatch: quoted(pin), CopySourceRange };
    const command = new UploadPartCopyCommand({ ...upload, ...source, PartNumber });
    try {
      const { CopyPartResult } = await sendS3(`${what}, part ${PartNumber}`, either, () =>
        s3.send(command, { abortSignal: either }),
      );
      const { LastModified: _, ...part } = CopyPartResult ?? {};
      return { PartNumber, ...part };
    } catch (error) {
      fault ??= { error };
      stop.abort();
      return { PartNumber };
    }
  };
  const size = Math.max(partBytes, Math.ceil(pin.size / MAX_PARTS));
  const parts = await pMap(ranges(0, pin.size, size), copyPart, { concurrency: PARTS_IN_FLIGHT });
  if (fault) throw fault.error;
  return parts;
}

/** As it was said: the client's own field takes dates alone, and `0` or `-1` are common. */
function restateExpires<I extends object, O extends object>(
  stack: MiddlewareStack<I, O>,
  { head }: ObjectHead,
): void {
  const { ExpiresString: expires } = head;
  if (expires === undefined) return;
  stack.add(
    (next) => (args) => {
      if (HttpRequest.isInstance(args.request)) args.request.headers.expires = expires;
      return next(args);
    },
    { step: 'build', name: 'restateExpires' },
  );
}

const toTaggingHeader = (tags: Readonly<Record<string, string>>): string | undefined =>
  Object.keys(tags).length > 0 ? new URLSearchParams(Object.entries(tags).sort()).toString() : undefined;

const GRANT_FIELDS = {
  FULL_CONTROL: 'GrantFullControl',
  READ: 'GrantRead',
  READ_ACP: 'GrantReadACP',
  WRITE_ACP: 'GrantWriteACP',
} as const;
type Grants = Partial<Record<(typeof GRANT_FIELDS)[keyof typeof GRANT_FIELDS], string>>;

/**
 * The object's ACL as the grants that restate it; nothing where it says nothing beyond the owner's control, which is
 * what a copy gets by itself (and the only ACL of a bucket that enforces its owner's).
 */
async function readGrants(s3: S3Client, pin: ObjectVersion, signal: AbortSignal): Promise<Grants> {
  const command = new GetObjectAclCommand({ Bucket: pin.bucket, Key: pin.key, VersionId: pin.versionId });
  const acl = await sendS3WithTimeout(`GET ACL of s3://${pin.bucket}/${pin.key}`, signal, (abortSignal) =>
    s3.send(command, { abortSignal }),
  ).catch((error: unknown) => {
    // A store without ACLs has none to lose; one that keeps them from us would lose them silently.
    if (isNotImplemented(error)) return undefined;
    throw error;
  });
  const grants = acl?.Grants ?? [];
  const owner = acl?.Owner?.ID;
  if (grants.every((g) => g.Permission === 'FULL_CONTROL' && g.Grantee?.ID === owner)) return {};
  const fields: Grants = {};
  for (const grant of grants) {
    const field =
      grant.Permission && grant.Permission !== 'WRITE' ? GRANT_FIELDS[grant.Permission] : undefined;
    const grantee = granteeOf(grant);
    if (field && grantee) fields[field] = fields[field] ? `${fields[field]}, ${grantee}` : grantee;
  }
  return fields;
}

function granteeOf({ Grantee: grantee }: Grant): string | undefined {
  if (grantee?.URI) return `uri="${grantee.URI}"`;
  if (grantee?.ID) return `id="${grantee.ID}"`;
  return undefined;
}

const isNotImplemented = (error: unknown): boolean =>
  error instanceof StorageRejected &&
  error.cause instanceof Error &&
  ['NotImplemented', 'MethodNotAllowed', 'AccessControlListNotSupported'].includes(error.cause.name);
