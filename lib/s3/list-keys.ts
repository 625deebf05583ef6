import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { sendS3WithTimeout } from './request.ts';

/**
 * Lists the keys that start with `prefix` and have no slash after it.
 * @throws {ObjectDeleted} when there is no such bucket {StorageRejected} {StorageUnavailable}
 */
export async function listKeys(
  s3: S3Client,
  bucket: string,
  prefix: string,
  signal: AbortSignal,
): Promise<string[]> {
  const keys: string[] = [];
  let token: string | undefined;
  do {
    const input = { Bucket: bucket, Prefix: prefix, Delimiter: '/', ContinuationToken: token };
    const command = new ListObjectsV2Command(input);
    const page = await sendS3WithTimeout(s3, `LIST s3://${bucket}/${prefix}*`, command, signal);
    for (const { Key } of page.Contents ?? []) if (Key !== undefined) keys.push(Key);
    token = page.NextContinuationToken;
  } while (token !== undefined);
  return keys;
}
