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
import { expect, test } from 'vitest';
import { HALF_MIB, hash } from '../../support/values.ts';
import { listed, video } from '../../support/vod-client.ts';
import { service } from '../../support/vod-service.ts';

const file = video(4 * HALF_MIB + 9);
const all = [...file.parts.keys()];

/** A folder in which these parts are held and no service runs. */
async function held(indexes: Iterable<number>): Promise<string> {
  const { client, dir, vod } = await service();
  await client.init(file, { 'tags.1': 'kept', classId: 5 });
  for (const index of indexes) await client.part(file, index);
  await vod.close();
  return dir;
}

const journal = (dir: string) => `${dir}/uploads/${file.sha1}.journal`;
const data = (dir: string) => `${dir}/uploads/${file.sha1}.data`;

test('an upload goes on after a restart', async () => {
  const { client, vod, dir } = await service({ dir: await held([3, 0]) });
  expect(await client.init(file, { 'tags.1': 'kept' })).toMatchObject({
    code: 1,
    listParts: listed(file, [0, 3]),
  });
  for (const index of [1, 2, 4]) await client.part(file, index);
  const { fileId } = await client.finish(file);
  expect(hash('sha1', await readFile(`${dir}/files/${fileId}.mp4`))).toBe(file.sha1);
  expect(vod.files()).toMatchObject([{ fileId, tags: ['kept'], classId: 0 }]);
});

test('a complete upload can be finished right after a restart, with the options of before', async () => {
  const { client, vod } = await service({ dir: await held(all) });
  expect(await client.finish(file)).toMatchObject({ code: 0 });
  expect(vod.files()).toMatchObject([{ tags: ['kept'], classId: 5 }]);
});

test('a stored file and its cover keep their ids after a restart; their urls follow the port', async () => {
  const first = await service();
  const fileId = await first.client.upload(file);
  await first.client.cover(Buffer.from('image'), fileId);
  const before = first.vod.files();
  await first.vod.close();

  const { client, vod, dir } = await service({ dir: first.dir });
  const moved = JSON.stringify(before).replaceAll(first.vod.endpoint, vod.endpoint);
  expect(vod.files()).toEqual(JSON.parse(moved));
  expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual(JSON.parse(moved));
  const { code, url = '' } = await client.init(file);
  expect(code).toBe(2);
  expect((await fetch(url)).status).toBe(200);
});

test('a torn last line of the journal is ignored, and the lines after it are not', async () => {
  const dir = await held([0, 1, 2]);
  await truncate(journal(dir), (await readFile(journal(dir))).length - 5);
  const second = await service({ dir });
  expect(await second.client.init(file)).toMatchObject({ code: 1, listParts: listed(file, [0, 1]) });
  await second.client.part(file, 4);
  await second.vod.close();

  const third = await service({ dir });
  expect(await third.client.init(file)).toMatchObject({ code: 1, listParts: listed(file, [0, 1, 4]) });
});

test.each([
  ['torn in its first line', (dir: string) => truncate(journal(dir), 20)],
  ['empty', (dir: string) => truncate(journal(dir), 0)],
  ['deleted', (dir: string) => rm(journal(dir))],
  ['alone, without the data', (dir: string) => rm(data(dir))],
])('a journal that is %s makes a new upload', async (_, spoil) => {
  const dir = await held([0, 1]);
  await spoil(dir);
  const { client } = await service({ dir });
  expect(await readdir(`${dir}/uploads`)).toEqual([]);
  expect(await client.init(file)).toMatchObject({ code: 0 });
});

test('killed between moving the file and listing it: the file is stored', async () => {
  const dir = await held(all);
  const fileId = '1234567890123456789';
  await appendFile(journal(dir), `\n${JSON.stringify({ entry: 'moving', fileId })}`);
  await rename(data(dir), `${dir}/files/${fileId}.mp4`);
  const { client, vod } = await service({ dir });
  expect(await client.init(file)).toMatchObject({ code: 2, fileId });
  expect(vod.files()).toMatchObject([{ fileId, sha1: file.sha1, size: file.bytes.length, tags: ['kept'] }]);
  expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual(vod.files());
  expect(await readdir(`${dir}/uploads`)).toEqual([]);
});

test('killed just before moving the file: the upload is still complete', async () => {
  const dir = await held(all);
  await appendFile(journal(dir), `\n${JSON.stringify({ entry: 'moving', fileId: '1234567890123456789' })}`);
  const { client } = await service({ dir });
  expect(await client.finish(file)).toMatchObject({ code: 0 });
});

test('killed between listing the file and removing the upload: the file is stored once', async () => {
  const dir = await held(all);
  await cp(journal(dir), `${dir}/journal`);
  const second = await service({ dir });
  const { fileId } = await second.client.finish(file);
  await second.vod.close();
  await rename(`${dir}/journal`, journal(dir));

  const { client, vod } = await service({ dir });
  expect(await client.finish(file)).toMatchObject({ code: 0, fileId });
  expect(vod.files()).toHaveLength(1);
  expect(await readdir(`${dir}/uploads`)).toEqual([]);
});

test('what lies in the folder besides is left alone', async () => {
  const dir = await held([0]);
  await writeFile(`${dir}/uploads/README.txt`, 'mine');
  const { client } = await service({ dir });
  expect(await client.init(file)).toMatchObject({ code: 1 });
  expect(await readFile(`${dir}/uploads/README.txt`, 'utf8')).toBe('mine');
});

const refusedByDisk = { status: 200, code: -10004, canRetry: 1 };

test('a folder that cannot be written is -10004, and works again once it can', async () => {
  const { client, dir } = await service();
  await rm(`${dir}/uploads`, { recursive: true });
  const { message, ...reply } = await client.init(file);
  expect(reply).toMatchObject(refusedByDisk);
  expect(message).toBe('opening the upload: ENOENT');
});

test('a file that cannot be listed is -10004 until it can', async () => {
  const { client, dir, vod } = await service({ dir: await held(all) });
  await mkdir(`${dir}/index.json.new`);
  expect(await client.finish(file)).toMatchObject(refusedByDisk);
  expect(await client.init(file)).toMatchObject(refusedByDisk);
  expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual([]);
  await rmdir(`${dir}/index.json.new`);
  const { code, fileId } = await client.finish(file);
  expect({ code, fileId }).toEqual({ code: 0, fileId: vod.files()[0]?.fileId });
  expect(JSON.parse(await readFile(`${dir}/index.json`, 'utf8'))).toEqual(vod.files());
  expect(await readdir(`${dir}/uploads`)).toEqual([]);
});

test('a file that cannot be moved is -10004, and the upload stays complete', async () => {
  const { client, dir } = await service({ dir: await held(all) });
  await rename(`${dir}/files`, `${dir}/aside`);
  expect(await client.finish(file)).toMatchObject(refusedByDisk);
  expect(await client.part(file, 0)).toMatchObject({ code: 0 });
  await rename(`${dir}/aside`, `${dir}/files`);
  expect(await client.finish(file)).toMatchObject({ code: 0 });
});

test('bytes that cannot be read back are -10005, to be tried again', async () => {
  const { client, dir } = await service({ dir: await held(all) });
  await rename(data(dir), `${dir}/aside`);
  expect(await client.finish(file)).toMatchObject({ status: 200, code: -10005, canRetry: 1 });
  await rename(`${dir}/aside`, data(dir));
  expect(await client.finish(file)).toMatchObject({ code: 0 });
});

// /dev/full takes no byte: the nearest thing to a full disk that a test can have.
test.skipIf(!existsSync('/dev/full'))('a full disk is -10004, and the part is not held', async () => {
  const dir = await held([0]);
  await rm(data(dir));
  await symlink('/dev/full', data(dir));
  const { client } = await service({ dir });
  expect(await client.part(file, 1)).toMatchObject({
    ...refusedByDisk,
    message: 'writing the part at 524288: ENOSPC',
  });
  expect(await client.init(file)).toMatchObject({ listParts: listed(file, [0]) });
});
