import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  type S3Client,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import pMap from 'p-map';
import { ContentMismatch, ObjectChanged, StorageRejected, StorageUnavailable } from '../errors.ts';
import { type Deadline, DeadlineExceeded } from '../invocation/deadline.ts';
import type { CopyCheckpoint, ObjectVersion } from '../schemas.ts';
import { type ByteRange, ranges } from '../upload/plan.ts';
import { whyNotCopyableInParts } from './annotations.ts';
import { copySource, preservedFields, preserveExpires, quoteETag, withFallback } from './copy-fields.ts';
import { readGrants } from './grants.ts';
import {
  type FullObjectChecksum,
  headObject,
  isSameVersion,
  type Metadata,
  type ObjectHead,
} from './head-object.ts';
import { sendS3, sendS3WithTimeout } from './request.ts';
import { readTags, type Tags } from './tags.ts';

/**
 * Copies an object onto itself by a multipart upload, over any number of invocations. S3 is the only memory of the copied
 * parts: an invocation lists them and copies the others. See docs/decisions/0015.
 */

/** S3 copies a part at about 100 MiB/s, so one takes about 5 s. It accepts at most 10,000 parts of at most 5 GiB. */
const COPY_PART_BYTES = 512 * 1024 ** 2;
const MAX_PARTS = 10_000;

/** At 100 MiB/s each, 5 TiB take about 4 minutes. */
const MAX_PARTS_IN_FLIGHT = 256;

/** The limit for aborting a copy. */
const ABORT_TIMEOUT_MS = 5_000;

/** `checksum`: the expected one. S3 computes it over the whole copy and completes the upload only if it is equal. */
export type PartsCopy = Readonly<{
  head: ObjectHead;
  checksum: FullObjectChecksum | undefined;
  maxPartBytes: number;
}>;

/**
 * Opens the copy and copies no part yet. So an upload that holds bytes is always one that the state machine knows.
 * @throws {ObjectDeleted} {StorageRejected} {StorageUnavailable}
 */
export async function openCopy(
  s3: S3Client,
  copy: PartsCopy,
  metadata: Metadata,
  signal: AbortSignal,
): Promise<CopyCheckpoint> {
  const { head, checksum } = copy;
  const fields = preservedFields(head, metadata, await readGrants(s3, head.pin, signal));
  const Tagging = toTaggingHeader(await readTags(s3, head.pin, signal));
  const create = (expected: FullObjectChecksum | undefined) => {
    const command = new CreateMultipartUploadCommand({
      ...fields,
      Tagging, // unlike CopyObject, a multipart upload copies no tags
      ...(expected && { ChecksumAlgorithm: expected.algorithm, ChecksumType: 'FULL_OBJECT' }),
    });
    preserveExpires(command.middlewareStack, head);
    return sendS3WithTimeout(s3, operationOf(head.pin), command, signal);
  };
  const { UploadId: uploadId } = await withFallback(checksum, undefined, create, isUnknownChecksum);
  if (!uploadId) throw new StorageUnavailable(`${operationOf(head.pin)}: expected an upload ID, got none`);
  return { uploadId, source: digestSource(copy, Tagging) };
}

/**
 * Copies the missing parts and completes the copy. `unfinished`: the time ran low, but parts were copied. `outdated`: the
 * object has other properties than when the copy was opened, or the upload no longer exists. It is then aborted.
 * @throws {DeadlineExceeded} when no part was copied in time
 * @throws {ContentMismatch} {ObjectChanged} {ObjectDeleted} {StorageRejected} {StorageUnavailable}
 */
export async function continueCopy(
  s3: S3Client,
  copy: PartsCopy,
  { uploadId, source }: CopyCheckpoint,
  deadline: Deadline,
): Promise<'complete' | 'unfinished' | 'outdated'> {
  const { head, checksum } = copy;
  const { pin } = head;
  const { signal } = deadline;
  const upload = { Bucket: pin.bucket, Key: pin.key, UploadId: uploadId };
  const operation = operationOf(pin);
  const isOutdated = async (current: ObjectHead): Promise<boolean> =>
    digestSource({ ...copy, head: current }, toTaggingHeader(await readTags(s3, pin, signal))) !== source;

  if (await isOutdated(head)) {
    await abortCopy(s3, pin, uploadId);
    return 'outdated';
  }
  const held = await listParts(s3, upload, operation, signal);
  if (!held) return 'outdated';
  const parts = [...ranges(0, pin.size, partBytesOf(copy))].map((range, at) => ({
    ...range,
    number: at + 1,
  }));
  const missing = parts.filter(({ number, size }) => held.parts.get(number)?.size !== size);
  const { copied, error } = await copyParts(s3, pin, upload, operation, missing, deadline);

  const hasAll = copied.size === missing.length;
  if (error !== undefined && !(error instanceof DeadlineExceeded)) throw error;
  if (copied.size > 0 && !(hasAll && deadline.hasTimeFor(deadline.limit / 10))) return 'unfinished';
  if (!hasAll) throw error ?? new DeadlineExceeded(`the time limit of ${deadline.limit} ms was over`);

  // Copying the parts takes minutes, and the condition on the completion detects only other bytes.
  const current = await headObject(s3, pin, signal);
  const isChanged =
    !isSameVersion(current.pin, pin) ||
    (await isOutdated(current)) ||
    (await whyNotCopyableInParts(s3, pin, signal)) !== undefined;
  if (isChanged) {
    throw new ObjectChanged(
      `${operation}: expected no change during the copy, got another time, version, tag, or annotation`,
    );
  }
  const Parts = parts.map(({ number }) => copied.get(number) ?? held.parts.get(number)?.part ?? {});
  await withFallback({ IfMatch: quoteETag(pin) }, {}, (conditions) => {
    const complete = new CompleteMultipartUploadCommand({
      ...upload,
      ...conditions,
      MultipartUpload: { Parts },
      ...(checksum &&
        held.hasChecksum && {
          [`Checksum${checksum.algorithm}`]: checksum.value,
          ChecksumType: 'FULL_OBJECT',
        }),
    });
    return sendS3(operation, signal, () => s3.send(complete, { abortSignal: signal }));
  }).catch((error: unknown) => {
    if (!checksum || !hasCode(error, 'BadDigest')) throw error;
    throw new ContentMismatch(
      `${operation}: expected the ${checksum.algorithm} ${checksum.value} of the bytes that VOD received, S3 has another`,
      { cause: error },
    );
  });
  return 'complete';
}

/** Parts of an unfinished copy cost money. If the abort fails, the bucket's lifecycle rule removes them. Never throws. */
export async function abortCopy(
  s3: S3Client,
  { bucket, key }: ObjectVersion,
  uploadId: string,
): Promise<void> {
  const abort = new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId });
  await s3.send(abort, { abortSignal: AbortSignal.timeout(ABORT_TIMEOUT_MS) }).catch(() => {});
}

const operationOf = ({ bucket, key }: ObjectVersion): string =>
  `COPY s3://${bucket}/${key} onto itself in parts`;

const partBytesOf = ({ head: { pin }, maxPartBytes }: PartsCopy): number =>
  Math.max(Math.min(COPY_PART_BYTES, maxPartBytes), Math.ceil(pin.size / MAX_PARTS));

/** An open copy depends on these and on the bytes. Each write changes the time, but a new tag does not. */
const digestSource = (copy: PartsCopy, tagging: string | undefined): string =>
  createHash('sha1')
    .update(JSON.stringify([copy.head.response.LastModified, tagging, partBytesOf(copy), copy.checksum]))
    .digest('hex');

type MultipartUpload = Readonly<{ Bucket: string; Key: string; UploadId: string }>;
type NumberedRange = ByteRange & Readonly<{ number: number }>;
type HeldParts = Readonly<{
  parts: ReadonlyMap<number, { size: number | undefined; part: CompletedPart }>;
  /** Whether S3 computes a checksum of the whole copy. */
  hasChecksum: boolean;
}>;

/** Lists the parts that S3 holds, in pages of 1,000. Returns `undefined` if the upload no longer exists. */
async function listParts(
  s3: S3Client,
  upload: MultipartUpload,
  operation: string,
  signal: AbortSignal,
): Promise<HeldParts | undefined> {
  const parts = new Map<number, { size: number | undefined; part: CompletedPart }>();
  for (let marker: string | undefined; ; ) {
    const command = new ListPartsCommand({ ...upload, PartNumberMarker: marker });
    try {
      const page = await sendS3WithTimeout(s3, `${operation}, list of parts`, command, signal);
      for (const { LastModified: _, Size: size, ...part } of page.Parts ?? [])
        parts.set(part.PartNumber ?? 0, { size, part });
      if (!page.IsTruncated) return { parts, hasChecksum: page.ChecksumType === 'FULL_OBJECT' };
      marker = page.NextPartNumberMarker;
    } catch (error) {
      if (hasCode(error, 'NoSuchUpload')) return undefined;
      throw error;
    }
  }
}

/** Copies parts concurrently while the time suffices. After the first error, the parts in flight finish, and no other starts. */
async function copyParts(
  s3: S3Client,
  pin: ObjectVersion,
  upload: MultipartUpload,
  operation: string,
  missing: readonly NumberedRange[],
  deadline: Deadline,
): Promise<{ copied: ReadonlyMap<number, CompletedPart>; error: unknown }> {
  const { signal } = deadline;
  const copied = new Map<number, CompletedPart>();
  let slowestMs = 0;
  let error: unknown;
  function* startable(): Generator<NumberedRange> {
    for (const range of missing) {
      if (error !== undefined || !deadline.hasTimeFor(slowestMs)) return;
      yield range;
    }
  }
  const copyPart = async ({ number, offset, size }: NumberedRange): Promise<void> => {
    const startedAt = performance.now();
    const command = new UploadPartCopyCommand({
      ...upload,
      PartNumber: number,
      CopySource: copySource(pin),
      CopySourceIfMatch: quoteETag(pin),
      CopySourceRange: `bytes=${offset}-${offset + size - 1}`,
    });
    try {
      const { CopyPartResult } = await sendS3(`${operation}, part ${number}`, signal, () =>
        s3.send(command, { abortSignal: signal }),
      );
      const { LastModified: _, ...part } = CopyPartResult ?? {};
      copied.set(number, { PartNumber: number, ...part });
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    } catch (caught) {
      error ??= caught;
    }
  };
  await pMap(startable(), copyPart, { concurrency: MAX_PARTS_IN_FLIGHT });
  return { copied, error };
}

/** The tags in one comparable order, or `undefined` if there are none. A space is `%20` here, not `+`. */
const toTaggingHeader = (tags: Tags): string | undefined =>
  new URLSearchParams(Object.entries(tags).sort()).toString().replaceAll('+', '%20') || undefined;

const hasCode = (error: unknown, ...codes: string[]): boolean =>
  (error instanceof StorageRejected || error instanceof StorageUnavailable) &&
  error.cause instanceof Error &&
  codes.includes(error.cause.name);

/** Another kind of service may not know the algorithm. */
const isUnknownChecksum = (error: unknown): boolean =>
  hasCode(error, 'NotImplemented', 'InvalidArgument', 'InvalidRequest');
