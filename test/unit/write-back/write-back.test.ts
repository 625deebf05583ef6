import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import type { StoredFile } from '../../../lib/schemas.ts';
import { hasMarker } from '../../../lib/write-back/marker.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { BUCKET, RICH, useStore, VERSIONED } from '../../support/fake-store.ts';
import { failureOf, never, storedAs } from '../../support/values.ts';

const store = useStore();
const CLIP = 'the bytes of a film';
const FILE = storedAs(CLIP);
const pinned = async (bucket: string, key: string) => (await store.find(bucket, key)).pin;
const write = async (bucket: string, key: string, file = FILE) =>
  writeBack(store.client, await pinned(bucket, key), file, never);

const written = (file: StoredFile, etag: string) => ({
  'vod-file-id': file.fileId,
  'vod-url': file.url,
  'vod-sha1': file.sha1,
  'vod-etag': etag,
  'vod-uploaded-at': expect.stringMatching(/^20\d\d-\d\d-\d\dT[\d:.]+Z$/),
});

const versionsOf = async (Bucket: string, Prefix: string) =>
  (await store.client.send(new ListObjectVersionsCommand({ Bucket, Prefix }))).Versions?.map((v) => [
    v.VersionId,
    v.LastModified,
  ]);

describe('in a bucket with versions', () => {
  test('a new version carries it, the old one stays as it was', async () => {
    const Metadata = { author: 'me', 'vod-tags': 'a,b' };
    await store.put(VERSIONED, 'v.mp4', CLIP, { ...RICH, Metadata });
    const [before, pin] = [await store.all(VERSIONED, 'v.mp4'), await pinned(VERSIONED, 'v.mp4')];
    expect(await write(VERSIONED, 'v.mp4')).toEqual({ to: 'metadata' });
    expect(await store.all(VERSIONED, 'v.mp4')).toEqual({
      ...before,
      Metadata: { ...Metadata, ...written(FILE, pin.etag) },
    });
    expect(await versionsOf(VERSIONED, 'v.mp4')).toHaveLength(2);
  });

  test('a newer version, of the very same bytes: ObjectChanged', async () => {
    await store.put(VERSIONED, 'newer.mp4', CLIP);
    const pin = await pinned(VERSIONED, 'newer.mp4');
    await store.put(VERSIONED, 'newer.mp4', CLIP, { Metadata: { by: 'another' } });
    const error = await failureOf(writeBack(store.client, pin, FILE, never));
    expect(error).toMatchObject({
      name: 'ObjectChanged',
      message: expect.stringContaining(`expected version ${pin.versionId}`),
    });
    expect((await store.find(VERSIONED, 'newer.mp4')).metadata).toEqual({ by: 'another' });
    expect(await versionsOf(VERSIONED, 'newer.mp4')).toHaveLength(2);
  });
});

describe('what the object carries already', () => {
  test.each([BUCKET, VERSIONED])('is not written again (%s)', async (bucket) => {
    await store.put(bucket, 'twice.mp4', CLIP);
    await write(bucket, 'twice.mp4');
    const [before, events] = [await versionsOf(bucket, 'twice.mp4'), store.events.length];
    expect(hasMarker(await store.find(bucket, 'twice.mp4'), FILE)).toBe(true);
    expect(await write(bucket, 'twice.mp4')).toEqual({ to: 'unchanged' });
    expect([await versionsOf(bucket, 'twice.mp4'), store.events.length]).toEqual([before, events]);
  });

  // A repeated Finish finds its own copy: another version, and of a multipart object another ETag.
  test.each([
    ['of a multipart object', BUCKET, store.putInParts],
    ['in a bucket with versions', VERSIONED, store.put],
  ])('also where the first reply was lost, %s: nothing is written', async (what, bucket, put) => {
    const key = `lost ${what}.mp4`;
    await put(bucket, key, CLIP);
    const pin = await pinned(bucket, key);
    expect(await writeBack(store.client, pin, FILE, never)).toEqual({ to: 'metadata' });
    const before = await versionsOf(bucket, key);
    expect(await writeBack(store.client, pin, FILE, never)).toEqual({ to: 'unchanged' });
    expect(await versionsOf(bucket, key)).toEqual(before);
  });

  test('a file without a url is carried without one', async () => {
    await store.put(BUCKET, 'no-url.mp4', CLIP);
    const file = { ...FILE, url: '' };
    expect([await write(BUCKET, 'no-url.mp4', file), await write(BUCKET, 'no-url.mp4', file)]).toEqual([
      { to: 'metadata' },
      { to: 'unchanged' },
    ]);
  });

  test('a file without a url does not keep the url of the one before', async () => {
    await store.put(BUCKET, 'other-url.mp4', CLIP);
    await write(BUCKET, 'other-url.mp4');
    const file = { ...storedAs(CLIP, '777'), url: '' };
    expect(await write(BUCKET, 'other-url.mp4', file)).toEqual({ to: 'metadata' });
    expect((await store.find(BUCKET, 'other-url.mp4')).metadata['vod-url']).toBe(undefined);
    expect(await write(BUCKET, 'other-url.mp4', file)).toEqual({ to: 'unchanged' });
  });
});

describe('nothing is written', () => {
  const untouched = async (key: string, act: () => Promise<unknown>) => {
    const before = await store.all(BUCKET, key);
    const error = await failureOf(act());
    expect(await store.all(BUCKET, key)).toEqual(before);
    return error;
  };

  test('when the object is another one by now: ObjectChanged', async () => {
    await store.put(BUCKET, 'changed.mp4', CLIP);
    const pin = await pinned(BUCKET, 'changed.mp4');
    await store.put(BUCKET, 'changed.mp4', 'another film');
    const error = await untouched('changed.mp4', () => writeBack(store.client, pin, FILE, never));
    expect(error).toMatchObject({
      name: 'ObjectChanged',
      message: expect.stringMatching(
        `^write-back to s3://${BUCKET}/changed.mp4: expected ETag ${pin.etag}, got ETag `,
      ),
    });
  });

  test('when its metadata would be over 2 KB: UnsupportedObject, saying how much', async () => {
    await store.put(BUCKET, 'full.mp4', CLIP, { Metadata: { note: 'x'.repeat(1900) } });
    const error = await untouched('full.mp4', () => write(BUCKET, 'full.mp4'));
    expect(error).toMatchObject({
      name: 'UnsupportedObject',
      message: expect.stringMatching(/expected at most 2048 bytes of metadata, got 21\d\d bytes/),
    });
  });

  test('when it is gone: ObjectDeleted', async () => {
    const pin = { bucket: BUCKET, key: 'never-was.mp4', etag: 'e', size: 1 };
    expect((await failureOf(writeBack(store.client, pin, FILE, never))).name).toBe('ObjectDeleted');
  });
});
