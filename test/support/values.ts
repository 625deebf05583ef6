import { type BinaryToTextEncoding, createCipheriv, createHash } from 'node:crypto';
import * as v from 'valibot';
import type { Deadline } from '../../lib/invocation/deadline.ts';
import type { ObjectHead } from '../../lib/s3/head-object.ts';
import { FileId, type ObjectVersion, Sha1 } from '../../lib/schemas.ts';
import type { HashedFile } from '../../lib/vod/v2/client.ts';

/** Values that many tests need. */

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const HALF_MIB = 512 * KIB;

/** A signal that is never aborted. */
export const never = new AbortController().signal;

export const hash = (
  algorithm: string,
  bytes: Uint8Array | string,
  encoding: BinaryToTextEncoding = 'hex',
): string => createHash(algorithm).update(bytes).digest(encoding);

let contents = 0;

/** Makes `createBytes` begin again, so that a test file gets the same bytes whichever files ran before it. */
export const resetBytes = (): void => {
  contents = 0;
};

/** Creates `size` bytes that look random. Each call in a test file returns other bytes; each run of the file the same. */
export function createBytes(size: number): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(contents++);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

/** Creates a replacement for `Math.random` that returns the same numbers in each run: mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const sha1 = (bytes: Uint8Array | string): Sha1 => v.parse(Sha1, hash('sha1', bytes));

export const fileId = (digits: string): FileId => v.parse(FileId, digits);

export const pinOf = (size: number, more: Partial<ObjectVersion> = {}): ObjectVersion => ({
  bucket: 'b',
  key: 'clip.mp4',
  etag: 'e',
  size,
  ...more,
});

/** The response of HEAD for `pin`. */
export const headOf = (pin: ObjectVersion, more: Partial<ObjectHead> = {}): ObjectHead => ({
  pin,
  metadata: {},
  contentType: undefined,
  sha1: undefined,
  checksum: undefined,
  etagIsMd5: false,
  response: { $metadata: {} },
  ...more,
});

export const storedAs = (bytes: Uint8Array | string, id = '52858909004613270240'): HashedFile => ({
  fileId: fileId(id),
  url: `http://vod.example/${id}.mp4`,
  sha1: sha1(bytes),
});

type FakeDeadline = { left?: number; signal?: AbortSignal };

/** A deadline that has time for `checks` checks, whatever the clock says. `left`: the time that it reports. */
export function deadlineWithChecks(
  checks: number,
  { left = 60_000, signal = new AbortController().signal }: FakeDeadline = {},
): Deadline {
  let checked = 0;
  return {
    remaining: () => left,
    hasTimeFor: () => ++checked <= checks,
    limit: 60_000,
    signal,
    release: () => {},
  };
}

/** A deadline with time for everything. */
export const ampleDeadline = (signal?: AbortSignal): Deadline =>
  deadlineWithChecks(Number.POSITIVE_INFINITY, signal ? { signal } : {});

/** The class name and message of what a call fails with, or `no error`. */
export async function failureOf(call: Promise<unknown>): Promise<{ name: string; message: string }> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error) return error;
    throw new TypeError('something else than an Error was thrown', { cause: error });
  }
  return { name: 'no error', message: '' };
}
