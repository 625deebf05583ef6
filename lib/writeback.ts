import {
  CopyObjectCommand,
  type CopyObjectCommandInput,
  type CopyObjectCommandOutput,
  GetObjectAclCommand,
  type Grant,
  type HeadObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { ContentMismatch, ObjectChanged, StorageRefused, UnfitObject } from './errors.ts';
import { type Pin, StoredFile } from './job.ts';
import { ask, type Found, find, wholeSha1 } from './source.ts';

/** The `fileId` written onto its object, and nothing else changed. */

/** What the chain writes into an object's metadata. */
export const WRITTEN = ['vod-file-id', 'vod-url', 'vod-sha1', 'vod-etag', 'vod-uploaded-at'] as const;

/** A copy in one request: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html */
const MAX_COPY_BYTES = 5 * 1024 ** 3;

/** User metadata of an object, keys and values together: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html */
const MAX_METADATA_BYTES = 2048;

/**
 * The file that an object is, without reading it: its metadata names one, and S3 itself vouches for the bytes. Metadata
 * alone proves nothing: it travels with copies, and stays on when other bytes are put with it.
 */
export function vouchedFile({ metadata, sha1, pin, etagIsMd5 }: Found): StoredFile | undefined {
  const named = v.safeParse(StoredFile, {
    fileId: metadata['vod-file-id'],
    url: metadata['vod-url'] ?? '',
    sha1: metadata['vod-sha1'],
  });
  if (!named.success) return undefined;
  const vouched =
    sha1 === undefined ? etagIsMd5 && pin.etag === metadata['vod-etag'] : sha1 === named.output.sha1;
  return vouched ? named.output : undefined;
}

/** Whether the object carries this file already: writing it again would only start the loop of its own event. */
export const carries = ({ metadata }: Found, { fileId, url, sha1 }: StoredFile): boolean =>
  metadata['vod-file-id'] === fileId && (metadata['vod-url'] ?? '') === url && metadata['vod-sha1'] === sha1;

/**
 * Writes `file` into the object's metadata by a conditional copy onto itself. All else is restated, since a copy with
 * new metadata drops whatever is not. Answers whether anything was written.
 * @throws {ObjectChanged} {ObjectGone} when the object is no longer the pinned one
 * @throws {UnfitObject} when it cannot be rewritten {ContentMismatch} when S3's own SHA-1 of it is another
 */
export async function writeBack(
  s3: S3Client,
  pin: Pin,
  file: StoredFile,
  signal: AbortSignal,
): Promise<boolean> {
  const found = await find(s3, pin, signal); // as it is now: somebody may have edited it since
  const at = `write-back to s3://${pin.bucket}/${pin.key}`;
  if (found.pin.etag !== pin.etag || found.pin.versionId !== pin.versionId) {
    throw new ObjectChanged(`${at}: expected ${stateOf(pin)}, it is now ${stateOf(found.pin)}`);
  }
  if (carries(found, file)) return false;
  const metadata = {
    ...found.metadata,
    'vod-file-id': file.fileId,
    ...(file.url !== '' && { 'vod-url': file.url }),
    'vod-sha1': file.sha1,
    'vod-etag': pin.etag,
    'vod-uploaded-at': new Date().toISOString(),
  };
  checkRewritable(at, found, metadata);
  const grants = await grantsOf(s3, pin, signal);
  const rewrite = (from: Found, entries: Readonly<Record<string, string>>) =>
    copy(s3, copyOntoItself(from, entries, grants), signal);
  const copied = await rewrite(found, metadata);
  const held = wholeSha1(copied.CopyObjectResult);
  // A store that computes no checksum proves nothing, and refutes nothing.
  if (held !== undefined && held !== file.sha1) {
    await rewrite(await find(s3, pin, signal), found.metadata); // the object shall not carry the id of other bytes
    throw new ContentMismatch(
      `${at}: S3 holds bytes of SHA-1 ${held}, VOD was sent bytes of SHA-1 ${file.sha1}`,
    );
  }
  return true;
}

const stateOf = ({ etag, versionId }: Pin): string => (versionId ? `version ${versionId}` : `ETag ${etag}`);

function checkRewritable(at: string, { head, pin }: Found, metadata: Readonly<Record<string, string>>): void {
  if (pin.size > MAX_COPY_BYTES) {
    throw new UnfitObject(
      `${at}: ${pin.size} bytes, but a copy in one request takes at most ${MAX_COPY_BYTES}`,
    );
  }
  if (head.MissingMeta) {
    throw new UnfitObject(
      `${at}: ${head.MissingMeta} of its metadata entries cannot be read over HTTP and would be lost by a rewrite: ` +
        'rename or remove them, then redrive',
    );
  }
  const bytes = Object.entries(metadata).reduce((sum, entry) => sum + Buffer.byteLength(entry.join('')), 0);
  if (bytes > MAX_METADATA_BYTES) {
    throw new UnfitObject(
      `${at}: its metadata would be ${bytes} bytes, S3 allows ${MAX_METADATA_BYTES}: shorten it, then redrive`,
    );
  }
}

/** A store that does not know the condition on the destination still has the one on the source, which is the same object. */
async function copy(
  s3: S3Client,
  input: CopyObjectCommandInput,
  signal: AbortSignal,
): Promise<CopyObjectCommandOutput> {
  const what = `COPY s3://${input.Bucket}/${input.Key} onto itself`;
  const send = (fields: CopyObjectCommandInput) =>
    ask(what, signal, () => s3.send(new CopyObjectCommand(fields), { abortSignal: signal }));
  try {
    return await send(input);
  } catch (error) {
    if (!isNotImplemented(error)) throw error;
    const { IfMatch: _, ...rest } = input;
    return send(rest);
  }
}

/** Both ends are conditional: the source's ETag, and the destination's where the store knows that condition. */
function copyOntoItself(
  { head, pin }: Found,
  metadata: Readonly<Record<string, string>>,
  grants: Partial<CopyObjectCommandInput>,
): CopyObjectCommandInput {
  const path = `${pin.bucket}/${pin.key}`.split('/').map(encodeURIComponent).join('/');
  return {
    Bucket: pin.bucket,
    Key: pin.key,
    CopySource: pin.versionId ? `${path}?versionId=${encodeURIComponent(pin.versionId)}` : path,
    CopySourceIfMatch: `"${pin.etag}"`,
    IfMatch: `"${pin.etag}"`,
    MetadataDirective: 'REPLACE',
    Metadata: { ...metadata },
    TaggingDirective: 'COPY',
    // S3 computes it over the stored bytes: a proof from end to end, and what vouches for the object from now on.
    ChecksumAlgorithm: 'SHA1',
    CacheControl: head.CacheControl,
    ContentDisposition: head.ContentDisposition,
    ContentEncoding: head.ContentEncoding,
    ContentLanguage: head.ContentLanguage,
    ContentType: head.ContentType,
    Expires: expiresOf(head),
    WebsiteRedirectLocation: head.WebsiteRedirectLocation,
    StorageClass: head.StorageClass,
    ServerSideEncryption: head.ServerSideEncryption,
    SSEKMSKeyId: head.SSEKMSKeyId,
    BucketKeyEnabled: head.BucketKeyEnabled,
    ...retentionOf(head),
    ObjectLockLegalHoldStatus: head.ObjectLockLegalHoldStatus,
    ...grants,
  };
}

function expiresOf({ ExpiresString: text }: HeadObjectCommandOutput): Date | undefined {
  if (text === undefined) return undefined;
  const date = new Date(text);
  if (!Number.isNaN(date.getTime())) return date;
  throw new UnfitObject(
    `its Expires header is no date and would be lost by a rewrite: ${text}: correct it, then redrive`,
  );
}

/** A lock that has run out protects nothing, and S3 takes no date in the past. */
const retentionOf = ({ ObjectLockMode, ObjectLockRetainUntilDate }: HeadObjectCommandOutput) =>
  ObjectLockRetainUntilDate && ObjectLockRetainUntilDate > new Date()
    ? { ObjectLockMode, ObjectLockRetainUntilDate }
    : {};

const GRANT_FIELDS = {
  FULL_CONTROL: 'GrantFullControl',
  READ: 'GrantRead',
  READ_ACP: 'GrantReadACP',
  WRITE_ACP: 'GrantWriteACP',
} as const;

/**
 * The object's ACL as the grants that restate it; nothing where it says nothing beyond the owner's control, which is
 * what a copy gets by itself (and the only ACL of a bucket that enforces its owner's).
 */
async function grantsOf(
  s3: S3Client,
  pin: Pin,
  signal: AbortSignal,
): Promise<Partial<CopyObjectCommandInput>> {
  const what = `GET ACL of s3://${pin.bucket}/${pin.key}`;
  const command = new GetObjectAclCommand({ Bucket: pin.bucket, Key: pin.key, VersionId: pin.versionId });
  const acl = await ask(what, signal, () => s3.send(command, { abortSignal: signal })).catch(
    (error: unknown) => {
      // A store without ACLs has none to lose; one that keeps them from us would lose them silently.
      if (isNotImplemented(error)) return undefined;
      throw error;
    },
  );
  const grants = acl?.Grants ?? [];
  const owner = acl?.Owner?.ID;
  if (grants.every((g) => g.Permission === 'FULL_CONTROL' && (g.Grantee?.ID ?? owner) === owner)) return {};
  const fields: Partial<Record<(typeof GRANT_FIELDS)[keyof typeof GRANT_FIELDS], string>> = {};
  for (const grant of grants) {
    const field =
      grant.Permission && grant.Permission !== 'WRITE' ? GRANT_FIELDS[grant.Permission] : undefined;
    const grantee = granteeOf(grant);
    if (field && grantee) fields[field] = fields[field] ? `${fields[field]}, ${grantee}` : grantee;
  }
  return fields;
}

const isNotImplemented = (error: unknown): boolean =>
  error instanceof StorageRefused &&
  error.cause instanceof Error &&
  ['NotImplemented', 'MethodNotAllowed', 'AccessControlListNotSupported'].includes(error.cause.name);

function granteeOf({ Grantee: grantee }: Grant): string | undefined {
  if (grantee?.URI) return `uri="${grantee.URI}"`;
  if (grantee?.ID) return `id="${grantee.ID}"`;
  return undefined;
}
