import { randomBytes } from 'node:crypto';
import { type ReceivedBlob, receiveBlob, type S3Request, type S3Response } from '../operation.ts';
import type { Bucket } from '../store/bucket.ts';
import type { Attributes, StoredObject } from '../store/record.ts';
import {
  hidesMd5,
  readContentHeaders,
  readMetadata,
  readPlacementHeaders,
  readTagging,
} from '../wire/attributes.ts';
import { createWriteGuard, type WriteGuard } from '../wire/conditions.ts';
import { checksumHeader } from '../wire/digest.ts';
import { readGrants } from '../wire/grants.ts';
import type { RequestHeaders, StoredHeaders } from '../wire/headers.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
export async function putObject(request: S3Request): Promise<S3Response> {
  const { store, target, headers } = request;
  const bucket = store.getBucket(target.bucket);
  const attributes = readAttributes(headers);
  const guard = createWriteGuard(headers);
  using received = await receiveBlob(request);
  const object = publishReceived(bucket, target.key, attributes, received, guard);
  await request.emitCreated('ObjectCreated:Put', bucket, target.key, object);
  return { status: 200, headers: writtenHeaders(object) };
}

export const publishReceived = (
  bucket: Bucket,
  key: string,
  attributes: Attributes,
  { md5, size, pieces, checksum }: ReceivedBlob,
  guard: WriteGuard,
): StoredObject =>
  bucket.publish(
    key,
    {
      ...attributes,
      etag: createETag(md5, attributes.placement),
      md5,
      size,
      pieces: [...pieces],
      ...(checksum && { checksum: { ...checksum, type: 'FULL_OBJECT' } }),
    },
    guard,
  );

/** Reads everything that a writer states about an object, except its bytes. */
export const readAttributes = (headers: RequestHeaders): Attributes => ({
  content: readContentHeaders(headers),
  placement: readPlacementHeaders(headers),
  metadata: readMetadata(headers),
  tags: [...readTagging(headers['x-amz-tagging'])],
  grants: [...readGrants(headers)],
});

/** The ETag of an object that was written in one request. With KMS, it looks like an MD5 but is random. */
export const createETag = (md5: string, placement: StoredHeaders): string =>
  hidesMd5(placement) ? randomBytes(16).toString('hex') : md5;

/** The headers of the response to a write. */
export const writtenHeaders = (object: StoredObject): NonNullable<S3Response['headers']> => ({
  etag: `"${object.etag}"`,
  ...(object.checksum && {
    [checksumHeader(object.checksum.algorithm)]: object.checksum.value,
    'x-amz-checksum-type': object.checksum.type,
  }),
  ...encryptionHeaders(object.placement),
  ...writtenVersionHeader(object),
});

export const encryptionHeaders = (placement: StoredHeaders): StoredHeaders =>
  Object.fromEntries(
    Object.entries(placement).filter(([name]) => name.startsWith('x-amz-server-side-encryption')),
  );

/** Empty unless the write created a new version ID: S3 does not name the version `null` of a suspended bucket. */
export const writtenVersionHeader = ({ versionId }: Pick<StoredObject, 'versionId'>): StoredHeaders =>
  versionId === 'null' ? {} : { 'x-amz-version-id': versionId };

/** Empty for a bucket that never had versioning. */
export const versionHeader = (
  bucket: Bucket,
  { versionId }: Pick<StoredObject, 'versionId'>,
): StoredHeaders => (bucket.record.versioning ? { 'x-amz-version-id': versionId } : {});
