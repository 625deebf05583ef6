import { readdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BUCKET, useS3, VERSIONED } from '../../support/local-s3.ts';

const s3 = useS3();

const awkward = [' ', '\r', '\u0001', '\ue000', ..."/ .. . + % %2F & < ? # = ~ ' * \\ 中 é 😀 a".split(' ')];
const key = fc
  .oneof(
    fc.array(fc.constantFrom(...awkward), { minLength: 1, maxLength: 12 }).map((parts) => parts.join('')),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
  )
  .filter((text) => text.isWellFormed() && Buffer.byteLength(text) <= 900);

const encodeKey = (text: string): string => text.split('/').map(encodeURIComponent).join('/');
const decodeEventKey = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '));

describe('keys', () => {
  test('pass unchanged through put, event, get, list, and copy, and never leave the folder', async () => {
    await fc.assert(
      fc.asyncProperty(key, async (Key) => {
        s3.events.length = 0;
        await s3.put(Key, { Body: Key });
        expect(decodeEventKey(s3.events[0]?.Records[0]?.s3.object.key ?? '')).toBe(Key);
        expect(await s3.getText(Key)).toBe(Key);
        const listed = await s3.client.listObjectsV2({ Bucket: BUCKET, Prefix: Key, EncodingType: 'url' });
        expect(listed.Contents?.map((object) => decodeURIComponent(object.Key ?? ''))).toEqual([Key]);
        await s3.client.copyObject({ Bucket: VERSIONED, Key, CopySource: `${BUCKET}/${encodeKey(Key)}` });
        expect(await s3.getText(Key, { Bucket: VERSIONED })).toBe(Key);
        await s3.delete(Key);
      }),
      { numRuns: 60 },
    );
    expect(await readdir(dirname(s3.dir))).toEqual([basename(s3.dir)]);
    expect((await readdir(s3.dir)).sort()).toEqual(['blobs', 'buckets', 'drafts', 'starts.json', 'uploads']);
    expect((await readdir(`${s3.dir}/buckets`)).sort()).toEqual([BUCKET, VERSIONED]);
  });

  test('are listed in the order of their UTF-8 bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(key, { minLength: 2, maxLength: 6 }), async (keys) => {
        const prefixed = keys.map((text) => `sorted/${text}`);
        for (const Key of prefixed) await s3.put(Key);
        const { Contents = [] } = await s3.client.listObjectsV2({
          Bucket: BUCKET,
          Prefix: 'sorted/',
          EncodingType: 'url',
        });
        expect(Contents.map((object) => decodeURIComponent(object.Key ?? ''))).toEqual(
          prefixed.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
        );
        for (const Key of prefixed) await s3.delete(Key);
      }),
      { numRuns: 20 },
    );
  });
});
