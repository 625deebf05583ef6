import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  type S3Client,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { ContentMismatch, ObjectChanged, StorageRejected } from '../errors.ts';
import type { ObjectVersion } from '../schemas.ts';
import { type ByteRange, ranges } from '../upload/plan.ts';
import {
  type CopyFields,
  type CopyResult,
  copySource,
  preserveExpires,
  quoteETag,
  withFallback,
} from './copy-fields.ts';
import {
  type FullObjectChecksum,
  headObject,
  isSameVersion,
  type ObjectHead,
  unquoteETag,
  versionOf,
} from './head-object.ts';
import { sendS3, sendS3WithTimeout } from './request.ts';
import { readTags, type Tags } from './tags.ts';

/** S3 copies a part at about 100 MB/s. It accepts at most 10,000 parts of at most 5 GiB. */
const COPY_PART_BYTES = 1024 ** 3;
const MAX_PARTS = 10_000;
const MAX_PARTS_IN_FLIGHT = 64;

/** The limit for aborting a failed copy. */
const ABORT_TIMEOUT_MS = 5_000;

type MultipartUpload = Readonly<{ Bucket: string; Key: string; UploadId: string | undefined }>;

/**
 * Copies an object onto itself by a multipart upload, which is aborted if the copy fails.
 * @param checksum the expected one. S3 computes it over the whole copy and completes the upload only if it is equal
 * @throws {ContentMismatch} {ObjectChanged} {ObjectDeleted} {StorageRejected} {StorageUnavailable}
 */
export async function copyInParts(
  s3: S3Client,
  head: ObjectHead,
  fields: CopyFields,
  checksum: FullObjectChecksum | undefined,
  signal: AbortSignal,
  maxPartBytes: number,
): Promise<CopyResult> {
  const { pin } = head;
  const { bucket: Bucket, key: Key } = pin;
  const operation = `COPY s3://${Bucket}/${Key} onto itself in parts`;
  const Tagging = toTaggingHeader(await readTags(s3, pin, signal));
  const createUpload = async (expected: FullObjectChecksum | undefined) => {
    const create = new CreateMultipartUploadCommand({
      ...fields,
      Tagging, // unlike CopyObject, a multipart upload copies no tags
      ...(expected && { ChecksumAlgorithm: expected.algorithm, ChecksumType: 'FULL_OBJECT' }),
    });
    preserveExpires(create.middlewareStack, head);
    const { UploadId } = await sendS3WithTimeout(s3, operation, create, signal);
    return { UploadId, expected };
  };
  const { UploadId, expected } = await withFallback(checksum, undefined, createUpload, isUnknownChecksum);
  const upload = { Bucket, Key, UploadId };
  try {
    const partBytes = Math.min(COPY_PART_BYTES, maxPartBytes);
    const Parts = await copyParts(s3, pin, upload, operation, partBytes, signal);
    await assertUnmodified(s3, head, operation, signal);
    if (toTaggingHeader(await readTags(s3, pin, signal)) !== Tagging)
      throw new ObjectChanged(`${operation}: the tags changed during the copy`);
    const { ETag, VersionId } = await withFallback({ IfMatch: quoteETag(pin) }, {}, (conditions) => {
      const complete = new CompleteMultipartUploadCommand({
        ...upload,
        ...conditions,
        MultipartUpload: { Parts },
        ...(expected && { [`Checksum${expected.algorithm}`]: expected.value, ChecksumType: 'FULL_OBJECT' }),
      });
      return sendS3(operation, signal, () => s3.send(complete, { abortSignal: signal }));
    });
    // S3 computes no SHA-1 of a whole multipart object.
    return { etag: unquoteETag(ETag), versionId: versionOf(VersionId), sha1: undefined };
  } catch (error) {
    // Parts of an unfinished copy cost money. If the abort fails as well, the bucket's lifecycle rule removes them.
    const abort = new AbortMultipartUploadCommand(upload);
    await s3.send(abort, { abortSignal: AbortSignal.timeout(ABORT_TIMEOUT_MS) }).catch(() => {});
    if (checksum && hasCode(error, 'BadDigest')) {
      throw new ContentMismatch(
        `${operation}: expected the ${checksum.algorithm} ${checksum.value} of the bytes that VOD received, S3 has another`,
        { cause: error },
      );
    }
    throw error;
  }
}

const hasCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof StorageRejected && error.cause instanceof Error && codes.includes(error.cause.name);

/** Another kind of service may not know the algorithm. */
const isUnknownChecksum = (error: unknown): boolean =>
  hasCode(error, 'NotImplemented', 'InvalidArgument', 'InvalidRequest');

/** Copying the parts takes minutes, and the condition on the completion detects only other bytes. */
async function assertUnmodified(
  s3: S3Client,
  { pin, response }: ObjectHead,
  operation: string,
  signal: AbortSignal,
): Promise<void> {
  const current = await headObject(s3, pin, signal);
  const [before, now] = [response.LastModified, current.response.LastModified];
  if (isSameVersion(current.pin, pin) && before?.getTime() === now?.getTime()) return;
  throw new ObjectChanged(
    `${operation}: expected the object of ${before?.toISOString()}, got one of ${now?.toISOString()}`,
  );
}

/** Copies all parts concurrently. A failure aborts the others and waits for them: none may arrive after the abort. */
async function copyParts(
  s3: S3Client,
  pin: ObjectVersion,
  upload: MultipartUpload,
  operation: string,
  partBytes: number,
  signal: AbortSignal,
): Promise<CompletedPart[]> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const copyPart = async ({ offset, size }: ByteRange, index: number): Promise<CompletedPart> => {
    either.throwIfAborted();
    const PartNumber = index + 1;
    const CopySourceRange = `bytes=${offset}-${offset + size - 1}`;
    const source = { CopySource: copySource(pin), CopySourceIfMatch: quoteETag(pin), CopySourceRange };
    const command = new UploadPartCopyCommand({ ...upload, ...source, PartNumber });
    try {
      const { CopyPartResult } = await sendS3(`${operation}, part ${PartNumber}`, either, () =>
        s3.send(command, { abortSignal: either }),
      );
      const { LastModified: _, ...part } = CopyPartResult ?? {};
      return { PartNumber, ...part };
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  const size = Math.max(partBytes, Math.ceil(pin.size / MAX_PARTS));
  const options = { concurrency: MAX_PARTS_IN_FLIGHT, stopOnError: false };
  return pMap(ranges(0, pin.size, size), copyPart, options).catch(() => {
    throw either.reason; // the first failure, which the AggregateError repeats for each part
  });
}

/** The tags in one comparable order, or `undefined` if there are none. */
const toTaggingHeader = (tags: Tags): string | undefined =>
  Object.keys(tags).length > 0 ? new URLSearchParams(Object.entries(tags).sort()).toString() : undefined;
