import { GetObjectTaggingCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import { readTags } from '../../../lib/s3/tags.ts';
import type { ObjectVersion } from '../../../lib/schemas.ts';
import { markerTags } from '../../../lib/write-back/marker.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { writeTags } from '../../../lib/write-back/write-tags.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, useStore, VERSIONED } from '../../support/fake-store.ts';
import { never, storedAs } from '../../support/values.ts';

const store = useStore();
const CLIP = 'the bytes of a film';
const FILE = storedAs(CLIP);
const tagged = (etag: string) => ({
  'vod-file-id': FILE.fileId,
  'vod-url': FILE.url,
  'vod-sha1': FILE.sha1,
  'vod-etag': etag,
});

const write = (pin: ObjectVersion, file = FILE, s3 = store.client) =>
  writeTags(s3, pin, markerTags(pin, file, new Date()), never);

async function put(key: string, bucket = BUCKET, more: Parameters<typeof store.put>[3] = {}) {
  await store.put(bucket, key, CLIP, more);
  const { pin } = await store.find(bucket, key);
  const tags = async () => {
    const get = new GetObjectTaggingCommand({ Bucket: bucket, Key: key });
    const { TagSet = [] } = await store.client.send(get);
    return Object.fromEntries(TagSet.map(({ Key, Value }) => [Key, Value]));
  };
  return { pin, tags };
}

test.each([BUCKET, VERSIONED])('adds the file to the tags and changes nothing else (%s)', async (bucket) => {
  const fields = { Tagging: 'a=1&b=2%203', Metadata: { author: 'me' } };
  const { pin, tags } = await put('added.mp4', bucket, fields);
  const events = store.events.length;
  expect(await write(pin)).toBe(true);
  expect(await tags()).toEqual({ a: '1', b: '2 3', ...tagged(pin.etag) });
  expect(await readTags(store.client, pin, never)).toEqual(await tags());
  expect((await store.find(bucket, 'added.mp4')).pin).toEqual(pin);
  expect(store.events.length).toBe(events);
  expect(await write(pin)).toBe(false);
});

test('removes every tag of an earlier file', async () => {
  const { pin, tags } = await put('earlier.mp4');
  await write(pin, storedAs('other', '777'));
  await write(pin, { ...FILE, url: 'http://u/?a=b&c' });
  const { 'vod-url': _, ...rest } = tagged(pin.etag);
  expect(await tags()).toEqual(rest);
});

test('throws UnsupportedObject and writes nothing when there would be more than ten tags', async () => {
  const Tagging = Array.from({ length: 7 }, (_, n) => `t${n}=x`).join('&');
  const { pin, tags } = await put('full.mp4', BUCKET, { Tagging });
  const before = await tags();
  const message = `tags of s3://${BUCKET}/full.mp4: expected at most 10, got 11`;
  await expectFailure(write(pin), 'UnsupportedObject', message);
  expect(await tags()).toEqual(before);
});

test('throws ObjectChanged and removes its tags when the object was overwritten before', async () => {
  const { pin, tags } = await put('over.mp4');
  await store.put(BUCKET, 'over.mp4', 'another film', { Tagging: 'user=1' });
  await expectFailure(write(pin), 'ObjectChanged');
  expect(await tags()).toEqual({ user: '1' });
});

test('throws ObjectChanged and keeps the fileId of an object that overtook the write', async () => {
  const { pin, tags } = await put('overtaken.mp4');
  const newer = storedAs('another film', '777');
  const s3 = store.interferingClient('PutObjectTaggingCommand', async () => {
    await store.put(BUCKET, 'overtaken.mp4', 'another film');
    await write((await store.find(BUCKET, 'overtaken.mp4')).pin, newer);
  });
  await expectFailure(write(pin, FILE, s3), 'ObjectChanged');
  expect(await tags()).toMatchObject({ 'vod-file-id': newer.fileId, 'vod-sha1': newer.sha1 });
});

describe('writeBack writes tags', () => {
  test('without a new version in the mode "tags"', async () => {
    const { pin, tags } = await put('mode.mp4', VERSIONED);
    const settings = { ...DEFAULT_WRITE_BACK, mode: 'tags' as const };
    expect(await writeBack(store.client, pin, FILE, never, settings)).toEqual({ to: 'tags' });
    expect(await writeBack(store.client, pin, FILE, never, settings)).toEqual({ to: 'unchanged' });
    expect(await tags()).toEqual(tagged(pin.etag));
    expect((await store.find(VERSIONED, 'mode.mp4')).pin).toEqual(pin);
  });

  test('with a reason when the object is archived', async () => {
    const { pin, tags } = await put('archived.mp4', BUCKET, { StorageClass: 'GLACIER' });
    expect(await writeBack(store.client, pin, FILE, never)).toEqual({
      to: 'tags',
      reason: "the fileId is in the object's tags: it is archived (GLACIER)",
    });
    expect(await tags()).toEqual(tagged(pin.etag));
  });
});
