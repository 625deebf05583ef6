import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, type GetObjectCommandOutput, type S3Client } from '@aws-sdk/client-s3';
import { ObjectChanged, StorageUnavailable } from '../errors.ts';
import { reportRetries } from '../invocation/progress.ts';
import type { ObjectVersion } from '../schemas.ts';
import type { ByteRange } from '../upload/plan.ts';
import { unquoteETag } from './head-object.ts';
import { sendS3, toStorageError } from './request.ts';

/** A connection without data for this long is closed. The read continues after the last byte received. */
const STALL_MS = 10_000;

/** Consecutive attempts without a single byte, before the state machine takes over. */
const MAX_EMPTY_READS = 5;

/**
 * Reads the bytes of `range` of one object version. After a stall, a broken connection, or a wrong length, the read
 * continues after the last byte received.
 * @param into receives the bytes; nothing writes to it after this function has settled
 * @throws {ObjectChanged} {ObjectDeleted} {StorageRejected}
 * @throws {StorageUnavailable} after several attempts without a byte
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
  const append = (chunk: Uint8Array): void => {
    bytes.set(chunk, filled);
    filled += chunk.byteLength;
  };
  for (let emptyReads = 0; filled < range.size; ) {
    const before = filled;
    const rest = { offset: range.offset + filled, size: range.size - filled };
    try {
      await readOnce(s3, pin, rest, append, signal);
    } catch (error) {
      if (!(error instanceof StorageUnavailable)) throw error;
      emptyReads = filled > before ? 0 : emptyReads + 1;
      if (emptyReads === MAX_EMPTY_READS) throw error;
      reportRetries({ of: 'S3', count: 1 });
      await sleep(100 * 2 ** emptyReads * Math.random(), undefined, { signal }).catch(() =>
        signal.throwIfAborted(),
      );
    }
  }
  return bytes;
}

/** Sends one `GetObject` and resolves only when every byte has arrived. */
async function readOnce(
  s3: S3Client,
  pin: ObjectVersion,
  range: ByteRange,
  append: (chunk: Uint8Array) => void,
  signal: AbortSignal,
): Promise<void> {
  const last = range.offset + range.size - 1;
  const operation = `GET s3://${pin.bucket}/${pin.key} bytes=${range.offset}-${last}`;
  const stall = new AbortController();
  const timer = setTimeout(
    () => stall.abort(new StorageUnavailable(`${operation}: no data for ${STALL_MS} ms`)),
    STALL_MS,
  );
  const either = AbortSignal.any([signal, stall.signal]);
  const command = new GetObjectCommand({
    Bucket: pin.bucket,
    Key: pin.key,
    Range: `bytes=${range.offset}-${last}`,
    IfMatch: `"${pin.etag}"`,
    VersionId: pin.versionId,
  });
  try {
    const response = await sendS3(operation, either, () => s3.send(command, { abortSignal: either }));
    const body = response.Body;
    if (!(body instanceof Readable)) throw new StorageUnavailable(`${operation}: expected a body, got none`);
    const mismatch = responseError(operation, pin, range, response);
    if (mismatch) {
      body.destroy(); // an unread body would keep the connection in use
      throw mismatch;
    }
    let received = 0;
    // An async iterator costs several times as much as a listener for each of the 16 chunks of a MiB.
    body.on('data', (chunk: Uint8Array) => {
      timer.refresh();
      received += chunk.byteLength;
      if (received <= range.size) append(chunk);
      else body.destroy(new StorageUnavailable(`${operation}: expected ${range.size} bytes, got more`));
    });
    try {
      await finished(body, { signal: either });
    } catch (error) {
      body.destroy();
      throw toStorageError(operation, error, either);
    }
    if (received < range.size)
      throw new StorageUnavailable(`${operation}: expected ${range.size} bytes, got ${received}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Detects a service that ignores `If-Match` or the range. */
function responseError(
  operation: string,
  pin: ObjectVersion,
  range: ByteRange,
  response: GetObjectCommandOutput,
): Error | undefined {
  const etag = unquoteETag(response.ETag);
  if (etag !== pin.etag) return new ObjectChanged(`${operation}: expected ETag ${pin.etag}, got ${etag}`);
  const expected = `bytes ${range.offset}-${range.offset + range.size - 1}/${pin.size}`;
  if (response.ContentRange === expected) return undefined;
  return new StorageUnavailable(`${operation}: expected ${expected}, got ${response.ContentRange}`);
}
