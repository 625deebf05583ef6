import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from '../../../local/http-server.ts';
import { collectResult } from '../../support/process-result.ts';
import { newFolder } from '../../support/temp-folder.ts';
import { hash, MIB } from '../../support/values.ts';
import { SECRETS, video } from '../../support/vod-client.ts';
import { clientOf } from '../../support/vod-service.ts';

const MAIN = join(import.meta.dirname, '../../../local/vod/main.ts');
const KEYS = { VOD_SECRET_ID: SECRETS.secretId, VOD_SECRET_KEY: SECRETS.secretKey };

function start(args: string[], env: Record<string, string> = KEYS) {
  const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

/** What a command that ends by itself says. */
const outcome = (...args: string[]) => collectResult(start(args));

async function running(dir: string, env?: Record<string, string>) {
  const child = start(['--port', '0', '--data', dir, '--no-quota'], env);
  const [said] = await once(child.stdout.setEncoding('utf8'), 'data');
  const [, endpoint = ''] = /(http:\/\/127\.0\.0\.1:\d+)\/v2\/index\.php/.exec(said) ?? [];
  const kill = async (signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT') => {
    child.kill(signal);
    const [code] = await once(child, 'exit');
    return code;
  };
  return { said: String(said), endpoint, client: clientOf(endpoint), kill };
}

test('says where it listens, where the files lie and who may sign, never the key; SIGINT ends it with 0', async () => {
  const dir = await newFolder();
  const { said, client, kill } = await running(dir);
  expect(said).toContain(`${dir}/files`);
  expect(said).toContain('vod2.qcloud.com');
  expect(said).toContain(SECRETS.secretId);
  expect(said).toContain('VOD_SECRET_KEY');
  expect(said).not.toContain(SECRETS.secretKey);
  expect(await client.init(video(9))).toMatchObject({ code: 0 });
  expect(await kill('SIGINT')).toBe(0);
});

test('takes its settings from the environment, or has its own; SIGTERM ends it with 0', async () => {
  const { said, client, kill } = await running(await newFolder(), { VOD_HOST: 'vod.example' });
  expect(said).toContain('local-id');
  expect(said).not.toContain('local-key');
  const call = { SecretId: 'local-id' };
  const signed = { key: 'local-key', host: 'vod.example' };
  expect(await client.init(video(9), call, { signed })).toMatchObject({ code: 0 });
  expect(await client.init(video(9), call, { signed: { key: 'local-key' } })).toMatchObject({ code: -10002 });
  expect(await kill('SIGTERM')).toBe(0);
});

test('killed with parts under way: what was answered is held, and the upload goes on', async () => {
  const dir = await newFolder();
  const file = video(24 * MIB + 17, MIB);
  const first = await running(dir);
  await first.client.init(file);
  const answered: number[] = [];
  const sending = [...file.parts.keys()].map(async (index) => {
    const { code } = await first.client.part(file, index);
    if (code === 0) answered.push(index);
    if (answered.length === 8) void first.kill('SIGKILL');
  });
  const results = await Promise.allSettled(sending);
  expect(results.some(({ status }) => status === 'rejected')).toBe(true);

  const { client } = await running(dir);
  const { code, listParts = [] } = await client.init(file);
  expect(code).toBe(1);
  const held = new Set(listParts.map(({ offset }) => offset / MIB));
  expect(answered.filter((index) => !held.has(index))).toEqual([]);
  const missing = [...file.parts.keys()].filter((index) => !held.has(index));
  await Promise.all(missing.map((index) => client.part(file, index)));
  const { fileId } = await client.finish(file);
  expect(hash('sha1', await readFile(`${dir}/files/${fileId}.mp4`))).toBe(file.sha1);
});

test('killed in the middle of FinishUpload: it can be repeated', async () => {
  const dir = await newFolder();
  const file = video(8 * MIB, MIB);
  const first = await running(dir);
  await first.client.init(file);
  for (const index of file.parts.keys()) await first.client.part(file, index);
  const finishing = first.client.finish(file).catch(() => 'cut off');
  await first.kill('SIGKILL');
  await finishing;

  const { client } = await running(dir);
  const { code, fileId } = await client.finish(file);
  expect(code).toBe(0);
  const index: unknown = JSON.parse(await readFile(`${dir}/index.json`, 'utf8'));
  expect(index).toMatchObject([{ fileId, sha1: file.sha1 }]);
});

test('--help tells the options', async () => {
  const { code, out, err } = await outcome('--help');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  for (const word of [
    '--port',
    '--data',
    '--latency',
    '--no-quota',
    'VOD_SECRET_ID',
    'VOD_SECRET_KEY',
    'VOD_HOST',
  ]) {
    expect(out).toContain(word);
  }
});

test.each([
  [['--port', '0'], /^✘ --data DIR is missing/],
  [['--port', 'http', '--data', 'x'], /^✘ --port http: expected an integer from 0 to 65535/],
  [['--port', '0', '--data', 'x', '--latency', 'long'], /^✘ --latency long: expected an integer/],
  [['--port', '0', '--data', 'x', '--quota'], /^✘ Unknown option '--quota'/],
  [['--port', '0', '--data', 'x', 'y'], /^✘ y: expected only options/],
  [['--port', '0', '--data', MAIN], /^✘ .*main\.ts: expected a folder, got a file/],
])('%j is one clear line and exit code 1', async (args, line) => {
  const { code, out, err } = await outcome(...args);
  expect({ code, out }).toEqual({ code: 1, out: '' });
  expect(err).toMatch(line);
  expect(err).toMatch(/^[^\n]+\n$/);
});

test('a port in use is one clear line, and the folder is not touched', async () => {
  const other = await listen(createServer(), 0);
  onTestFinished(() => other.close());
  const dir = await newFolder();
  await writeFile(`${dir}/index.json`, 'not mine');
  const { code, err } = await outcome('--port', String(other.port), '--data', dir);
  expect({ code, err }).toEqual({
    code: 1,
    err: `✘ port ${other.port} is in use. Choose another with --port; 0 selects a free port.\n`,
  });
});

test('a folder has one service at a time', async () => {
  const dir = await newFolder();
  const { kill } = await running(dir);
  const second = await outcome('--port', '0', '--data', dir);
  expect(second).toMatchObject({ code: 1, out: '' });
  expect(second.err).toMatch(/^✘ .* is in use by another process[^\n]*--data[^\n]*\n$/);
  await kill('SIGKILL');
  await (await running(dir)).kill('SIGTERM');
});
