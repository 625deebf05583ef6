import { randomBytes } from 'node:crypto';
import { type Call, type Received, type Reply, receive } from '../call.ts';
import type { Bucket } from '../store/bucket.ts';
import type { Attributes, StoredObject } from '../store/record.ts';
import {
  hidesMd5,
  type Kept,
  readContentHeaders,
  readMetadata,
  readPlacementHeaders,
  readTagging,
} from '../wire/attributes.ts';
import { type Guard, writeGuard } from '../wire/conditions.ts';
import { checksumHeader } from '../wire/digest.ts';
import { readGrants } from '../wire/grants.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
export async function putObject(call: Call): Promise<Reply> {
  const { store, target, headers } = call;
  const bucket = store.bucket(target.bucket);
  const attributes = readAttributes(headers);
  const guard = writeGuard(headers);
  using received = await receive(call);
  const object = publishReceived(bucket, target.key, attributes, received, guard);
  await call.announce('Put', bucket, target.key, object);
  return { status: 200, headers: writtenHeaders(bucket, object) };
}

export const publishReceived = (
  bucket: Bucket,
  key: string,
  attributes: Attributes,
  { md5, size, pieces, checksum }: Received,
  guard: Guard,
): StoredObject =>
  bucket.publish(
    key,
    {
      ...attributes,
      etag: simpleETag(md5, attributes.placement),
      md5,
      size,
      pieces: [...pieces],
      ...(checksum && { checksum: { ...checksum, type: 'FULL_OBJECT' } }),
    },
    guard,
  );

/** Everything a writer says of an object beside its bytes. */
export const readAttributes = (headers: Call['headers']): Attributes => ({
  content: readContentHeaders(headers),
  placement: readPlacementHeaders(headers),
  metadata: readMetadata(headers),
  tags: [...readTagging(headers['x-amz-tagging'])],
  grants: [...readGrants(headers)],
});

/** The ETag of an object that was written in one go. Under KMS it looks like an MD5 and is none. */
export const simpleETag = (md5: string, placement: Kept): string =>
  hidesMd5(placement) ? randomBytes(16).toString('hex') : md5;

/** What the answer to a write says of the object it made. */
export const writtenHeaders = (bucket: Bucket, object: StoredObject): NonNullable<Reply['headers']> => ({
  etag: `"${object.etag}"`,
  ...(object.checksum && {
    [checksumHeader(object.checksum.algorithm)]: object.checksum.value,
    'x-amz-checksum-type': object.checksum.type,
  }),
  ...encryptionHeaders(object.placement),
  ...versionHeader(bucket, object),
});

export const encryptionHeaders = (placement: Kept): Kept =>
  Object.fromEntries(
    Object.entries(placement).filter(([name]) => name.startsWith('x-amz-server-side-encryption')),
  );

/** A bucket that never had versions does not speak of them. */
export const versionHeader = (bucket: Bucket, { versionId }: Pick<StoredObject, 'versionId'>): Kept =>
  bucket.record.versioning ? { 'x-amz-version-id': versionId } : {};
