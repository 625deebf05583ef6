import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { expect, onTestFinished, test } from 'vitest';
import { lock } from '../../cli/data-lock.ts';
import { listen } from '../../local/http-server.ts';
import { startCommand } from '../support/command.ts';
import { image } from '../support/images.ts';
import { collectResult } from '../support/node-process.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes, sha1 } from '../support/values.ts';
import { settingsOf, startService } from '../support/vod-service.ts';

/** `npm start` as a process. */

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const { code, out, err } = await collectResult(startCommand(args, { env }));
  const lines = out.split('\n').filter((line) => line !== '');
  return { code, out: lines.map((line) => JSON.parse(line)), err };
}

async function files(contents: Record<string, Uint8Array>): Promise<(name: string) => string> {
  const dir = await newFolder();
  for (const [name, bytes] of Object.entries(contents)) await writeFile(join(dir, name), bytes);
  return (name) => join(dir, name);
}

test('uploads several files and prints one JSON line for each', async () => {
  const [one, two] = [createBytes(2_000_000), createBytes(3)];
  const path = await files({ 'one.mp4': one, '第 二+.flv': two, 'notes.txt': createBytes(5) });
  const data = await newFolder();
  const paths = ['one.mp4', '第 二+.flv', 'notes.txt'].map(path);
  const { code, out, err } = await run(['--json', '--data', data, '--bucket', 'my-films', ...paths]);
  expect(code).toBe(0);
  expect(out).toHaveLength(3);
  const [first, second, third] = ['one.mp4', '第 二+.flv', 'notes.txt'].map((key) =>
    out.find((o) => o.key === key),
  );
  expect(first).toMatchObject({ bucket: 'my-films', outcome: 'uploaded', sha1: sha1(one), size: 2_000_000 });
  expect(first).toMatchObject({
    partsSent: 2,
    bytesSent: 2_000_000,
    fileId: expect.stringMatching(/^[0-9]+$/),
  });
  expect(second).toMatchObject({ outcome: 'uploaded', sha1: sha1(two), partsSent: 1, bytesSent: 3 });
  expect(third).toMatchObject({ outcome: 'skipped', fileId: null, reason: expect.stringContaining('.txt') });
  expect(err).toMatch(/vod-file-id/);

  const names = [path('one.mp4'), 's3://my-films/第 二+.flv'];
  const again = await run(['--json', '--data', data, '--bucket', 'my-films', ...names]);
  for (const { key, fileId } of [first, second])
    expect(again.out).toContainEqual(
      expect.objectContaining({ key, outcome: 'unchanged', fileId, partsSent: 0 }),
    );
});

test('uploads a video with its cover, then a new cover alone', async () => {
  const sample = (name: string) => new URL(`../../sample/${name}`, import.meta.url).pathname;
  const data = await newFolder();
  const covers = async () => {
    const index: { fileId: string; cover?: { fileId: string } }[] = JSON.parse(
      await readFile(join(data, 'vod', 'index.json'), 'utf8'),
    );
    return index.flatMap(({ fileId, cover }) => (cover ? [[fileId, cover.fileId]] : []));
  };
  const { code, out, err } = await run(['--json', '--data', data, sample('clip.mp4'), sample('clip.jpg')]);
  expect(code).toBe(0);
  const [video, jpg] = ['clip.mp4', 'clip.jpg'].map((key) => out.find((line) => line.key === key));
  expect(video).toMatchObject({ outcome: 'uploaded' });
  const cover = video.cover ?? jpg;
  expect(await covers()).toEqual([[video.fileId, cover.fileId]]);
  expect(err).toMatch(/cover {4}clip\.jpg, fileId \d+|cover of \d+/);

  const path = await files({ 'clip.jpg': image() });
  const again = await run(['--json', '--data', data, path('clip.jpg')]);
  expect(again.out).toMatchObject([{ key: 'clip.jpg', outcome: 'uploaded', coverOf: [video.fileId] }]);
  expect(await covers()).toEqual([[video.fileId, again.out[0].fileId]]);
});

test('prints one line per failure, returns 1, and uploads the other files', async () => {
  const path = await files({ 'good.mp4': createBytes(10), 'empty.mp4': createBytes(0) });
  await mkdir(path('folder'));
  const data = await newFolder();
  const items = ['good.mp4', 'empty.mp4', 'folder', 'missing.mp4'].map(path);
  const { code, out, err } = await run(['--json', '--data', data, ...items, 's3://videos/none.mp4']);
  expect(code).toBe(1);
  expect(
    out
      .map(({ outcome }) => outcome)
      .sort()
      .join(' '),
  ).toBe('failed failed failed failed uploaded');
  const failures = err.split('\n').filter((line) => line.startsWith('✘'));
  expect(failures).toHaveLength(4);
  for (const named of ['empty.mp4', 'folder', 'missing.mp4', 's3://videos/none.mp4']) {
    expect(failures.filter((line) => line.includes(named))).toHaveLength(1);
  }
  expect(err).not.toMatch(/^\s+at /m);
});

test.each([
  [['--wat'], {}, /--wat/],
  [['x'], { VOD_ENDPOINT: 'http://127.0.0.1:1' }, /VOD_SECRET_ID/],
  [
    ['x'],
    { VOD_ENDPOINT: 'http://127.0.0.1:1', VOD_SECRET_ID: 'a', VOD_SECRET_KEY: 'b' },
    /VOD_ENDPOINT.*expected a server/,
  ],
  [['x'], { S3_ENDPOINT: 'http://127.0.0.1:1' }, /S3_ENDPOINT.*expected a server/],
  [['x'], { S3_ENDPOINT: 'nonsense' }, /S3_ENDPOINT/],
  [['x'], { VOD_TRANSCODE: 'perhaps' }, /VOD_TRANSCODE.*perhaps/],
])('rejects %j with %j in one line that names the setting or option', async (args, env, message) => {
  const { code, out, err } = await run([...args, '--data', await newFolder()], env);
  expect({ code, out }).toEqual({ code: 1, out: [] });
  expect(err.trim().split('\n')).toEqual([expect.stringMatching(message)]);
});

test('without arguments keeps running, uploads what an S3 client puts, and stops on Ctrl-C', async () => {
  const child = startCommand(['--json', '--data', await newFolder(), '--s3-port', '0', '--vod-port', '0']);
  const lines = createInterface(child.stderr)[Symbol.asyncIterator]();
  let endpoint: string | undefined;
  while (!endpoint) endpoint = /^S3 +(http:\S+)/.exec((await lines.next()).value ?? '')?.[1];
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local-secret' };
  const s3 = new S3Client({ endpoint, credentials, forcePathStyle: true, region: 'eu-central-1' });
  const body = createBytes(1_500_000);
  await s3.send(new PutObjectCommand({ Bucket: 'videos', Key: 'new.mp4', Body: body }));
  s3.destroy();
  const { value } = await createInterface(child.stdout)[Symbol.asyncIterator]().next();
  expect(JSON.parse(value ?? '')).toMatchObject({ key: 'new.mp4', outcome: 'uploaded', sha1: sha1(body) });
  child.kill('SIGINT');
  const [code] = await once(child, 'close');
  expect(code).toBe(0);
});

test('with another S3 prints how to start an object, and no keys', async () => {
  const elsewhere = await listen(createServer(), 0);
  const child = startCommand(['--data', await newFolder(), '--vod-port', '0'], {
    env: { S3_ENDPOINT: elsewhere.endpoint, AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'their-secret' },
  });
  const lines: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    lines.push(line);
    if (line.startsWith('Ctrl-C')) child.kill('SIGINT');
  }
  expect(lines).toContain(`S3   ${elsewhere.endpoint}`);
  expect(lines).toContain('  npm run invoke -- s3://videos/clip.mp4 --local');
  expect(lines.join()).not.toMatch(/secret|access key/);
  await elsewhere.close();
});

test('rejects a data folder that another process uses', async () => {
  const data = await newFolder();
  onTestFinished(await lock(data));
  const { code, err } = await run(['--data', data, 'x']);
  expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining(`${data} is in use`) });
});

test.each(['--s3-port', '--vod-port'])(
  'names a port in use and the options to change it: %s',
  async (option) => {
    const other = await listen(createServer(), 0);
    onTestFinished(() => other.close());
    const { code, err } = await run([option, String(other.port), '--data', await newFolder(), 'x']);
    const line = `✘ port ${other.port} is in use. Choose another with --s3-port or --vod-port; 0 selects a free port.\n`;
    expect({ code, err }).toEqual({ code: 1, err: line });
  },
);

test('rejects a file as data folder', async () => {
  const path = await files({ 'one.mp4': createBytes(3) });
  const { code, err } = await run(['--data', path('one.mp4'), path('one.mp4')]);
  expect({ code, err }).toEqual({
    code: 1,
    err: `✘ data folder ${path('one.mp4')}: expected a folder, got a file\n`,
  });
});

test('uploads to another VOD service at another path', async () => {
  const { vod } = await startService({ signedHost: 'vod.example.com' });
  const path = await files({ 'film.mp4': createBytes(2_000_000) });
  const VOD_ENDPOINT = `${vod.endpoint}/v3/index.php`;
  const env = { ...settingsOf(vod), VOD_ENDPOINT, VOD_HOST: 'vod.example.com' };
  const { code, out } = await run(['--json', '--data', await newFolder(), path('film.mp4')], env);
  expect({ code, out }).toMatchObject({ code: 0, out: [{ outcome: 'uploaded' }] });
  expect(vod.files().map(({ fileId }) => fileId)).toEqual([out[0].fileId]);
});
