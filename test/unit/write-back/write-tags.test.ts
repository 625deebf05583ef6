import { GetObjectTaggingCommand } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import { readTags } from '../../../lib/s3/tags.ts';
import type { ObjectVersion } from '../../../lib/schemas.ts';
import { markerTags } from '../../../lib/write-back/marker.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { writeTags } from '../../../lib/write-back/write-tags.ts';
import { BUCKET, useStore, VERSIONED } from '../../support/fake-store.ts';
import { failureOf, never, storedAs } from '../../support/values.ts';

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
    const { TagSet = [] } = await store.client.send(
      new GetObjectTaggingCommand({ Bucket: bucket, Key: key }),
    );
    return Object.fromEntries(TagSet.map(({ Key, Value }) => [Key, Value]));
  };
  return { pin, tags };
}

test.each([BUCKET, VERSIONED])(
  'the file is added to the tags; the object stays the one it was (%s)',
  async (bucket) => {
    const { pin, tags } = await put('added.mp4', bucket, {
      Tagging: 'a=1&b=2%203',
      Metadata: { author: 'me' },
    });
    const events = store.events.length;
    expect(await write(pin)).toBe(true);
    expect(await tags()).toEqual({ a: '1', b: '2 3', ...tagged(pin.etag) });
    expect(await readTags(store.client, pin, never)).toEqual(await tags());
    expect((await store.find(bucket, 'added.mp4')).pin).toEqual(pin);
    expect(store.events.length).toBe(events);
    expect(await write(pin)).toBe(false);
  },
);

test('what an earlier file left goes', async () => {
  const { pin, tags } = await put('earlier.mp4');
  await write(pin, storedAs('other', '777'));
  await write(pin, { ...FILE, url: 'http://u/?a=b&c' });
  const { 'vod-url': _, ...rest } = tagged(pin.etag);
  expect(await tags()).toEqual(rest);
});

test('ten tags are the most: UnsupportedObject, and they stay as they are', async () => {
  const Tagging = Array.from({ length: 7 }, (_, n) => `t${n}=x`).join('&');
  const { pin, tags } = await put('full.mp4', BUCKET, { Tagging });
  const before = await tags();
  expect(await failureOf(write(pin))).toMatchObject({
    name: 'UnsupportedObject',
    message: expect.stringContaining(`tags of s3://${BUCKET}/full.mp4: expected at most 10, got 11`),
  });
  expect(await tags()).toEqual(before);
});

test('another object by now: ObjectChanged, and it carries no id of other bytes', async () => {
  const { pin, tags } = await put('over.mp4');
  await store.put(BUCKET, 'over.mp4', 'another film', { Tagging: 'mine=1' });
  expect((await failureOf(write(pin))).name).toBe('ObjectChanged');
  expect(await tags()).toEqual({ mine: '1' });
});

test('another object by now, which carries its own id already: it keeps it', async () => {
  const { pin, tags } = await put('overtaken.mp4');
  const theirs = storedAs('another film', '777');
  const s3 = createS3Client({ endpoint: store.endpoint() });
  onTestFinished(() => s3.destroy());
  let wrote = 0;
  s3.middlewareStack.add((next, { commandName }) => async (args) => {
    const answer = await next(args);
    if (commandName === 'PutObjectTaggingCommand' && ++wrote === 1) {
      await store.put(BUCKET, 'overtaken.mp4', 'another film');
      await write((await store.find(BUCKET, 'overtaken.mp4')).pin, theirs);
    }
    return answer;
  });
  expect((await failureOf(write(pin, FILE, s3))).name).toBe('ObjectChanged');
  expect(await tags()).toMatchObject({ 'vod-file-id': theirs.fileId, 'vod-sha1': theirs.sha1 });
});

describe('the write-back uses tags', () => {
  test('where that is set: no rewrite, no new version', async () => {
    const { pin, tags } = await put('mode.mp4', VERSIONED);
    const settings = { ...DEFAULT_WRITE_BACK, mode: 'tags' as const };
    expect(await writeBack(store.client, pin, FILE, never, settings)).toEqual({ to: 'tags' });
    expect(await writeBack(store.client, pin, FILE, never, settings)).toEqual({ to: 'unchanged' });
    expect(await tags()).toEqual(tagged(pin.etag));
    expect((await store.find(VERSIONED, 'mode.mp4')).pin).toEqual(pin);
  });

  test.each(['GLACIER', 'DEEP_ARCHIVE'] as const)(
    'where the object is archived (%s), and says so',
    async (StorageClass) => {
      const { pin, tags } = await put(`${StorageClass}.mp4`, BUCKET, { StorageClass });
      expect(await writeBack(store.client, pin, FILE, never)).toEqual({
        to: 'tags',
        reason: `the fileId is in the object's tags: it is archived (${StorageClass})`,
      });
      expect(await tags()).toEqual(tagged(pin.etag));
    },
  );
});
