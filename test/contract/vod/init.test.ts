import { describe, expect, test } from 'vitest';
import { HALF_MIB, hash, MIB } from '../../support/values.ts';
import { type Changes, describeParts, video } from '../../support/vod-client.ts';
import { rejectedWith, startService } from '../../support/vod-service.ts';

const file = video(3 * HALF_MIB + 1);
const E_ACUTE = 'é'; // two bytes of UTF-8

describe('InitUpload accepts', () => {
  test.each<Changes>([
    { fileName: 'n' },
    { fileName: 'n'.repeat(39) },
    { fileName: 'n'.repeat(40) },
    { fileName: E_ACUTE.repeat(20) },
    { fileName: '视频 (1) & 100% #1.final' },
    { fileSize: 1 },
    { fileSize: Number.MAX_SAFE_INTEGER },
    { dataSize: 524_288 },
    { dataSize: 524_289 },
    { dataSize: 1_048_576 },
    { fileType: 'MP4' },
    { fileType: '3gp' },
    { classId: 0 },
    { classId: -1 },
    { classId: 123_456 },
    { isTranscode: 0, isScreenshot: 1, isWatermark: 0 },
    { 'tags.1': 'one' },
    { 'tags.2': 'two', 'tags.1': 'one', 'tags.3': 'three' },
    { 'tag.1': 'one', 'tag.2': 'two' },
  ])('%j', async (changes) => {
    const { client } = await startService();
    expect(await client.init(file, changes)).toEqual({
      status: 200,
      headers: expect.objectContaining({ 'content-type': 'application/json; charset=utf-8' }),
      code: 0,
      message: '',
      codeDesc: '',
      canRetry: 0,
    });
  });
});

// The vendor's C# SDK sends upper case.
test('an upper-case SHA-1 names the same upload and the same file in every call', async () => {
  const { client, vod } = await startService();
  const upper = { fileSha: file.sha1.toUpperCase() };
  expect(await client.init(file, upper)).toMatchObject({ code: 0 });
  for (const index of file.parts.keys()) await client.part(file, index, index % 2 ? upper : {});
  expect(await client.init(file)).toMatchObject({ code: 1, listParts: { length: file.parts.length } });
  const { code, fileId = '' } = await client.finish(file, upper);
  expect(code).toBe(0);
  expect(vod.files()).toMatchObject([{ fileId, sha1: file.sha1 }]);
  expect(await client.init(file, upper)).toMatchObject({ code: 2, fileId });
  const image = Buffer.from('image');
  const fileSha = hash('sha1', image).toUpperCase();
  expect(await client.cover(image, fileId, { fileSha })).toMatchObject({ code: 0 });
  expect(await client.cover(image, fileId)).toMatchObject({ code: 2 });
});

describe('InitUpload rejects', () => {
  test.each<[Changes, RegExp]>([
    [{ fileName: undefined }, /^fileName: missing$/],
    [{ fileName: '' }, /^fileName: expected a name/],
    [{ fileName: 'n'.repeat(41) }, /^fileName: expected at most 40 bytes of UTF-8, got 41$/],
    [{ fileName: `n${E_ACUTE.repeat(20)}` }, /got 41/],
    ...[...'\\/:*?"<>|'].map((c): [Changes, RegExp] => [
      { fileName: `a${c}b` },
      /^fileName: expected none of/,
    ]),
    [{ fileSha: undefined }, /^fileSha: missing$/],
    [{ fileSha: 'a'.repeat(39) }, /^fileSha: expected 40 hex digits/],
    [{ fileSha: 'a'.repeat(41) }, /^fileSha/],
    [{ fileSha: 'g'.repeat(40) }, /^fileSha/],
    [{ fileSha: `../../../${'a'.repeat(34)}` }, /^fileSha/],
    [{ fileSha: `${'a'.repeat(40)}\n` }, /^fileSha/],
    [{ fileSize: undefined }, /^fileSize: missing$/],
    [{ fileSize: '' }, /^fileSize: expected a whole number from 1/],
    [{ fileSize: 0 }, /^fileSize/],
    [{ fileSize: -1 }, /^fileSize/],
    [{ fileSize: '1.5' }, /^fileSize/],
    [{ fileSize: '1e6' }, /^fileSize/],
    [{ fileSize: '0x10' }, /^fileSize/],
    [{ fileSize: ' 10' }, /^fileSize/],
    [{ fileSize: '010' }, /^fileSize/],
    [{ fileSize: '9007199254740992' }, /^fileSize/],
    [{ fileSize: '99999999999999999999' }, /^fileSize/],
    [{ dataSize: undefined }, /^dataSize: missing$/],
    [{ dataSize: 524_287 }, /^dataSize: expected a whole number from 524288 to 1048576, got 524287$/],
    [{ dataSize: 1_048_577 }, /^dataSize/],
    [{ fileType: undefined }, /^fileType: missing$/],
    [{ fileType: '' }, /^fileType/],
    [{ fileType: '.mp4' }, /^fileType/],
    [{ fileType: '../x' }, /^fileType/],
    [{ fileType: 'video/mp4' }, /^fileType/],
    [{ fileType: 'elevenchars' }, /^fileType/],
    [{ classId: 'news' }, /^classId: expected a whole number/],
    [{ classId: '1.5' }, /^classId/],
    [{ classId: '' }, /^classId/],
    [{ isTranscode: 2 }, /^isTranscode: expected 0 or 1, got "2"$/],
    [{ isScreenshot: 'true' }, /^isScreenshot/],
    [{ isWatermark: '' }, /^isWatermark/],
    [{ 'tags.2': 'two' }, /^tags.1: missing next to tags.2$/],
    [{ 'tags.1': 'one', 'tags.3': 'three' }, /^tags.2: missing next to tags.1, tags.3$/],
    [{ 'tags.0': 'none', 'tags.1': 'one' }, /^tags.2: missing/],
    [{ 'tags.01': 'one' }, /^tags.1: missing/],
    [{ 'tags.x': 'one' }, /^tags.1: missing/],
    [{ tags: 'one' }, /^tags.1: missing/],
    [{ 'tags.1': 'one', 'tag.2': 'two' }, /missing next to tags.1, tag.2$/],
    [{ 'tags.1': '' }, /^tags.1: expected a tag/],
    [{ fileSize: 0, dataSize: 1 }, /^fileSize: .*; dataSize: /],
  ])('%j', async (changes, message) => {
    const { client, vod } = await startService();
    expect(await client.init(file, changes)).toMatchObject(rejectedWith(-10003, message));
    expect(vod.files()).toEqual([]);
  });
});

describe('InitUpload', () => {
  test('returns 0 without parts, also when it is repeated', async () => {
    const { client } = await startService();
    expect(await client.init(file)).toMatchObject({ code: 0 });
    expect(await client.init(file)).toMatchObject({ code: 0 });
  });

  test('returns 1 with the held parts and their part size, whatever the requested size', async () => {
    const { client } = await startService();
    await client.init(file);
    await client.part(file, 3);
    await client.part(file, 1);
    expect(await client.init(file, { dataSize: MIB })).toMatchObject({
      code: 1,
      dataSize: HALF_MIB,
      listParts: describeParts(file, [1, 3]),
    });
  });

  test('returns 2 with the fileId and URL of a stored file', async () => {
    const { client, vod } = await startService();
    const fileId = await client.upload(file);
    expect(await client.init(file)).toMatchObject({
      code: 2,
      fileId,
      url: `${vod.endpoint}/files/${fileId}.mp4`,
    });
  });

  test('uses the last requested part size while no part is held', async () => {
    const { client } = await startService();
    await client.init(file, { dataSize: MIB });
    await client.init(file);
    expect(await client.part(file, 1)).toMatchObject({ code: 0 });
  });

  test('starts again for another fileSize', async () => {
    const { client } = await startService();
    await client.init(file, { fileSize: file.bytes.length + 1 });
    await client.part(file, 0);
    expect(await client.init(file)).toMatchObject({ code: 0 });
    expect(await client.finish(file)).toMatchObject({ code: -10005 });
  });

  test('stores the options of the latest call with the file', async () => {
    const { client, vod } = await startService();
    await client.init(file, { 'tags.1': 'old', classId: 1, isTranscode: 1 });
    await client.part(file, 0);
    const fileId = await client.upload(file, {
      fileName: 'latest',
      fileType: 'mov',
      'tag.1': 'b',
      'tag.2': 'a',
      classId: 7,
      isWatermark: 1,
    });
    expect(vod.files()).toEqual([
      {
        fileId,
        url: `${vod.endpoint}/files/${fileId}.mov`,
        sha1: hash('sha1', file.bytes),
        size: file.bytes.length,
        fileName: 'latest',
        fileType: 'mov',
        tags: ['b', 'a'],
        classId: 7,
        isTranscode: 0,
        isScreenshot: 0,
        isWatermark: 1,
        createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      },
    ]);
  });
});
