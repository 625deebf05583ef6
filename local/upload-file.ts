import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { CreateBucketCommand, HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import mime from 'mime';
import { errorMessage, InvalidInput, ObjectDeleted } from '../lib/errors.ts';
import { headObject } from '../lib/s3/head-object.ts';
import { sendS3 } from '../lib/s3/request.ts';

/** A file of this machine put into the bucket, as `aws s3 cp` would. */

const MIN_PART_BYTES = 16 * 1024 * 1024;
const MAX_PARTS = 10_000; // https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html

export type LocalFile = Readonly<{ path: string; key: string; size: number }>;

/** @throws {InvalidInput} where there is no such file */
export async function readFileInfo(path: string): Promise<LocalFile> {
  const stats = await stat(path).catch((cause: unknown) => {
    const gone = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    throw new InvalidInput(`${path}: ${gone ? 'there is no such file' : errorMessage(cause)}`, { cause });
  });
  if (!stats.isFile()) {
    throw new InvalidInput(
      `${path}: ${stats.isDirectory() ? 'a directory: name the files in it' : 'no regular file'}`,
    );
  }
  return { path, key: basename(path), size: stats.size };
}

/** Puts the file there, unless the bucket holds these very bytes under its name already. Answers whether it did. */
export async function uploadFile(
  s3: S3Client,
  bucket: string,
  file: LocalFile,
  signal: AbortSignal,
): Promise<boolean> {
  const partSize = Math.max(MIN_PART_BYTES, Math.ceil(file.size / MAX_PARTS));
  const there = await headObject(s3, { bucket, key: file.key }, signal).catch((error: unknown) => {
    if (error instanceof ObjectDeleted) return undefined;
    throw error;
  });
  if (there?.pin.size === file.size && (await holdsBytes(there.pin.etag, file, partSize))) return false;
  const upload = new Upload({
    client: s3,
    partSize,
    params: {
      Bucket: bucket,
      Key: file.key,
      Body: createReadStream(file.path),
      ...(mime.getType(file.key) && { ContentType: mime.getType(file.key) ?? '' }),
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

/** Whether an ETag is what these bytes would get: put whole, rewritten whole since, or put in parts of this size. */
async function holdsBytes(etag: string, { path, size }: LocalFile, partSize: number): Promise<boolean> {
  const whole = createHash('md5');
  const parts: Buffer[] = [];
  let part: Hash | undefined;
  let room = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    const bytes: Buffer = chunk;
    whole.update(bytes);
    for (let at = 0; at < bytes.length; ) {
      if (room === 0) {
        if (part) parts.push(part.digest());
        part = createHash('md5');
        room = partSize;
      }
      const slice = bytes.subarray(at, at + room);
      part?.update(slice);
      at += slice.length;
      room -= slice.length;
    }
  }
  if (part) parts.push(part.digest());
  const inParts = `${createHash('md5').update(Buffer.concat(parts)).digest('hex')}-${parts.length}`;
  return etag === whole.digest('hex') || (size > partSize && etag === inParts);
}

/** The local store's bucket is made when it is missing; another store's is its owner's business. */
export async function ensureBucket(s3: S3Client, bucket: string, signal: AbortSignal): Promise<void> {
  const what = `bucket ${bucket}`;
  try {
    await sendS3(what, signal, () =>
      s3.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal: signal }),
    );
  } catch (error) {
    if (!(error instanceof ObjectDeleted)) throw error;
    await sendS3(what, signal, () =>
      s3.send(new CreateBucketCommand({ Bucket: bucket }), { abortSignal: signal }),
    );
  }
}
