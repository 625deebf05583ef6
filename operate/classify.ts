import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { ObjectDeleted, StorageRejected } from '../lib/errors.ts';
import { archiveTier, headObject, type ObjectHead } from '../lib/s3/head-object.ts';
import { sendS3 } from '../lib/s3/request.ts';
import type { UploadRequest } from '../lib/schemas.ts';
import { mediaTypeOf } from '../lib/upload/media-type.ts';
import { readMarkers } from '../lib/write-back/read-markers.ts';

export type ListedObject = Readonly<{ key: string; size: number }>;

/** `pending`: a video without a fileId. `uploaded`: it has one. `rejected`: S3 rejected the request. */
export type Classification = Readonly<{ key: string }> &
  Readonly<
    | { status: 'pending'; request: UploadRequest }
    | { status: 'uploaded' }
    | { status: 'skipped'; reason: string }
    | { status: 'rejected'; reason: string }
  >;

/** Lists the objects under a prefix with keys greater than `after`, in order of their UTF-8 bytes. */
export async function* listObjects(
  s3: S3Client,
  { bucket, prefix, after }: { bucket: string; prefix: string; after: string | undefined },
  signal: AbortSignal,
): AsyncGenerator<ListedObject> {
  let token: string | undefined;
  do {
    const command = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: prefix,
      EncodingType: 'url', // a key can contain characters that XML cannot
      ...(token === undefined ? { StartAfter: after } : { ContinuationToken: token }),
    });
    const page = await sendS3(`LIST s3://${bucket}/${prefix}`, signal, () =>
      s3.send(command, { abortSignal: signal }),
    );
    for (const { Key = '', Size = 0 } of page.Contents ?? []) {
      yield { key: decodeURIComponent(Key.replaceAll('+', ' ')), size: Size };
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
}

/** Decides what a backfill does with an object. @throws {StorageUnavailable} */
export async function classify(
  s3: S3Client,
  bucket: string,
  { key, size }: ListedObject,
  signal: AbortSignal,
): Promise<Classification> {
  // A listing has no content types. Skip what even a video type would not make a video, without a HEAD request.
  const reason = skipReason(key, 'video/mp4') ?? (size === 0 ? 'the object is empty' : undefined);
  if (reason !== undefined) return { key, status: 'skipped', reason };
  try {
    return await classifyHead(s3, await headObject(s3, { bucket, key }, signal), signal);
  } catch (error) {
    if (error instanceof ObjectDeleted) return { key, status: 'skipped', reason: 'the object is deleted' };
    if (error instanceof StorageRejected) return { key, status: 'rejected', reason: error.message };
    throw error;
  }
}

async function classifyHead(s3: S3Client, object: ObjectHead, signal: AbortSignal): Promise<Classification> {
  const { pin, contentType } = object;
  const { bucket, key, etag, versionId, size } = pin;
  const archived = archiveTier(object) && 'the object is archived; restore it first';
  const reason = skipReason(key, contentType) ?? archived;
  if (reason !== undefined) return { key, status: 'skipped', reason };
  // In `auto`, all places are read, whatever mode the stack has now.
  const markers = readMarkers({ s3, writeBack: { mode: 'auto' } }, object, signal);
  for await (const _ of markers) return { key, status: 'uploaded' };
  return { key, status: 'pending', request: { bucket, key, etag, size, ...(versionId && { versionId }) } };
}

function skipReason(key: string, contentType: string | undefined): string | undefined {
  const media = mediaTypeOf(key, contentType);
  if (media.kind === 'image') return 'an image, not a video';
  return media.kind === 'other' ? media.reason : undefined;
}
