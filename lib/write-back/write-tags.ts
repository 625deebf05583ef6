import type { S3Client } from '@aws-sdk/client-s3';
import { ObjectChanged, UnsupportedObject } from '../errors.ts';
import { headObject, isSameVersion } from '../s3/head-object.ts';
import { putTags, readTags, type Tags } from '../s3/tags.ts';
import type { ObjectVersion } from '../schemas.ts';
import { stripMarkerTags } from './marker.ts';

const MAX_TAGS = 10;

/**
 * Replaces the marker in the tags of an object.
 * @returns whether the tags changed
 * @throws {UnsupportedObject} when the object has too many other tags {ObjectChanged} when it was overwritten meanwhile
 */
export async function writeTags(
  s3: S3Client,
  pin: ObjectVersion,
  marker: Tags,
  signal: AbortSignal,
): Promise<boolean> {
  const before = await readTags(s3, pin, signal);
  const tags = { ...stripMarkerTags(before), ...marker };
  if (Object.entries(tags).every(([name, value]) => before[name] === value)) return false;
  const count = Object.keys(tags).length;
  if (count > MAX_TAGS) {
    throw new UnsupportedObject(
      `tags of s3://${pin.bucket}/${pin.key}: expected at most ${MAX_TAGS}, got ${count}. Remove some, then redrive.`,
    );
  }
  await putTags(s3, pin, tags, signal);
  await rollbackIfOverwritten(s3, pin, signal);
  return true;
}

/**
 * S3 has no conditional tagging. Without versioning, the object may have been overwritten just before the write: then the
 * new object must not carry the fileId of other bytes.
 */
async function rollbackIfOverwritten(s3: S3Client, pin: ObjectVersion, signal: AbortSignal): Promise<void> {
  if (pin.versionId) return;
  const { pin: current } = await headObject(s3, pin, signal);
  if (isSameVersion(current, pin)) return;
  const tags = await readTags(s3, current, signal);
  // Another execution may have written the marker of the new object meanwhile.
  if (tags['vod-etag'] === pin.etag) await putTags(s3, current, stripMarkerTags(tags), signal);
  throw new ObjectChanged(
    `tags of s3://${pin.bucket}/${pin.key}: expected ETag ${pin.etag}, got ${current.etag}`,
  );
}
