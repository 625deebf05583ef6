import { existsSync } from 'node:fs';
import {
  appendFile,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { HALF_MIB, hash } from '../../support/values.ts';
import { describeParts, video } from '../../support/vod-client.ts';
import { startService } from '../../support/vod-service.ts';

const file = video(4 * HALF_MIB + 9);
const all = [...file.parts.keys()];
const rejectedByDisk = { status: 200, code: -10004, canRetry: 1 };

/** Creates a folder in which these parts are held and no service runs. */
async function createFolderWith(indexes: Iterable<number>): Promise<string> {
  const { client, dir, vod } = await startService();
  await client.init(file, { 'tags.1': 'kept', classId: 5 });
  for (const index of indexes) await client.part(file, index);
  await vod.close();
  return dir;
}

const logFile = (dir: string) => `${dir}/uploads/${file.sha1}.journal`;
const dataFile = (dir: string) => `${dir}/uploads/${file.sha1}.data`;

describe('a restart', () => {
  test('continues an upload', async () => {
    const { client, vod, dir } = await startService({ dir: await createFolderWith([3, 0]) });
    expect(await client.init(file, { 'tags.1': 'kept' })).toMatchObject({
      code: 1,
      listParts: describeParts(file, [0, 3]),
    });
    for (const index of [1, 2, 4]) await client.part(file, index);
    const { fileId } = await client.finish(file);
    expect(hash('sha1', await readFile(`${dir}/files/${fileId}.mp4`))).toBe(file.sha1);
    expect(vod.files()).toMatchObject([{ fileId, tags: ['kept'], classId: 0 }]);
  });

  test('finishes a complete upload with its options', async () => {
    const { client, vod } = await startService({ dir: await createFolderWith(all) });
    expect(await client.finish(file)).toMatchObject({ code: 0 });
    expect(vod.files()).toMatchObject([{ tags: ['kept'], classId: 5 }]);
  });

  test('keeps the IDs of a file and its cover and updates their URLs to the new port', async () => {
    const first = await startService();
    const fileId = await first.client.upload(file);
    await first.client.cover(Buffer.from('image'), fileId);
    const before = first.vod.files();
    await first.vod.close();

    const { client, vod, dir } = await startService({ dir: first.dir });
    const moved = JSON.stringify(before).replaceAll(first.vod.endpoint, vod.endpoint);
    expect(vod.files()).toEqual(JSON.parse(moved));
    expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual(JSON.parse(moved));
    const { code, url = '' } = await client.init(file);
    expect(code).toBe(2);
    expect((await fetch(url)).status).toBe(200);
  });

  test('ignores an incomplete line of the log, but not the lines after it', async () => {
    const dir = await createFolderWith([0, 1, 2]);
    await truncate(logFile(dir), (await readFile(logFile(dir))).length - 5);
    const second = await startService({ dir });
    expect(await second.client.init(file)).toMatchObject({ code: 1, listParts: describeParts(file, [0, 1]) });
    await second.client.part(file, 4);
    await second.vod.close();

    const third = await startService({ dir });
    expect(await third.client.init(file)).toMatchObject({
      code: 1,
      listParts: describeParts(file, [0, 1, 4]),
    });
  });

  test.each([
    ['incomplete in its first line', (dir: string) => truncate(logFile(dir), 20)],
    ['empty', (dir: string) => truncate(logFile(dir), 0)],
    ['deleted', (dir: string) => rm(logFile(dir))],
    ['without its data', (dir: string) => rm(dataFile(dir))],
  ])('starts a new upload if the log is %s', async (_, spoil) => {
    const dir = await createFolderWith([0, 1]);
    await spoil(dir);
    const { client } = await startService({ dir });
    expect(await readdir(`${dir}/uploads`)).toEqual([]);
    expect(await client.init(file)).toMatchObject({ code: 0 });
  });

  test('lists a file that was moved before a kill', async () => {
    const dir = await createFolderWith(all);
    const fileId = '1234567890123456789';
    await appendFile(logFile(dir), `\n${JSON.stringify({ entry: 'moving', fileId })}`);
    await rename(dataFile(dir), `${dir}/files/${fileId}.mp4`);
    const { client, vod } = await startService({ dir });
    expect(await client.init(file)).toMatchObject({ code: 2, fileId });
    expect(vod.files()).toMatchObject([{ fileId, sha1: file.sha1, size: file.bytes.length, tags: ['kept'] }]);
    expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual(vod.files());
    expect(await readdir(`${dir}/uploads`)).toEqual([]);
  });

  test('keeps a complete upload that was about to be moved before a kill', async () => {
    const dir = await createFolderWith(all);
    await appendFile(logFile(dir), `\n${JSON.stringify({ entry: 'moving', fileId: '1234567890123456789' })}`);
    const { client } = await startService({ dir });
    expect(await client.finish(file)).toMatchObject({ code: 0 });
  });

  test('removes the upload of a file that was describeParts before a kill', async () => {
    const dir = await createFolderWith(all);
    await cp(logFile(dir), `${dir}/journal`);
    const second = await startService({ dir });
    const { fileId } = await second.client.finish(file);
    await second.vod.close();
    await rename(`${dir}/journal`, logFile(dir));

    const { client, vod } = await startService({ dir });
    expect(await client.finish(file)).toMatchObject({ code: 0, fileId });
    expect(vod.files()).toHaveLength(1);
    expect(await readdir(`${dir}/uploads`)).toEqual([]);
  });

  test('leaves other files in the folder unchanged', async () => {
    const dir = await createFolderWith([0]);
    await writeFile(`${dir}/uploads/README.txt`, 'mine');
    const { client } = await startService({ dir });
    expect(await client.init(file)).toMatchObject({ code: 1 });
    expect(await readFile(`${dir}/uploads/README.txt`, 'utf8')).toBe('mine');
  });
});

describe('a call on a failing disk', () => {
  test('returns -10004 for a folder that cannot be written', async () => {
    const { client, dir } = await startService();
    await rm(`${dir}/uploads`, { recursive: true });
    const { message, ...response } = await client.init(file);
    expect(response).toMatchObject(rejectedByDisk);
    expect(message).toBe('opening the upload: ENOENT');
  });

  test('returns -10004 for an index that cannot be written, until it can', async () => {
    const { client, dir, vod } = await startService({ dir: await createFolderWith(all) });
    await mkdir(`${dir}/index.json.new`);
    expect(await client.finish(file)).toMatchObject(rejectedByDisk);
    expect(await client.init(file)).toMatchObject(rejectedByDisk);
    expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual([]);
    await rmdir(`${dir}/index.json.new`);
    const { code, fileId } = await client.finish(file);
    expect({ code, fileId }).toEqual({ code: 0, fileId: vod.files()[0]?.fileId });
    expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual(vod.files());
    expect(await readdir(`${dir}/uploads`)).toEqual([]);
  });

  test('returns -10004 for a file that cannot be moved, and keeps the upload complete', async () => {
    const { client, dir } = await startService({ dir: await createFolderWith(all) });
    await rename(`${dir}/files`, `${dir}/aside`);
    expect(await client.finish(file)).toMatchObject(rejectedByDisk);
    expect(await client.part(file, 0)).toMatchObject({ code: 0 });
    await rename(`${dir}/aside`, `${dir}/files`);
    expect(await client.finish(file)).toMatchObject({ code: 0 });
  });

  test('returns -10005 for bytes that cannot be read, and allows a retry', async () => {
    const { client, dir } = await startService({ dir: await createFolderWith(all) });
    await rename(dataFile(dir), `${dir}/aside`);
    expect(await client.finish(file)).toMatchObject({ status: 200, code: -10005, canRetry: 1 });
    await rename(`${dir}/aside`, dataFile(dir));
    expect(await client.finish(file)).toMatchObject({ code: 0 });
  });

  // /dev/full rejects every write, like a full disk.
  test.skipIf(!existsSync('/dev/full'))(
    'returns -10004 for a full disk, and does not hold the part',
    async () => {
      const dir = await createFolderWith([0]);
      await rm(dataFile(dir));
      await symlink('/dev/full', dataFile(dir));
      const { client } = await startService({ dir });
      expect(await client.part(file, 1)).toMatchObject({
        ...rejectedByDisk,
        message: 'writing the part at 524288: ENOSPC',
      });
      expect(await client.init(file)).toMatchObject({ listParts: describeParts(file, [0]) });
    },
  );
});
