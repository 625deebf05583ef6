import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HALF_MIB, hash, MIB } from '../../support/values.ts';
import { type Changes, describeParts, video } from '../../support/vod-client.ts';
import { rejectedWith, startService } from '../../support/vod-service.ts';

/** Three full parts and a short one. */
const file = video(3 * HALF_MIB + 1000);
const anySha1 = fc.stringMatching(/^[0-9a-f]{40}$/);

/** The vendor's Node SDK sends its parts this way. */
const CHUNKED = { headers: { 'Transfer-Encoding': 'chunked' } };

async function openUpload() {
  const started = await startService();
  await started.client.init(file);
  return started;
}

describe('UploadPart rejects', () => {
  test.each<[Changes, RegExp]>([
    [{ fileSha: undefined }, /^fileSha: missing$/],
    [{ fileSha: file.sha1.slice(1) }, /^fileSha/],
    [{ offset: undefined }, /^offset: missing$/],
    [{ offset: -1 }, /^offset/],
    [{ offset: '' }, /^offset/],
    [{ offset: 1 }, /^offset: expected a multiple of the part size 524288, got 1$/],
    [{ offset: HALF_MIB - 1 }, /^offset/],
    [{ offset: HALF_MIB + 1 }, /^offset/],
    [{ offset: 4 * HALF_MIB }, /^offset: expected less than the file's 1573864 bytes, got 2097152$/],
    [{ offset: 3 * HALF_MIB }, /^dataSize: expected 1000 for the part at 1572864, got 524288$/],
    [{ dataSize: undefined }, /^dataSize: missing$/],
    [{ dataSize: 0 }, /^dataSize/],
    [{ dataSize: HALF_MIB - 1 }, /^dataSize: expected 524288 for the part at 0/],
    [{ dataSize: HALF_MIB + 1 }, /^dataSize: expected 524288 for the part at 0/],
    [{ dataSize: MIB + 1 }, /^dataSize: expected a whole number from 1 to 1048576/],
    [{ dataMd5: undefined }, /^dataMd5: missing$/],
    [{ dataMd5: 'a'.repeat(31) }, /^dataMd5: expected 32 lower-case hex digits/],
    [{ dataMd5: 'a'.repeat(33) }, /^dataMd5/],
    [{ dataMd5: 'A'.repeat(32) }, /^dataMd5/],
  ])('%j', async (changes, message) => {
    const { client } = await openUpload();
    expect(await client.part(file, 0, changes)).toMatchObject(rejectedWith(-10003, message));
    expect(await client.init(file)).toMatchObject({ code: 0 });
  });

  test.each<[string, Buffer, RegExp]>([
    ['no body', Buffer.alloc(0), /expected 524288 bytes as dataSize says, got 0$/],
    ['a byte too few', Buffer.alloc(HALF_MIB - 1), /got 524287$/],
    ['a byte too many', Buffer.alloc(HALF_MIB + 1), /got more$/],
    ['megabytes too many', Buffer.alloc(4 * MIB), /got more$/],
    [
      'other bytes',
      Buffer.alloc(HALF_MIB),
      /^the body at offset 0: expected MD5 [0-9a-f]{32}, got [0-9a-f]{32}$/,
    ],
  ])('%s', async (_, body, message) => {
    const { client } = await openUpload();
    expect(await client.part(file, 0, {}, { body })).toMatchObject(rejectedWith(-10006, message, 1));
    expect(await client.init(file)).toMatchObject({ code: 0 });
  });

  test.each([0, HALF_MIB - 1, HALF_MIB + 1])('a chunked body of %i bytes', async (length) => {
    const { client } = await openUpload();
    const response = await client.part(file, 0, {}, { ...CHUNKED, body: Buffer.alloc(length) });
    expect(response).toMatchObject({ code: -10006, canRetry: 1 });
  });

  test('a part of an upload that is not open', async () => {
    const { client } = await startService();
    expect(await client.part(file, 0)).toMatchObject({ code: -10005, canRetry: 0 });
    await client.upload(file);
    expect(await client.part(file, 0)).toMatchObject({ code: -10005, canRetry: 0 });
  });
});

describe('UploadPart', () => {
  test('accepts a shorter last part', async () => {
    const { client } = await openUpload();
    expect(await client.part(file, 3)).toMatchObject({ code: 0, message: '' });
    expect(await client.init(file)).toMatchObject({ listParts: describeParts(file, [3]) });
  });

  test('accepts a chunked body', async () => {
    const { client } = await openUpload();
    expect(await client.part(file, 0, {}, CHUNKED)).toMatchObject({ code: 0 });
    expect(await client.init(file)).toMatchObject({ listParts: describeParts(file, [0]) });
  });

  test('accepts a file that is one short part', async () => {
    const { client } = await startService();
    const tiny = video(1);
    await client.upload(tiny);
    expect(await client.init(tiny)).toMatchObject({ code: 2 });
  });

  test('accepts the same part twice concurrently, and again', async () => {
    const { client } = await openUpload();
    const responses = await Promise.all([client.part(file, 1), client.part(file, 1)]);
    responses.push(await client.part(file, 1));
    expect(responses.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(await client.init(file)).toMatchObject({ listParts: describeParts(file, [1]) });
  });

  test('holds the last of two different parts at one offset', async () => {
    const { client } = await openUpload();
    const other = Buffer.alloc(HALF_MIB, 7);
    await client.part(file, 1, { dataMd5: hash('md5', other) }, { body: other });
    expect(await client.part(file, 1)).toMatchObject({ code: 0 });
    expect(await client.init(file)).toMatchObject({ listParts: describeParts(file, [1]) });
    for (const index of [0, 2, 3]) await client.part(file, index);
    expect(await client.finish(file)).toMatchObject({ code: 0 });
  });

  test('holds one complete part of several concurrent ones at one offset', async () => {
    const { client } = await startService();
    const half = video(HALF_MIB);
    await client.init(half);
    const other = Buffer.alloc(HALF_MIB, 7);
    const copies = Array.from({ length: 8 }, (_, n) =>
      n % 2 ? client.part(half, 0) : client.part(half, 0, { dataMd5: hash('md5', other) }, { body: other }),
    );
    expect((await Promise.all(copies)).map(({ code }) => code)).toEqual(Array(8).fill(0));
    const [held] = (await client.init(half)).listParts ?? [];
    const { code } = await client.finish(half);
    expect(code).toBe(held?.dataMd5 === hash('md5', half.bytes) ? 0 : -10005);
  });

  test('changes nothing when the connection breaks during the body', async () => {
    const { vod, client } = await openUpload();
    const changes = { fileSha: file.sha1, offset: 0, dataSize: HALF_MIB, dataMd5: hash('md5', file.bytes) };
    const target = client.target({ Action: 'UploadPart', ...changes }, { method: 'POST' });
    const socket = connect(vod.port, '127.0.0.1');
    socket.write(`POST ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${HALF_MIB}\r\n\r\n`);
    socket.write(Buffer.alloc(HALF_MIB / 2), () => socket.resetAndDestroy());
    await once(socket, 'close');
    expect(await client.init(file)).toMatchObject({ code: 0 });
  });

  test('accepts 64 concurrent parts', async () => {
    const { client, vod } = await startService();
    const big = video(64 * HALF_MIB - 5);
    await client.init(big);
    const responses = await Promise.all(
      [...big.parts.keys()].reverse().map((index) => client.part(big, index)),
    );
    expect(responses.filter(({ code }) => code !== 0)).toEqual([]);
    const { fileId } = await client.finish(big);
    const stored = await client.http('GET', `/files/${fileId}.mp4`);
    expect(hash('sha1', stored.bytes)).toBe(big.sha1);
    expect(vod.files()).toMatchObject([{ fileId, size: big.bytes.length }]);
  });

  test('accepts any parts in any order, concurrently and repeatedly, and InitUpload lists exactly those', async () => {
    const { client } = await startService({ quota: false });
    const parts = fc.array(fc.nat({ max: file.parts.length - 1 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(anySha1, fc.array(parts, { maxLength: 3 }), async (sha1, waves) => {
        // Only FinishUpload checks the SHA-1. A new one for each run opens a new upload.
        const upload = { ...file, sha1 };
        await client.init(upload);
        for (const wave of waves) await Promise.all(wave.map((index) => client.part(upload, index)));
        const expected = describeParts(file, waves.flat());
        const { code, listParts = [] } = await client.init(upload);
        expect(listParts).toEqual(expected);
        expect(code).toBe(expected.length > 0 ? 1 : 0);
      }),
      { numRuns: 25 },
    );
  });
});
