import type { S3Client } from '@aws-sdk/client-s3';
import { InvalidInput, ObjectDeleted, VideoNotReady } from '../errors.ts';
import { headObject, type ObjectHead } from '../s3/head-object.ts';
import { listKeys } from '../s3/list-keys.ts';
import type { FileId } from '../schemas.ts';
import { mediaTypeOf, withoutExtension } from '../upload/media-type.ts';
import { decodeMetadata } from '../upload/upload-options.ts';
import { parseFileIds, userCoverOf } from '../write-back/cover-marker.ts';
import { originalPutTime, trustedFileId } from '../write-back/marker.ts';
import { type MarkedObjects, readMarkers } from '../write-back/read-markers.ts';

/** A video and an image belong together by name (`shows/ep1.mp4`, `shows/ep1.jpg`), or by the image's `vod-cover-of`. */

export type ObjectName = Readonly<{ bucket: string; key: string }>;

/**
 * Lists the keys that differ from this one only in the extension. One listing finds every extension in either case, where
 * `HeadObject` would need dozens of requests.
 * @throws {ObjectDeleted} when there is no such bucket {StorageRejected} {StorageUnavailable}
 */
export async function listKeysWithStem(
  s3: S3Client,
  { bucket, key }: ObjectName,
  signal: AbortSignal,
): Promise<string[]> {
  const stem = withoutExtension(key);
  const keys = await listKeys(s3, bucket, `${stem}.`, signal);
  return keys.filter((sibling) => withoutExtension(sibling) === stem);
}

/** Returns the image that was put last. Within one second, the first by name wins. */
export async function newestImage(
  s3: S3Client,
  keys: readonly string[],
  bucket: string,
  signal: AbortSignal,
): Promise<ObjectHead | undefined> {
  const imageKeys = keys.filter((key) => mediaTypeOf(key, undefined).kind === 'image');
  const heads = await Promise.all(imageKeys.map((key) => headIfExists(s3, { bucket, key }, signal)));
  return heads
    .filter((head) => head !== undefined)
    .sort((a, b) => originalPutTime(b) - originalPutTime(a) || (a.pin.key < b.pin.key ? -1 : 1))[0];
}

const headIfExists = (s3: S3Client, name: ObjectName, signal: AbortSignal): Promise<ObjectHead | undefined> =>
  headObject(s3, name, signal).catch((error: unknown) => {
    if (error instanceof ObjectDeleted) return undefined;
    throw error;
  });

/** Returns the fileIds of the videos among `keys`, and of a video without an extension, which the listing does not contain. */
export async function findVideoFileIds(
  objects: MarkedObjects,
  keys: readonly string[],
  { bucket, key }: ObjectName,
  signal: AbortSignal,
): Promise<FileId[]> {
  const ids: FileId[] = [];
  const stem = withoutExtension(key);
  for (const name of stem === key ? keys : [...keys, stem]) {
    if (mediaTypeOf(name, undefined).kind === 'image') continue;
    const video = await inspectVideo(objects, { bucket, key: name }, signal);
    if (video?.fileId) ids.push(video.fileId);
  }
  return ids;
}

/**
 * Reads what an object is. `fileId` is set only if the marker is trusted: other bytes put with the metadata of a video must
 * not change that video's cover.
 */
async function inspectVideo(
  objects: MarkedObjects,
  name: ObjectName,
  signal: AbortSignal,
): Promise<{ isVideo: boolean; fileId?: FileId; hasUnverifiedId?: boolean } | undefined> {
  const head = await headIfExists(objects.s3, name, signal);
  if (!head) return undefined;
  if (mediaTypeOf(name.key, head.contentType).kind !== 'video') return { isVideo: false };
  let hasUnverifiedId = false;
  for await (const marker of readMarkers(objects, head, signal)) {
    const fileId = trustedFileId(head, marker);
    if (fileId) return { isVideo: true, fileId };
    hasUnverifiedId = true;
  }
  return { isVideo: true, hasUnverifiedId };
}

/**
 * Returns the files that the user's `vod-cover-of` names, by fileId or by key.
 * @throws {VideoNotReady} {InvalidInput} {StorageRejected} {StorageUnavailable}
 */
export async function resolveCoverOf(
  objects: MarkedObjects,
  { pin, metadata }: ObjectHead,
  signal: AbortSignal,
): Promise<FileId[]> {
  const coverOf = decodeMetadata(userCoverOf(metadata) ?? '').trim();
  if (coverOf === '') return [];
  const ids = parseFileIds(coverOf);
  if (ids) return ids;
  const video = await inspectVideo(objects, { bucket: pin.bucket, key: coverOf }, signal);
  if (video?.fileId) return [video.fileId];
  const entry = `s3://${pin.bucket}/${pin.key}: its metadata entry vod-cover-of names s3://${pin.bucket}/${coverOf}`;
  if (!video) throw new VideoNotReady(`${entry}, which does not exist. Redrive once it has a fileId.`);
  if (!video.isVideo) throw new InvalidInput(`${entry}, which is not a video`);
  if (!video.hasUnverifiedId)
    throw new VideoNotReady(`${entry}, which has no fileId yet. Redrive once it has one.`);
  throw new VideoNotReady(
    `${entry}, whose fileId S3 cannot verify. Redrive once the video's execution has ended. If that fails in the same way, ` +
      'S3 stores no checksum of the video: set vod-cover-of to its fileId instead of its key.',
  );
}
