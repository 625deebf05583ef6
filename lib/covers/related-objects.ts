import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { InvalidInput, ObjectDeleted, VideoNotReady } from '../errors.ts';
import { headObject, type ObjectHead } from '../s3/head-object.ts';
import { sendS3WithTimeout } from '../s3/request.ts';
import { readTagsIfAny } from '../s3/tags.ts';
import type { FileId } from '../schemas.ts';
import { mediaTypeOf, withoutExtension } from '../upload/media-type.ts';
import { decodeMetadata } from '../upload/upload-options.ts';
import { parseFileIds, userCoverOf } from '../write-back/cover-marker.ts';
import { originalPutTime, trustedFileId } from '../write-back/marker.ts';

/** Which videos and images belong together: by their names (`shows/ep1.mp4`, `shows/ep1.jpg`), or by a user's word. */

/**
 * The keys of all objects that have a suffix and are named as this one but for it. One request, as a rule: a listing tells of
 * every suffix, in either case, at once; a `HeadObject` for each possible name would be dozens.
 * @throws {ObjectDeleted} when there is no such bucket {StorageRejected} {StorageUnavailable}
 */
export async function listKeysWithStem(
  s3: S3Client,
  { bucket, key }: { bucket: string; key: string },
  signal: AbortSignal,
): Promise<string[]> {
  const stem = withoutExtension(key);
  const siblings: string[] = [];
  let token: string | undefined;
  do {
    const command = new ListObjectsV2Command({
      Bucket: bucket,
      Prefix: `${stem}.`,
      Delimiter: '/', // not what lies in a folder `ep1.something/`
      ContinuationToken: token,
    });
    const page = await sendS3WithTimeout(`LIST s3://${bucket}/${stem}.*`, signal, (abortSignal) =>
      s3.send(command, { abortSignal }),
    );
    for (const { Key = '' } of page.Contents ?? []) if (withoutExtension(Key) === stem) siblings.push(Key);
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return siblings;
}

/**
 * The newest of the images, as it lies there: by the time when it was put; of two that are as new as each other the first
 * by name.
 */
export async function newestImage(
  s3: S3Client,
  siblings: readonly string[],
  bucket: string,
  signal: AbortSignal,
): Promise<ObjectHead | undefined> {
  const keys = siblings.filter((key) => mediaTypeOf(key, undefined).kind === 'image');
  const found = await Promise.all(keys.map((key) => headIfExists(s3, { bucket, key }, signal)));
  const images = found.filter((image) => image !== undefined);
  return images.sort(
    (a, b) => originalPutTime(b) - originalPutTime(a) || (a.pin.key < b.pin.key ? -1 : 1),
  )[0];
}

async function headIfExists(
  s3: S3Client,
  where: { bucket: string; key: string },
  signal: AbortSignal,
): Promise<ObjectHead | undefined> {
  try {
    return await headObject(s3, where, signal);
  } catch (error) {
    if (error instanceof ObjectDeleted) return undefined;
    throw error;
  }
}

/** Of all videos of a name, those that VOD has. One without a suffix is no sibling that a listing tells of. */
export async function findVideoFileIds(
  s3: S3Client,
  siblings: readonly string[],
  { bucket, key }: { bucket: string; key: string },
  signal: AbortSignal,
): Promise<FileId[]> {
  const ids: FileId[] = [];
  const stem = withoutExtension(key);
  for (const name of [...siblings, ...(stem === key ? [] : [stem])]) {
    if (mediaTypeOf(name, undefined).kind === 'image') continue;
    const video = await inspectVideo(s3, { bucket, key: name }, signal);
    if (video?.fileId) ids.push(video.fileId);
  }
  return ids;
}

/**
 * What is there, if anything is; with its fileId, if it is a video that carries one and S3 vouches for its bytes: other bytes
 * put with its metadata are not the file that this names, and shall not change that one's cover. `claims`: it carries one,
 * vouched for or not.
 */
async function inspectVideo(
  s3: S3Client,
  where: { bucket: string; key: string },
  signal: AbortSignal,
): Promise<{ isVideo: boolean; fileId?: FileId | undefined; hasUnverifiedId?: boolean } | undefined> {
  const found = await headIfExists(s3, where, signal);
  if (!found) return undefined;
  if (mediaTypeOf(where.key, found.contentType).kind !== 'video') return { isVideo: false };
  const tags = found.metadata['vod-file-id'] ? {} : await readTagsIfAny(s3, found, signal);
  const claims = Boolean(found.metadata['vod-file-id'] ?? tags['vod-file-id']);
  return { isVideo: true, fileId: trustedFileId(found, tags), hasUnverifiedId: claims };
}

/**
 * The files that a user's `vod-cover-of` names, by fileId or by key.
 * @throws {VideoNotReady} {InvalidInput} and what S3 may throw
 */
export async function resolveCoverOf(
  s3: S3Client,
  { pin, metadata }: ObjectHead,
  signal: AbortSignal,
): Promise<FileId[]> {
  const instruction = decodeMetadata(userCoverOf(metadata) ?? '').trim();
  if (instruction === '') return [];
  const ids = parseFileIds(instruction);
  if (ids) return ids;
  const at = `s3://${pin.bucket}/${pin.key}: its metadata entry vod-cover-of names s3://${pin.bucket}/${instruction}`;
  const video = await inspectVideo(s3, { bucket: pin.bucket, key: instruction }, signal);
  if (video && !video.isVideo) throw new InvalidInput(`${at}, which is no video`);
  if (!video) throw new VideoNotReady(`${at}, which is not there: redrive once it carries its fileId`);
  if (!video.fileId) {
    throw new VideoNotReady(
      video.hasUnverifiedId
        ? `${at}, which carries a fileId that S3 does not vouch for: redrive once the video's execution has ended; if it fails ` +
            'the same way, S3 keeps no checksum of the video: name its fileId in place of its key'
        : `${at}, which carries no fileId yet: redrive once it carries its fileId`,
    );
  }
  return [video.fileId];
}
