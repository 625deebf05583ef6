import {
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { StorageRejected } from '../errors.ts';
import { type ObjectVersion, Sha1 } from '../schemas.ts';
import { sendS3WithTimeout } from './request.ts';

export type ObjectHead = Readonly<{
  pin: ObjectVersion;
  /** User metadata, keys in lower case without `x-amz-meta-`. */
  metadata: Readonly<Record<string, string>>;
  contentType: string | undefined;
  /** SHA-1 of the whole object as S3 itself computed it, where it holds one (checksum type FULL_OBJECT). */
  sha1: Sha1 | undefined;
  /** Another checksum that S3 keeps of the whole object, if it does: a CRC, which also a copy in parts keeps. */
  checksum: FullObjectChecksum | undefined;
  /** Whether the ETag is the MD5 of the bytes: not for multipart objects, nor for KMS or customer keys. */
  etagIsMd5: boolean;
  /** All that S3 said, to be restated when the object is rewritten. */
  head: HeadObjectCommandOutput;
}>;

/**
 * The object as it is now (of a versioned bucket: its current version).
 * @throws {ObjectDeleted} {StorageRejected} {StorageUnavailable}
 */
export async function headObject(
  s3: S3Client,
  { bucket, key }: { bucket: string; key: string },
  signal: AbortSignal,
): Promise<ObjectHead> {
  const look = () =>
    sendS3WithTimeout(`HEAD s3://${bucket}/${key}`, signal, (abortSignal) =>
      s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' }), { abortSignal }),
    );
  const head = await look().catch((error: unknown) => {
    // A HEAD's refusal comes without a reason. Where it was the clock, the client has learned the time from the reply.
    if (isForbidden(error)) return look();
    throw error;
  });
  const etag = unquoteETag(head.ETag);
  const versionId = versionOf(head.VersionId);
  const pin = { bucket, key, etag, size: head.ContentLength ?? 0, ...(versionId && { versionId }) };
  const encryptedApart =
    head.ServerSideEncryption?.startsWith('aws:kms') || head.SSECustomerAlgorithm !== undefined;
  return {
    pin,
    metadata: head.Metadata ?? {},
    contentType: head.ContentType,
    sha1: fullObjectSha1(head),
    checksum: fullObjectCrc(head),
    etagIsMd5: /^[0-9a-f]{32}$/.test(etag) && !encryptedApart,
    head,
  };
}

const isForbidden = (error: unknown): boolean =>
  error instanceof StorageRejected &&
  error.cause instanceof S3ServiceException &&
  error.cause.$metadata.httpStatusCode === 403;

type Checksummed = Pick<HeadObjectCommandOutput, 'ChecksumSHA1' | 'ChecksumType'>;

/**
 * The SHA-1 that S3 computed over a whole object (S3: base64; here: hex), where it says so. Of a COMPOSITE checksum
 * nothing can be said about the whole: it is a hash of the parts' hashes.
 */
export function fullObjectSha1(said: Checksummed | undefined): Sha1 | undefined {
  if (said?.ChecksumSHA1 === undefined || said.ChecksumType !== 'FULL_OBJECT') return undefined;
  const parsed = v.safeParse(Sha1, Buffer.from(said.ChecksumSHA1, 'base64').toString('hex'));
  return parsed.success ? parsed.output : undefined;
}

/** A checksum of a whole object as S3 names it, base64. */
export type FullObjectChecksum = Readonly<{ algorithm: 'CRC64NVME' | 'CRC32' | 'CRC32C'; value: string }>;

function fullObjectCrc(head: HeadObjectCommandOutput): FullObjectChecksum | undefined {
  if (head.ChecksumType !== 'FULL_OBJECT') return undefined;
  if (head.ChecksumCRC64NVME) return { algorithm: 'CRC64NVME', value: head.ChecksumCRC64NVME };
  if (head.ChecksumCRC32) return { algorithm: 'CRC32', value: head.ChecksumCRC32 };
  if (head.ChecksumCRC32C) return { algorithm: 'CRC32C', value: head.ChecksumCRC32C };
  return undefined;
}

/** Where versioning is off or suspended the object is the `null` version, which is no name for a state. */
export const versionOf = (versionId: string | undefined): string | undefined =>
  versionId === 'null' ? undefined : versionId;

/** An ETag without its quotes, as events name it. */
export const unquoteETag = (etag: string | undefined): string => (etag ?? '').replace(/^(W\/)?"|"$/g, '');
