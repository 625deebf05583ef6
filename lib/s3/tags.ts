import { GetObjectTaggingCommand, PutObjectTaggingCommand, type S3Client } from '@aws-sdk/client-s3';
import type { ObjectVersion } from '../schemas.ts';
import type { ObjectHead } from './head-object.ts';
import { sendS3WithTimeout } from './request.ts';

export type Tags = Readonly<Record<string, string>>;

/** @throws {ObjectDeleted} {StorageRejected} {StorageUnavailable} */
export async function readTags(s3: S3Client, pin: ObjectVersion, signal: AbortSignal): Promise<Tags> {
  const command = new GetObjectTaggingCommand({ Bucket: pin.bucket, Key: pin.key, VersionId: pin.versionId });
  const { TagSet = [] } = await sendS3WithTimeout(
    `GET tags of s3://${pin.bucket}/${pin.key}`,
    signal,
    (abortSignal) => s3.send(command, { abortSignal }),
  );
  return Object.fromEntries(TagSet.map(({ Key = '', Value = '' }) => [Key, Value]));
}

/** The tags of an object that S3 says has any. */
export const readTagsIfAny = async (
  s3: S3Client,
  { head, pin }: ObjectHead,
  signal: AbortSignal,
): Promise<Tags> => (head.TagCount ? readTags(s3, pin, signal) : {});

export const putTags = (s3: S3Client, pin: ObjectVersion, tags: Tags, signal: AbortSignal) =>
  sendS3WithTimeout(`PUT tags of s3://${pin.bucket}/${pin.key}`, signal, (abortSignal) =>
    s3.send(
      new PutObjectTaggingCommand({
        Bucket: pin.bucket,
        Key: pin.key,
        VersionId: pin.versionId,
        Tagging: { TagSet: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) },
      }),
      { abortSignal },
    ),
  );
