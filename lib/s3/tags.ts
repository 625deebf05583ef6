import { GetObjectTaggingCommand, PutObjectTaggingCommand, type S3Client } from '@aws-sdk/client-s3';
import type { ObjectVersion } from '../schemas.ts';
import type { ObjectHead } from './head-object.ts';
import { sendS3WithTimeout } from './request.ts';

/** Tags make no new version and emit no object-created event: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html */
export type Tags = Readonly<Record<string, string>>;

/** @throws {ObjectDeleted} {StorageRejected} {StorageUnavailable} */
export async function readTags(
  s3: S3Client,
  { bucket, key, versionId }: ObjectVersion,
  signal: AbortSignal,
): Promise<Tags> {
  const command = new GetObjectTaggingCommand({ Bucket: bucket, Key: key, VersionId: versionId });
  const { TagSet = [] } = await sendS3WithTimeout(s3, `GET tags of s3://${bucket}/${key}`, command, signal);
  return Object.fromEntries(TagSet.map(({ Key = '', Value = '' }) => [Key, Value]));
}

/** Saves the request when `HeadObject` has reported no tags. */
export const readTagsIfAny = async (s3: S3Client, head: ObjectHead, signal: AbortSignal): Promise<Tags> =>
  head.response.TagCount ? readTags(s3, head.pin, signal) : {};

/** @throws {ObjectDeleted} {StorageRejected} {StorageUnavailable} */
export async function putTags(
  s3: S3Client,
  { bucket, key, versionId }: ObjectVersion,
  tags: Tags,
  signal: AbortSignal,
): Promise<void> {
  const TagSet = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
  const object = { Bucket: bucket, Key: key, VersionId: versionId };
  const command = new PutObjectTaggingCommand({ ...object, Tagging: { TagSet } });
  await sendS3WithTimeout(s3, `PUT tags of s3://${bucket}/${key}`, command, signal);
}
