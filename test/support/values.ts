import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { Deadline } from '../../lib/deadline.ts';
import { FileId, type ObjectVersion, Sha1, type StoredFile } from '../../lib/schemas.ts';

/** Values that many tests of lib need. */

export const MIB = 1024 * 1024;

export const hex = (algorithm: 'md5' | 'sha1', bytes: Uint8Array | string): string =>
  createHash(algorithm).update(bytes).digest('hex');

export const sha1 = (bytes: Uint8Array | string): Sha1 => v.parse(Sha1, hex('sha1', bytes));

export const fileId = (digits: string): FileId => v.parse(FileId, digits);

export const pinOf = (size: number, more: Partial<ObjectVersion> = {}): ObjectVersion => ({
  bucket: 'b',
  key: 'clip.mp4',
  etag: 'e',
  size,
  ...more,
});

export const storedAs = (bytes: Uint8Array | string, id = '52858909004613270240'): StoredFile => ({
  fileId: fileId(id),
  url: `http://vod.example/${id}.mp4`,
  sha1: sha1(bytes),
});

type Fake = { left?: number; signal?: AbortSignal };

/** A deadline that says yes `times` times and then no, whatever the clock says. `left`: what it says is left. */
export function saysYes(
  times: number,
  { left = 60_000, signal = new AbortController().signal }: Fake = {},
): Deadline {
  let asked = 0;
  return {
    remaining: () => left,
    hasTimeFor: () => ++asked <= times,
    limit: 60_000,
    signal,
    release: () => {},
  };
}

/** Time enough for everything. */
export const plenty = (signal?: AbortSignal): Deadline =>
  saysYes(Number.POSITIVE_INFINITY, signal ? { signal } : {});

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
