import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { createBytes, hash } from '../../support/values.ts';
import { type Changes, video } from '../../support/vod-client.ts';
import { rejectedWith, startService } from '../../support/vod-service.ts';

const film = video(1000);
const image = createBytes(3000);

async function startWithVideo() {
  const started = await startService();
  return { ...started, fileId: await started.client.upload(film) };
}

describe('SmallFileUpload', () => {
  test('stores an image and sets it as the cover of its video', async () => {
    const { client, vod, dir, fileId: videoId } = await startWithVideo();
    const { code, fileId = '', url = '' } = await client.cover(image, videoId);
    expect(code).toBe(0);
    expect(url).toBe(`${vod.endpoint}/files/${fileId}.jpg`);
    expect(Buffer.from(await (await fetch(url)).arrayBuffer())).toEqual(image);
    expect(vod.files()).toMatchObject([
      { fileId: videoId, cover: { fileId, url } },
      {
        fileId,
        url,
        sha1: hash('sha1', image),
        size: 3000,
        fileName: 'cover',
        fileType: 'jpg',
        coverOf: videoId,
      },
    ]);
    expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual(vod.files());
    expect((await readdir(`${dir}/files`)).sort()).toEqual([`${videoId}.mp4`, `${fileId}.jpg`].sort());
  });

  test('returns 2 for a known image and sets it as the cover of another video', async () => {
    const { client, vod, fileId: first } = await startWithVideo();
    const second = await client.upload(video(2000));
    const { fileId } = await client.cover(image, first);
    expect(await client.cover(image, first)).toMatchObject({ code: 2, fileId });
    expect(await client.cover(image, second)).toMatchObject({ code: 2, fileId });
    expect(vod.files().flatMap(({ cover }) => cover?.fileId ?? [])).toEqual([fileId, fileId]);
    expect(vod.files()).toHaveLength(3);
  });

  test('stores an image once when it is sent twice concurrently', async () => {
    const { client, vod, fileId } = await startWithVideo();
    const responses = await Promise.all([client.cover(image, fileId), client.cover(image, fileId)]);
    expect(responses.map(({ code }) => code).sort()).toEqual([0, 2]);
    expect(vod.files()).toHaveLength(2);
  });

  test('stores concurrent images with their bytes', async () => {
    const { client, dir, fileId } = await startWithVideo();
    const images = Array.from({ length: 24 }, () => createBytes(400_000));
    const responses = await Promise.all(images.map((bytes) => client.cover(bytes, fileId)));
    for (const [at, bytes] of images.entries()) {
      const stored = await readFile(`${dir}/files/${responses[at]?.fileId}.jpg`);
      expect(hash('sha1', stored)).toBe(hash('sha1', bytes));
    }
  });

  test('replaces the cover with another image', async () => {
    const { client, vod, fileId: videoId } = await startWithVideo();
    await client.cover(image, videoId);
    const { fileId } = await client.cover(createBytes(10), videoId);
    expect(vod.files()[0]?.cover?.fileId).toBe(fileId);
  });

  test('does not treat an image as a video, even with the same bytes', async () => {
    const { client, fileId } = await startWithVideo();
    const { fileId: imageId = '' } = await client.cover(film.bytes, fileId);
    expect(imageId).not.toBe(fileId);
    expect(await client.init(film)).toMatchObject({ code: 2, fileId });
    expect(await client.cover(image, imageId)).toMatchObject({ code: 5000, canRetry: 0 });
  });

  test.each([1, 1_048_575])('accepts %i bytes', async (size) => {
    const { client, fileId } = await startWithVideo();
    expect(await client.cover(Buffer.alloc(size), fileId)).toMatchObject({ code: 0 });
  });

  test.each(['jpg', 'jpeg', 'png', 'gif', 'webp', 'bmp'])('accepts a %s', async (fileType) => {
    const { client, fileId, vod } = await startWithVideo();
    const { code, url = '' } = await client.cover(image, fileId, { fileType });
    expect(code).toBe(0);
    expect((await fetch(url, { method: 'HEAD' })).headers.get('content-type')).toMatch(/^image\//);
    expect(vod.files()).toMatchObject([{}, { fileType }]);
  });

  test.each<[Changes, RegExp]>([
    [{ fileName: undefined }, /^fileName: missing$/],
    [{ fileName: 'n'.repeat(41) }, /^fileName/],
    [{ fileName: 'a:b' }, /^fileName/],
    [{ fileSha: undefined }, /^fileSha: missing$/],
    [{ fileSha: 'x' }, /^fileSha/],
    [{ fileSize: undefined }, /^fileSize: missing$/],
    [{ fileSize: 0, dataSize: 0 }, /^fileSize/],
    [{ fileSize: 1_048_576, dataSize: 1_048_576 }, /^fileSize: expected a whole number from 1 to 1048575/],
    [{ dataSize: undefined }, /^dataSize: missing$/],
    [{ dataSize: 2999 }, /^dataSize: expected 3000, the same as fileSize, got 2999$/],
    [{ fileType: undefined }, /^fileType: missing$/],
    [{ fileType: 'mp4' }, /^fileType: expected jpg, jpeg, png, gif, webp or bmp, got "mp4"$/],
    [{ 'extra.usage': undefined }, /^extra\.usage: missing$/],
    [{ 'extra.usage': 2 }, /^extra\.usage: expected 1/],
    [{ 'extra.fileId': undefined }, /^extra\.fileId: missing$/],
    [{ 'extra.fileId': '' }, /^extra\.fileId: expected the fileId of a video/],
    [{ 'extra.fileId': '../1' }, /^extra\.fileId/],
  ])('rejects %j', async (changes, message) => {
    const { client, fileId, vod } = await startWithVideo();
    expect(await client.cover(image, fileId, changes)).toMatchObject(rejectedWith(-10003, message));
    expect(vod.files()).toHaveLength(1);
  });

  test.each<[string, Buffer]>([
    ['a byte too few', image.subarray(1)],
    ['a byte too many', Buffer.concat([image, Buffer.alloc(1)])],
    ['other bytes', Buffer.alloc(image.length)],
  ])('rejects %s', async (_, body) => {
    const { client, fileId, vod } = await startWithVideo();
    expect(await client.cover(image, fileId, {}, { body })).toMatchObject({ code: -10006, canRetry: 1 });
    expect(vod.files()).toHaveLength(1);
  });

  test('rejects a video that is not stored', async () => {
    const { client } = await startService();
    expect(await client.cover(image, '1234567890123456789')).toMatchObject({
      status: 200,
      code: 5000,
      canRetry: 0,
      message: 'extra.fileId: no video 1234567890123456789 is stored',
    });
  });
});
