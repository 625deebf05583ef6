import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import type { ObjectVersion, StoredFile } from '../../../lib/schemas.ts';
import { hasMarker } from '../../../lib/write-back/marker.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, RICH, useStore, VERSIONED } from '../../support/fake-store.ts';
import { failureOf, never, sha1, storedAs } from '../../support/values.ts';

const store = useStore();
const CLIP = 'the bytes of a film';
const FILE = storedAs(CLIP);
const pinned = async (bucket: string, key: string) => (await store.find(bucket, key)).pin;
const write = async (bucket: string, key: string, file = FILE) =>
  writeBack(store.client, await pinned(bucket, key), file, never);

const markerOf = (file: StoredFile, etag: string) => ({
  'vod-file-id': file.fileId,
  'vod-url': file.url,
  'vod-sha1': file.sha1,
  'vod-etag': etag,
  'vod-uploaded-at': expect.stringMatching(/^20\d\d-\d\d-\d\dT[\d:.]+Z$/),
});

async function versionsOf(Bucket: string, Prefix: string) {
  const { Versions } = await store.client.send(new ListObjectVersionsCommand({ Bucket, Prefix }));
  return Versions?.map(({ VersionId, LastModified }) => [VersionId, LastModified]);
}

describe('writeBack in a bucket with versioning', () => {
  test('writes the marker onto a new version and keeps the rest', async () => {
    const Metadata = { author: 'me', 'vod-tags': 'a,b' };
    await store.put(VERSIONED, 'v.mp4', CLIP, { ...RICH, Metadata });
    const [before, pin] = [await store.all(VERSIONED, 'v.mp4'), await pinned(VERSIONED, 'v.mp4')];
    expect(await write(VERSIONED, 'v.mp4')).toEqual({ to: 'metadata' });
    expect(await store.all(VERSIONED, 'v.mp4')).toEqual({
      ...before,
      Metadata: { ...Metadata, ...markerOf(FILE, pin.etag) },
    });
    expect(await versionsOf(VERSIONED, 'v.mp4')).toHaveLength(2);
  });

  test('throws ObjectChanged when a newer version has the same bytes', async () => {
    await store.put(VERSIONED, 'newer.mp4', CLIP);
    const pin = await pinned(VERSIONED, 'newer.mp4');
    await store.put(VERSIONED, 'newer.mp4', CLIP, { Metadata: { by: 'another' } });
    const message = `expected version ${pin.versionId}`;
    await expectFailure(writeBack(store.client, pin, FILE, never), 'ObjectChanged', message);
    expect((await store.find(VERSIONED, 'newer.mp4')).metadata).toEqual({ by: 'another' });
    expect(await versionsOf(VERSIONED, 'newer.mp4')).toHaveLength(2);
  });
});

describe('writeBack onto an object with a marker', () => {
  test.each([BUCKET, VERSIONED])('writes nothing when the marker is the same (%s)', async (bucket) => {
    await store.put(bucket, 'twice.mp4', CLIP);
    await write(bucket, 'twice.mp4');
    const [before, events] = [await versionsOf(bucket, 'twice.mp4'), store.events.length];
    expect(hasMarker(await store.find(bucket, 'twice.mp4'), FILE)).toBe(true);
    expect(await write(bucket, 'twice.mp4')).toEqual({ to: 'unchanged' });
    expect([await versionsOf(bucket, 'twice.mp4'), store.events.length]).toEqual([before, events]);
  });

  // A repeated Finish finds its own copy: another version and, for a multipart object, another ETag.
  test.each([
    ['onto a multipart object', BUCKET, store.putInParts],
    ['in a bucket with versions', VERSIONED, store.put],
  ])('writes nothing when the first response was lost, %s', async (what, bucket, put) => {
    const key = `lost ${what}.mp4`;
    await put(bucket, key, CLIP);
    const pin = await pinned(bucket, key);
    expect(await writeBack(store.client, pin, FILE, never)).toEqual({ to: 'metadata' });
    const before = await versionsOf(bucket, key);
    expect(await writeBack(store.client, pin, FILE, never)).toEqual({ to: 'unchanged' });
    expect(await versionsOf(bucket, key)).toEqual(before);
  });

  test('writes no URL for a file without one', async () => {
    await store.put(BUCKET, 'no-url.mp4', CLIP);
    const file = { ...FILE, url: '' };
    expect(await write(BUCKET, 'no-url.mp4', file)).toEqual({ to: 'metadata' });
    expect(await write(BUCKET, 'no-url.mp4', file)).toEqual({ to: 'unchanged' });
  });

  test('removes the URL of an earlier file', async () => {
    await store.put(BUCKET, 'other-url.mp4', CLIP);
    await write(BUCKET, 'other-url.mp4');
    const file = { ...storedAs(CLIP, '777'), url: '' };
    expect(await write(BUCKET, 'other-url.mp4', file)).toEqual({ to: 'metadata' });
    expect((await store.find(BUCKET, 'other-url.mp4')).metadata['vod-url']).toBe(undefined);
    expect(await write(BUCKET, 'other-url.mp4', file)).toEqual({ to: 'unchanged' });
  });
});

describe('writeBack does not write', () => {
  async function failWithoutChange(pin: ObjectVersion, name: string, message: RegExp): Promise<void> {
    const before = await store.all(BUCKET, pin.key);
    await expectFailure(writeBack(store.client, pin, FILE, never), name, message);
    expect(await store.all(BUCKET, pin.key)).toEqual(before);
  }

  test('when the object was overwritten: ObjectChanged', async () => {
    await store.put(BUCKET, 'changed.mp4', CLIP);
    const pin = await pinned(BUCKET, 'changed.mp4');
    await store.put(BUCKET, 'changed.mp4', 'another film');
    const message = `^write-back to s3://${BUCKET}/changed.mp4: expected ETag ${pin.etag}, got ETag `;
    await failWithoutChange(pin, 'ObjectChanged', new RegExp(message));
  });

  test('when the metadata would exceed 2,048 bytes: UnsupportedObject', async () => {
    await store.put(BUCKET, 'empty.mp4', CLIP);
    await write(BUCKET, 'empty.mp4');
    const { metadata } = await store.find(BUCKET, 'empty.mp4');
    const limit = 2048 - Object.entries(metadata).flat().join('').length - 'note'.length;
    await store.put(BUCKET, 'full.mp4', CLIP, { Metadata: { note: 'x'.repeat(limit) } });
    expect(await write(BUCKET, 'full.mp4')).toEqual({ to: 'metadata' });
    await store.put(BUCKET, 'full.mp4', CLIP, { Metadata: { note: 'x'.repeat(limit + 1) } });
    const message = /full\.mp4.*expected at most 2048 bytes of metadata, got 2049 bytes/;
    await failWithoutChange(await pinned(BUCKET, 'full.mp4'), 'UnsupportedObject', message);
  });

  test('onto a newer object that overwrites the copy, when S3 has other bytes than VOD', async () => {
    await store.put(BUCKET, 'raced.mp4', CLIP, { Metadata: { old: '1' } });
    const s3 = store.interferingClient('CopyObjectCommand', async (output) => {
      await store.put(BUCKET, 'raced.mp4', 'a newer film', { Metadata: { newer: '1' } });
      const ChecksumSHA1 = Buffer.from(sha1('other bytes'), 'hex').toString('base64');
      Object.assign(output, { CopyObjectResult: { ChecksumSHA1, ChecksumType: 'FULL_OBJECT' } });
    });
    const { name } = await failureOf(writeBack(s3, await pinned(BUCKET, 'raced.mp4'), FILE, never));
    expect(['ContentMismatch', 'ObjectChanged']).toContain(name);
    expect((await store.find(BUCKET, 'raced.mp4')).metadata).toEqual({ newer: '1' });
  });

  test('when the object does not exist: ObjectDeleted', async () => {
    const pin = { bucket: BUCKET, key: 'never-was.mp4', etag: 'e', size: 1 };
    await expectFailure(writeBack(store.client, pin, FILE, never), 'ObjectDeleted');
  });
});
