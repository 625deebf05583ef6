import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import * as v from 'valibot';
import { ObjectChanged, StorageRejected, StorageUnavailable } from '../errors.ts';
import { reportRetries } from '../progress.ts';
import { type ObjectVersion, Sha1 } from '../schemas.ts';
import type { ByteRange } from '../upload/plan.ts';
import { sendS3, sendS3WithTimeout, toStorageError } from './request.ts';

/**
 * Objects in S3: what they are, and their bytes. With `beside.ts`, `rewrite.ts`, and `tagging.ts` the only user of the S3 client;
 * all ask through `ask.ts`.
 */

/** A connection that brings nothing for this long is given up, and the range is read on from its last good byte. */
const STALL_MS = 10_000;

/** Tries of one range that bring not a single byte, before it is the state machine's turn. */
const MAX_EMPTY_READS = 5;

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

export function createS3Client(settings: { endpoint?: string | undefined }): S3Client {
  return new S3Client({
    // Stores other than AWS's own are addressed by path, and know checksums only where the operation requires one.
    ...(settings.endpoint !== undefined && { endpoint: settings.endpoint, forcePathStyle: true }),
    followRegionRedirects: false, // a signed request goes to the configured store and nowhere else
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 4,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 5_000,
      // A copy of 5 GB may be silent for long; ranged reads watch for stalls themselves (`readRange`).
      socketTimeout: 300_000,
      httpAgent: { keepAlive: true, maxSockets: 128 },
      httpsAgent: { keepAlive: true, maxSockets: 128 },
    }),
  });
}

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

/**
 * Exactly the bytes of `range`, of exactly the pinned object. A reply that stalls, breaks off, or lies about its length
 * is read on from its last good byte.
 * @param into where the bytes go; nobody writes there any more once this has settled
 * @throws {ObjectChanged} {ObjectDeleted} {StorageRejected} {StorageUnavailable} after several tries that bring nothing
 */
export async function readRange(
  s3: S3Client,
  pin: ObjectVersion,
  range: ByteRange,
  signal: AbortSignal,
  into: Uint8Array = Buffer.allocUnsafeSlow(range.size),
): Promise<Uint8Array> {
  const bytes = into.subarray(0, range.size);
  let filled = 0;
  const take = (chunk: Uint8Array): void => {
    bytes.set(chunk, filled);
    filled += chunk.byteLength;
  };
  for (let barren = 0; filled < range.size; ) {
    const before = filled;
    const rest = { offset: range.offset + filled, size: range.size - filled };
    try {
      await readOnce(s3, pin, rest, take, signal);
    } catch (error) {
      if (!(error instanceof StorageUnavailable)) throw error;
      barren = filled > before ? 0 : barren + 1;
      if (barren === MAX_EMPTY_READS) throw error;
      reportRetries({ of: 'S3', count: 1 });
      await sleep(100 * 2 ** barren * Math.random(), undefined, { signal }).catch(() =>
        signal.throwIfAborted(),
      );
    }
  }
  return bytes;
}

/** One `GetObject`, held to the pin and to the range, given up when it stalls. Settles well only when every byte has come. */
async function readOnce(
  s3: S3Client,
  pin: ObjectVersion,
  range: ByteRange,
  take: (chunk: Uint8Array) => void,
  signal: AbortSignal,
): Promise<void> {
  const last = range.offset + range.size - 1;
  const what = `GET s3://${pin.bucket}/${pin.key} bytes=${range.offset}-${last}`;
  const stall = new AbortController();
  const stalled = (): void => stall.abort(new StorageUnavailable(`${what}: nothing came for ${STALL_MS} ms`));
  const watch = setTimeout(stalled, STALL_MS);
  const either = AbortSignal.any([signal, stall.signal]);
  const command = new GetObjectCommand({
    Bucket: pin.bucket,
    Key: pin.key,
    Range: `bytes=${range.offset}-${last}`,
    IfMatch: `"${pin.etag}"`,
    VersionId: pin.versionId,
  });
  try {
    const reply = await sendS3(what, either, () => s3.send(command, { abortSignal: either }));
    const body = reply.Body;
    if (!(body instanceof Readable)) throw new StorageUnavailable(`${what}: expected a body, got none`);
    const refusal = responseError(what, pin, range, reply);
    if (refusal) {
      body.destroy(); // read to the end or destroyed, or the connection would stay taken
      throw refusal;
    }
    let got = 0;
    // A listener, since an async iterator costs several times as much for each of the 16 chunks of a MiB.
    body.on('data', (chunk: Uint8Array) => {
      watch.refresh();
      got += chunk.byteLength;
      if (got <= range.size) take(chunk);
      else body.destroy(new StorageUnavailable(`${what}: expected ${range.size} bytes, got more`));
    });
    try {
      await finished(body, { signal: either });
    } catch (error) {
      body.destroy();
      throw toStorageError(what, error, either);
    }
    if (got < range.size) throw new StorageUnavailable(`${what}: expected ${range.size} bytes, got ${got}`);
  } finally {
    clearTimeout(watch);
  }
}

/** Not the pinned object (a store that ignores `If-Match`), or not the range that was asked for. */
function responseError(
  what: string,
  pin: ObjectVersion,
  range: ByteRange,
  reply: GetObjectCommandOutput,
): Error | undefined {
  const etag = unquoteETag(reply.ETag);
  if (etag !== pin.etag) return new ObjectChanged(`${what}: expected ETag ${pin.etag}, got ${etag}`);
  const expected = `bytes ${range.offset}-${range.offset + range.size - 1}/${pin.size}`;
  if (reply.ContentRange === expected) return undefined;
  return new StorageUnavailable(`${what}: expected ${expected}, got ${reply.ContentRange}`);
}
