import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, type GetObjectCommandOutput, type S3Client } from '@aws-sdk/client-s3';
import { ObjectChanged, StorageUnavailable } from '../errors.ts';
import { reportRetries } from '../progress.ts';
import type { ObjectVersion } from '../schemas.ts';
import type { ByteRange } from '../upload/plan.ts';
import { unquoteETag } from './head-object.ts';
import { sendS3, toStorageError } from './request.ts';

/** A connection that brings nothing for this long is given up, and the range is read on from its last good byte. */
const STALL_MS = 10_000;

/** Tries of one range that bring not a single byte, before it is the state machine's turn. */
const MAX_EMPTY_READS = 5;

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
