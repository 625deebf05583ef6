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

export type Metadata = Readonly<Record<string, string>>;

export type ObjectHead = Readonly<{
  pin: ObjectVersion;
  /** User metadata. Keys are in lower case, without `x-amz-meta-`. */
  metadata: Metadata;
  contentType: string | undefined;
  /** The SHA-1 that S3 computed over the whole object (checksum type FULL_OBJECT), if it stores one. */
  sha1: Sha1 | undefined;
  /** A CRC that S3 stores of the whole object, if any. Unlike the SHA-1, it survives a copy in parts. */
  checksum: FullObjectChecksum | undefined;
  /** Whether the ETag is the MD5 of the bytes: not for multipart objects, nor with KMS or customer keys. */
  etagIsMd5: boolean;
  /** The complete response; a copy in place restates its fields. */
  response: HeadObjectCommandOutput;
}>;

/**
 * Reads the current version of an object.
 * @throws {ObjectDeleted} {StorageRejected} {StorageUnavailable}
 */
export async function headObject(
  s3: S3Client,
  { bucket, key }: { bucket: string; key: string },
  signal: AbortSignal,
): Promise<ObjectHead> {
  const send = () => {
    const command = new HeadObjectCommand({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' });
    return sendS3WithTimeout(s3, `HEAD s3://${bucket}/${key}`, command, signal);
  };
  const response = await send().catch((error: unknown) => {
    // A 403 to HEAD has no error code. If the clock was wrong, the client has corrected it from the response.
    if (isForbidden(error)) return send();
    throw error;
  });
  const etag = unquoteETag(response.ETag);
  const versionId = versionOf(response.VersionId);
  const usesKeys =
    response.ServerSideEncryption?.startsWith('aws:kms') || response.SSECustomerAlgorithm !== undefined;
  return {
    pin: { bucket, key, etag, size: response.ContentLength ?? 0, ...(versionId && { versionId }) },
    metadata: response.Metadata ?? {},
    contentType: response.ContentType,
    sha1: fullObjectSha1(response),
    checksum: fullObjectCrc(response),
    etagIsMd5: /^[0-9a-f]{32}$/.test(etag) && !usesKeys,
    response,
  };
}

/** @param code of the error, if only one counts */
export const isForbidden = (error: unknown, code?: string): boolean =>
  error instanceof StorageRejected &&
  error.cause instanceof S3ServiceException &&
  error.cause.$metadata.httpStatusCode === 403 &&
  (code === undefined || error.cause.name === code);

type VersionIdentity = Readonly<{ etag: string; versionId?: string | undefined }>;

/** Whether two requests for one key saw the same object version. Without versioning, the ETag alone identifies it. */
export const isSameVersion = (a: VersionIdentity, b: VersionIdentity): boolean =>
  a.etag === b.etag && a.versionId === b.versionId;

const ARCHIVE_CLASSES = new Set(['GLACIER', 'DEEP_ARCHIVE']);

/** The storage class or Intelligent-Tiering tier that keeps the object from being read until it is restored. */
export function archiveTier({ response }: ObjectHead): string | undefined {
  const { StorageClass = '', ArchiveStatus, Restore } = response;
  if (Restore?.includes('ongoing-request="false"')) return undefined;
  return ArchiveStatus ?? (ARCHIVE_CLASSES.has(StorageClass) ? StorageClass : undefined);
}

/**
 * The SHA-1 that S3 computed over a whole object, base64 in S3 and hex here. A COMPOSITE checksum is a hash of the parts'
 * hashes and says nothing about the whole.
 */
export function fullObjectSha1(
  response: Pick<HeadObjectCommandOutput, 'ChecksumSHA1' | 'ChecksumType'> | undefined,
): Sha1 | undefined {
  if (response?.ChecksumSHA1 === undefined || response.ChecksumType !== 'FULL_OBJECT') return undefined;
  const parsed = v.safeParse(Sha1, Buffer.from(response.ChecksumSHA1, 'base64').toString('hex'));
  return parsed.success ? parsed.output : undefined;
}

/** `value`: base64, as in S3. */
export type FullObjectChecksum = Readonly<{ algorithm: 'CRC64NVME' | 'CRC32' | 'CRC32C'; value: string }>;

/** The CRC that S3 computed over a whole object. */
export function fullObjectCrc(
  response:
    | Pick<HeadObjectCommandOutput, 'ChecksumCRC64NVME' | 'ChecksumCRC32' | 'ChecksumCRC32C' | 'ChecksumType'>
    | undefined,
): FullObjectChecksum | undefined {
  if (response?.ChecksumType !== 'FULL_OBJECT') return undefined;
  for (const algorithm of ['CRC64NVME', 'CRC32', 'CRC32C'] as const) {
    const value = response[`Checksum${algorithm}`];
    if (value) return { algorithm, value };
  }
  return undefined;
}

/** With versioning off or suspended, the version ID is `null`, which identifies no version. */
export const versionOf = (versionId: string | undefined): string | undefined =>
  versionId === 'null' ? undefined : versionId;

/** An ETag without its quotes, as in events. */
export const unquoteETag = (etag: string | undefined): string => (etag ?? '').replace(/^(W\/)?"|"$/g, '');
