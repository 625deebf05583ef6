import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { ObjectGone, StorageRefused } from '../lib/errors.ts';
import { type Found, find } from '../lib/s3/head-object.ts';
import { ask } from '../lib/s3/request.ts';
import { readTags } from '../lib/s3/tags.ts';
import type { Request } from '../lib/schemas.ts';
import { mediaOf } from '../lib/upload/media-type.ts';

/** Which objects of a bucket are still to be brought over. */

export type Listed = Readonly<{ key: string; size: number }>;

/** What a look at an object says; `wanted`: it is still to be brought over. */
export type Look = Readonly<{ key: string }> &
  Readonly<
    | { is: 'wanted'; request: Request }
    | { is: 'carried' }
    | { is: 'skipped'; why: string }
    | { is: 'refused'; why: string }
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
    const page = await ask(`LIST s3://${bucket}/${prefix}`, signal, () =>
      s3.send(command, { abortSignal: signal }),
    );
    for (const { Key = '', Size = 0 } of page.Contents ?? []) {
      yield { key: decodeURIComponent(Key.replaceAll('+', ' ')), size: Size };
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
}

/** @throws {StorageUnavailable}, and what ends the run: a store that refuses one object is told as a look */
export async function lookAt(
  s3: S3Client,
  bucket: string,
  { key, size }: Listed,
  signal: AbortSignal,
): Promise<Look> {
  // As a video by its content type, of which a listing says nothing: what is none even then needs no closer look.
  const why = whyNot(key, 'video/mp4') ?? (size === 0 ? 'it is empty' : undefined);
  if (why !== undefined) return { key, is: 'skipped', why };
  try {
    return await look(s3, await find(s3, { bucket, key }, signal), signal);
  } catch (error) {
    if (error instanceof ObjectGone) return { key, is: 'skipped', why: 'it is gone' };
    if (error instanceof StorageRefused) {
      return { key, is: 'refused', why: error.message };
    }
    throw error;
  }
}

async function look(s3: S3Client, found: Found, signal: AbortSignal): Promise<Look> {
  const { pin, metadata, contentType, head } = found;
  const { bucket, key, etag, versionId, size } = pin;
  const why = whyNot(key, contentType) ?? whyUnreadable(found);
  if (why !== undefined) return { key, is: 'skipped', why };
  const tags = !metadata['vod-file-id'] && head.TagCount ? await readTags(s3, pin, signal) : {};
  if (metadata['vod-file-id'] || tags['vod-file-id']) return { key, is: 'carried' };
  return { key, is: 'wanted', request: { bucket, key, etag, size, ...(versionId && { versionId }) } };
}

/** Why an object is none that the chain brings over; nothing, where it is one. */
function whyNot(key: string, contentType: string | undefined): string | undefined {
  const media = mediaOf(key, contentType);
  if (media.kind === 'picture') return 'a picture, not a video';
  return media.kind === 'other' ? media.why : undefined;
}

const ARCHIVED = new Set(['GLACIER', 'DEEP_ARCHIVE']);

function whyUnreadable({ head }: Found): string | undefined {
  const restored = head.Restore?.includes('ongoing-request="false"');
  const archived = ARCHIVED.has(head.StorageClass ?? '') || head.ArchiveStatus !== undefined;
  return archived && !restored ? 'it is archived: restore it first' : undefined;
}
