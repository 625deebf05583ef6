import { readdir, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { HALF_MIB, hash } from '../../support/values.ts';
import { type Changes, video } from '../../support/vod-client.ts';
import { startService } from '../../support/vod-service.ts';

const file = video(2 * HALF_MIB + 5);

describe('FinishUpload', () => {
  test('returns a fileId that no double represents and a URL that works', async () => {
    const { client, dir, vod } = await startService();
    await client.init(file);
    for (const index of file.parts.keys()) await client.part(file, index);
    const { code, message, fileId = '', url = '' } = await client.finish(file);
    expect({ code, message }).toEqual({ code: 0, message: '' });
    expect(fileId).toMatch(/^\d{17,19}$/);
    expect(BigInt(Number(fileId))).not.toBe(BigInt(fileId));
    expect(url).toBe(`${vod.endpoint}/files/${fileId}.mp4`);
    const fetched = await fetch(url);
    expect(fetched.headers.get('content-type')).toBe('video/mp4');
    expect(hash('sha1', Buffer.from(await fetched.arrayBuffer()))).toBe(file.sha1);
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(file.bytes.length));
    expect(hash('sha1', await readFile(`${dir}/files/${fileId}.mp4`))).toBe(file.sha1);
  });

  test('lists the file in index.json and leaves nothing else behind', async () => {
    const { client, dir, vod } = await startService();
    const fileId = await client.upload(file);
    expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual(vod.files());
    expect(vod.files()).toMatchObject([{ fileId, sha1: file.sha1 }]);
    expect((await readdir(dir)).sort()).toEqual([
      'cos',
      'drafts',
      'files',
      'index.json',
      'sessions',
      'tasks',
      'uploads',
    ]);
    expect(await readdir(`${dir}/uploads`)).toEqual([]);
    expect(await readdir(`${dir}/files`)).toEqual([`${fileId}.mp4`]);
  });

  test('stores a hole of the size of the file with `discard`, which still verifies each part', async () => {
    const { client, dir } = await startService({ discard: true });
    await client.init(file);
    expect(await client.part(file, 0, {}, { body: Buffer.alloc(HALF_MIB) })).toMatchObject({ code: -10006 });
    for (const index of file.parts.keys()) await client.part(file, index);
    const { code, fileId = '' } = await client.finish(file);
    expect(code).toBe(0);
    expect(await readFile(`${dir}/files/${fileId}.mp4`)).toEqual(Buffer.alloc(file.bytes.length));
  });

  test.each<Changes>([{ fileSha: undefined }, { fileSha: '' }, { fileSha: file.sha1.slice(1) }])(
    'refuses %j',
    async (changes) => {
      const { client } = await startService();
      expect(await client.finish(file, changes)).toMatchObject({ status: 200, code: -10003, canRetry: 0 });
    },
  );

  test('rejects an upload that was never opened', async () => {
    const { client } = await startService();
    expect(await client.finish(file)).toMatchObject({ status: 200, code: -10005, canRetry: 0 });
  });

  // The vendor's PHP SDK takes any code above 0 for success.
  test('rejects a file with missing parts by a code below 0, names the first, and keeps the others', async () => {
    const { client } = await startService();
    await client.init(file);
    await client.part(file, 0);
    expect(await client.finish(file)).toMatchObject({
      status: 200,
      code: -10005,
      canRetry: 0,
      message: `2 of 3 parts are missing, the first at offset ${HALF_MIB}`,
    });
    await client.part(file, 2);
    await client.part(file, 1);
    expect(await client.finish(file)).toMatchObject({ code: 0 });
  });

  test('rejects bytes with another SHA-1 and drops the upload', async () => {
    const { client, vod, dir } = await startService();
    const lie = { ...file, sha1: 'a'.repeat(40) };
    await client.init(lie);
    for (const index of lie.parts.keys()) await client.part(lie, index);
    const { code, canRetry, message } = await client.finish(lie);
    expect({ code, canRetry }).toEqual({ code: -10005, canRetry: 0 });
    expect(message).toContain(`expected SHA-1 ${lie.sha1}, got ${file.sha1}`);
    expect(await client.finish(lie)).toMatchObject({ code: -10005 });
    expect(await client.init(lie)).toMatchObject({ code: 0 });
    expect(vod.files()).toEqual([]);
    expect(await readdir(`${dir}/files`)).toEqual([]);
  });

  test('returns the same response when it is repeated', async () => {
    const { client, vod } = await startService();
    const fileId = await client.upload(file);
    expect(await client.finish(file)).toMatchObject({ code: 0, fileId, url: vod.files()[0]?.url });
    expect(vod.files()).toHaveLength(1);
  });

  test('stores one file when it runs twice concurrently', async () => {
    const { client, vod } = await startService();
    await client.init(file);
    for (const index of file.parts.keys()) await client.part(file, index);
    const responses = await Promise.all([client.finish(file), client.finish(file), client.init(file)]);
    expect(vod.files()).toHaveLength(1);
    const fileId = vod.files()[0]?.fileId;
    expect(responses.slice(0, 2)).toMatchObject([
      { code: 0, fileId },
      { code: 0, fileId },
    ]);
  });

  test.each(['before', 'after'])(
    'never stores bytes with another SHA-1 when it starts %s concurrent writes of other parts',
    async (order) => {
      const { client, vod } = await startService();
      const long = video(16 * HALF_MIB);
      await client.init(long);
      for (const index of long.parts.keys()) await client.part(long, index);
      const other = Buffer.alloc(HALF_MIB, 1);
      const rewrite = (index: number) =>
        client.part(long, index, { dataMd5: hash('md5', other) }, { body: other });
      const early = order === 'before' ? client.finish(long) : undefined;
      const rewrites = [...long.parts.keys()].map(rewrite);
      // Which of them comes to its end first is open.
      expect([0, -10005]).toContain((await (early ?? client.finish(long))).code);
      for (const { code } of await Promise.all(rewrites)) expect([0, -10005]).toContain(code);
      for (const { url } of vod.files()) {
        const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
        expect(hash('sha1', bytes)).toBe(long.sha1);
      }
    },
  );

  test('lists all files that finish concurrently', async () => {
    const { client, dir } = await startService();
    const videos = Array.from({ length: 20 }, () => video(1000));
    const fileIds = await Promise.all(videos.map((each) => client.upload(each)));
    const index: { fileId: string }[] = JSON.parse(await readFile(`${dir}/index.json`, 'utf8'));
    expect(index.map(({ fileId }) => fileId).sort()).toEqual(fileIds.sort());
  });

  test('stops the start at an invalid index and leaves it unchanged', async () => {
    const { client, dir, vod } = await startService();
    await client.upload(file);
    await vod.close();
    await writeFile(`${dir}/index.json`, '[{"fileId": 1}]');
    await expect(startService({ dir })).rejects.toThrow(
      /index\.json: expected an index of stored files\. 0\.fileId/,
    );
    expect(await readFile(`${dir}/index.json`, 'utf8')).toBe('[{"fileId": 1}]');
  });
});
