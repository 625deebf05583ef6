import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { ObjectDeleted, StorageRejected } from '../lib/errors.ts';
import { headObject, type ObjectHead } from '../lib/s3/head-object.ts';
import { sendS3 } from '../lib/s3/request.ts';
import { readTags } from '../lib/s3/tags.ts';
import type { UploadRequest } from '../lib/schemas.ts';
import { mediaTypeOf } from '../lib/upload/media-type.ts';

/** Which objects of a bucket are still to be brought over. */

export type Listed = Readonly<{ key: string; size: number }>;

/** What a look at an object says; `wanted`: it is still to be brought over. */
export type Classification = Readonly<{ key: string }> &
  Readonly<
    | { is: 'wanted'; request: UploadRequest }
    | { is: 'carried' }
    | { is: 'skipped'; reason: string }
    | { is: 'refused'; reason: string }
  >;

/** The keys under a prefix in their order (of UTF-8 bytes), those after `after`. */
export async function* listed(
  s3: S3Client,
  { bucket, prefix, after }: { bucket: string; prefix: string; after: string | undefined },
  signal: AbortSignal,
): AsyncGenerator<Listed> {
  let token: string | undefined;
  do {
    const command = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: prefix,
      EncodingType: 'url', // a key may hold what XML cannot
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

/** @throws {StorageUnavailable}, and what ends the run: a store that refuses one object is told as a look */
export async function classify(
  s3: S3Client,
  bucket: string,
  { key, size }: Listed,
  signal: AbortSignal,
): Promise<Classification> {
  // As a video by its content type, of which a listing says nothing: what is none even then needs no closer look.
  const reason = whyNot(key, 'video/mp4') ?? (size === 0 ? 'it is empty' : undefined);
  if (reason !== undefined) return { key, is: 'skipped', reason };
  try {
    return await look(s3, await headObject(s3, { bucket, key }, signal), signal);
  } catch (error) {
    if (error instanceof ObjectDeleted) return { key, is: 'skipped', reason: 'it is gone' };
    if (error instanceof StorageRejected) {
      return { key, is: 'refused', reason: error.message };
    }
    throw error;
  }
}

async function look(s3: S3Client, found: ObjectHead, signal: AbortSignal): Promise<Classification> {
  const { pin, metadata, contentType, head } = found;
  const { bucket, key, etag, versionId, size } = pin;
  const reason = whyNot(key, contentType) ?? whyUnreadable(found);
  if (reason !== undefined) return { key, is: 'skipped', reason };
  const tags = !metadata['vod-file-id'] && head.TagCount ? await readTags(s3, pin, signal) : {};
  if (metadata['vod-file-id'] || tags['vod-file-id']) return { key, is: 'carried' };
  return { key, is: 'wanted', request: { bucket, key, etag, size, ...(versionId && { versionId }) } };
}

/** Why an object is none that the chain brings over; nothing, where it is one. */
function whyNot(key: string, contentType: string | undefined): string | undefined {
  const media = mediaTypeOf(key, contentType);
  if (media.kind === 'image') return 'an image, not a video';
  return media.kind === 'other' ? media.reason : undefined;
}

const ARCHIVED = new Set(['GLACIER', 'DEEP_ARCHIVE']);

function whyUnreadable({ head }: ObjectHead): string | undefined {
  const restored = head.Restore?.includes('ongoing-request="false"');
  const archived = ARCHIVED.has(head.StorageClass ?? '') || head.ArchiveStatus !== undefined;
  return archived && !restored ? 'it is archived: restore it first' : undefined;
}
