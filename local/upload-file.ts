import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { CreateBucketCommand, HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import mime from 'mime';
import { errorMessage, InvalidInput, ObjectDeleted } from '../lib/errors.ts';
import { headObject } from '../lib/s3/head-object.ts';
import { sendS3 } from '../lib/s3/request.ts';

const MIN_PART_BYTES = 16 * 1024 * 1024;
const MAX_PARTS = 10_000; // https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html

/** `size` in bytes. */
export type LocalFile = Readonly<{ path: string; key: string; size: number }>;

/** @throws {InvalidInput} if the path is not a regular file */
export async function readFileInfo(path: string): Promise<LocalFile> {
  const stats = await stat(path).catch((cause: unknown) => {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    throw new InvalidInput(`${path}: ${isMissing ? 'the file does not exist' : errorMessage(cause)}`, {
      cause,
    });
  });
  if (stats.isDirectory())
    throw new InvalidInput(`${path}: expected a file, got a directory. Name the files in it.`);
  if (!stats.isFile()) throw new InvalidInput(`${path}: expected a regular file`);
  return { path, key: basename(path), size: stats.size };
}

/**
 * Uploads a file to the bucket, as `aws s3 cp` does.
 * @returns false if the object with the file's name already contains the same bytes, and nothing was uploaded
 */
export async function uploadFile(
  s3: S3Client,
  bucket: string,
  file: LocalFile,
  signal: AbortSignal,
): Promise<boolean> {
  const partSize = Math.max(MIN_PART_BYTES, Math.ceil(file.size / MAX_PARTS));
  const existing = await headObject(s3, { bucket, key: file.key }, signal).catch(ignoreDeleted);
  if (existing?.pin.size === file.size && (await hasETag(existing.pin.etag, file, partSize))) return false;
  const contentType = mime.getType(file.key);
  const upload = new Upload({
    client: s3,
    partSize,
    params: {
      Bucket: bucket,
      Key: file.key,
      Body: createReadStream(file.path),
      ...(contentType && { ContentType: contentType }),
    },
  });
  const abort = (): void => void upload.abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await sendS3(`PUT s3://${bucket}/${file.key}`, signal, () => upload.done());
  } finally {
    signal.removeEventListener('abort', abort);
  }
  return true;
}

/** Whether S3 gives this file the ETag: uploaded as a whole, copied to one piece later, or uploaded in such parts. */
async function hasETag(etag: string, { path, size }: LocalFile, partSize: number): Promise<boolean> {
  const whole = createHash('md5');
  const parts = createHash('md5');
  let partCount = 0;
  for (let start = 0; start < size; start += partSize, partCount++) {
    const part = createHash('md5');
    for await (const chunk of createReadStream(path, {
      start,
      end: start + partSize - 1,
      highWaterMark: 1024 ** 2,
    })) {
      whole.update(chunk);
      part.update(chunk);
    }
    parts.update(part.digest());
  }
  const multipartETag = `${parts.digest('hex')}-${partCount}`;
  return etag === whole.digest('hex') || (size > partSize && etag === multipartETag);
}

/** Creates the bucket if it does not exist. */
export async function ensureBucket(s3: S3Client, bucket: string, signal: AbortSignal): Promise<void> {
  const target = `bucket ${bucket}`;
  const input = { Bucket: bucket };
  const head = () => s3.send(new HeadBucketCommand(input), { abortSignal: signal });
  const create = () => s3.send(new CreateBucketCommand(input), { abortSignal: signal });
  const existing = await sendS3(target, signal, head).catch(ignoreDeleted);
  if (!existing) await sendS3(target, signal, create);
}

function ignoreDeleted(error: unknown): undefined {
  if (!(error instanceof ObjectDeleted)) throw error;
}
