import type { S3Client } from '@aws-sdk/client-s3';
import { ObjectChanged, UnsupportedObject } from '../errors.ts';
import { headObject } from '../s3/head-object.ts';
import { putTags, readTags, type Tags } from '../s3/tags.ts';
import type { ObjectVersion, StoredFile } from '../schemas.ts';

const MAX_TAGS = 10;

/** What a tag's value may hold, at most 256 of it. A url of other characters is left out: VOD tells it by the `fileId`. */
const TAG_VALUE = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,256}$/u;

/**
 * Adds the file, and `more` of what fits a tag, to the object's tags; answers whether that changed anything.
 * @throws {UnsupportedObject} when there is no room {ObjectChanged} when the object was overwritten meanwhile
 */
export async function writeTags(
  s3: S3Client,
  pin: ObjectVersion,
  file: StoredFile,
  signal: AbortSignal,
  more: Tags = {},
): Promise<boolean> {
  const at = `tags of s3://${pin.bucket}/${pin.key}`;
  const before = await readTags(s3, pin, signal);
  const tags = {
    ...stripOwnTags(before),
    'vod-file-id': file.fileId,
    'vod-sha1': file.sha1,
    'vod-etag': pin.etag,
    ...(TAG_VALUE.test(file.url) && { 'vod-url': file.url }),
    ...Object.fromEntries(Object.entries(more).filter(([, value]) => TAG_VALUE.test(value))),
  };
  if (Object.entries(tags).every(([name, value]) => before[name] === value)) return false;
  if (Object.keys(tags).length > MAX_TAGS) {
    throw new UnsupportedObject(
      `${at}: there would be ${Object.keys(tags).length}, S3 allows ${MAX_TAGS}: remove some, then redrive`,
    );
  }
  await putTags(s3, pin, tags, signal);
  await rollbackIfOverwritten(s3, pin, signal);
  return true;
}

/**
 * S3 has no condition on tagging. Where there are no versions to name, the object may have been overwritten between the
 * look and the write; then the new one shall at least not carry the id of other bytes.
 */
async function rollbackIfOverwritten(s3: S3Client, pin: ObjectVersion, signal: AbortSignal): Promise<void> {
  if (pin.versionId) return;
  const { pin: now } = await headObject(s3, pin, signal);
  if (now.etag === pin.etag) return;
  const tags = await readTags(s3, now, signal);
  // Another execution may have written the new one's own meanwhile.
  if (tags['vod-etag'] === pin.etag) await putTags(s3, now, stripOwnTags(tags), signal);
  throw new ObjectChanged(
    `tags of s3://${pin.bucket}/${pin.key}: the object was overwritten (ETag ${pin.etag}, now ${now.etag})`,
  );
}

const OWN_KEYS = new Set([
  ...['vod-file-id', 'vod-sha1', 'vod-etag', 'vod-url'],
  ...['vod-cover-of', 'vod-uploaded-at'], // of an image
]);

const stripOwnTags = (tags: Tags): Tags =>
  Object.fromEntries(Object.entries(tags).filter(([name]) => !OWN_KEYS.has(name)));
