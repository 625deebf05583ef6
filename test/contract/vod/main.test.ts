import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { describe, expect, onTestFinished, test } from 'vitest';
import { listen } from '../../../local/http-server.ts';
import { collectResult, startNode } from '../../support/node-process.ts';
import { newFolder } from '../../support/temp-folder.ts';
import { hash, MIB } from '../../support/values.ts';
import { SECRETS, video } from '../../support/vod-client.ts';
import { createClient } from '../../support/vod-service.ts';

const MAIN = 'local/vod/main.ts';
const KEYS = { VOD_SECRET_ID: SECRETS.secretId, VOD_SECRET_KEY: SECRETS.secretKey };

function start(args: string[], env: Record<string, string> = KEYS) {
  const child = startNode(MAIN, args, { env });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** The exit code and output of a command that ends without a signal. */
const outcome = (...args: string[]) => collectResult(start(args));

async function startRunning(dir: string, env?: Record<string, string>) {
  const child = start(['--port', '0', '--data', dir, '--no-quota'], env);
  const [output] = await once(child.stdout, 'data');
  const [, endpoint = ''] = /(http:\/\/127\.0\.0\.1:\d+)\/v2\/index\.php/.exec(String(output)) ?? [];
  const kill = async (signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT') => {
    child.kill(signal);
    const [code] = await once(child, 'exit');
    return code;
  };
  return { output: String(output), endpoint, client: createClient(endpoint), kill };
}

describe('npm run vod', () => {
  test('prints its address, folder, host, and SecretId, but not the key, and exits with 0 on SIGINT', async () => {
    const dir = await newFolder();
    const { output, client, kill } = await startRunning(dir);
    expect(output).toContain(`${dir}/files`);
    expect(output).toContain('vod2.qcloud.com');
    expect(output).toContain(SECRETS.secretId);
    expect(output).toContain('VOD_SECRET_KEY');
    expect(output).not.toContain(SECRETS.secretKey);
    expect(await client.init(video(9))).toMatchObject({ code: 0 });
    expect(await kill('SIGINT')).toBe(0);
  });

  test('reads its settings from the environment, has defaults, and exits with 0 on SIGTERM', async () => {
    const { output, client, kill } = await startRunning(await newFolder(), { VOD_HOST: 'vod.example' });
    expect(output).toContain('local-id');
    expect(output).not.toContain('local-key');
    const call = { SecretId: 'local-id' };
    const signed = { key: 'local-key', host: 'vod.example' };
    expect(await client.init(video(9), call, { signed })).toMatchObject({ code: 0 });
    expect(await client.init(video(9), call, { signed: { key: 'local-key' } })).toMatchObject({
      code: -10002,
    });
    expect(await kill('SIGTERM')).toBe(0);
  });

  test('holds every acknowledged part after a kill and continues the upload', async () => {
    const dir = await newFolder();
    const file = video(12 * MIB + 17, MIB);
    const first = await startRunning(dir);
    await first.client.init(file);
    const acknowledged: number[] = [];
    const send = async (index: number) => {
      const { code } = await first.client.part(file, index);
      if (code === 0) acknowledged.push(index);
    };
    await Promise.all([0, 1, 2, 3].map(send));
    expect(acknowledged).toHaveLength(4);
    const interrupted = Promise.allSettled([4, 5, 6, 7].map(send));
    await first.kill('SIGKILL');
    await interrupted;

    const { client } = await startRunning(dir);
    const { code, listParts = [] } = await client.init(file);
    expect(code).toBe(1);
    const held = new Set(listParts.map(({ offset }) => offset / MIB));
    expect(acknowledged.filter((index) => !held.has(index))).toEqual([]);
    const missing = [...file.parts.keys()].filter((index) => !held.has(index));
    await Promise.all(missing.map((index) => client.part(file, index)));
    const { fileId } = await client.finish(file);
    expect(hash('sha1', await readFile(`${dir}/files/${fileId}.mp4`))).toBe(file.sha1);
  });

  test('repeats FinishUpload after a kill', async () => {
    const dir = await newFolder();
    const file = video(8 * MIB, MIB);
    const first = await startRunning(dir);
    await first.client.init(file);
    for (const index of file.parts.keys()) await first.client.part(file, index);
    const finishing = first.client.finish(file).catch(() => 'interrupted');
    await first.kill('SIGKILL');
    await finishing;

    const { client } = await startRunning(dir);
    const { code, fileId } = await client.finish(file);
    expect(code).toBe(0);
    const index: unknown = JSON.parse(await readFile(`${dir}/index.json`, 'utf8'));
    expect(index).toMatchObject([{ fileId, sha1: file.sha1 }]);
  });

  test('prints its options with --help', async () => {
    const { code, out, err } = await outcome('--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const words = '--port --data --latency --no-quota VOD_SECRET_ID VOD_SECRET_KEY VOD_HOST';
    for (const word of words.split(' ')) expect(out).toContain(word);
  });

  test.each([
    [['--port', '0'], /^✘ --data DIR is missing/],
    [['--port', 'http', '--data', 'x'], /^✘ --port http: expected an integer from 0 to 65535/],
    [['--port', '0', '--data', 'x', '--latency', 'long'], /^✘ --latency long: expected an integer/],
    [['--port', '0', '--data', 'x', '--quota'], /^✘ Unknown option '--quota'/],
    [['--port', '0', '--data', 'x', 'y'], /^✘ y: expected only options/],
    [['--port', '0', '--data', MAIN], /^✘ .*main\.ts: expected a folder, got a file/],
  ])('prints one line and exits with 1 for %j', async (args, line) => {
    const { code, out, err } = await outcome(...args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(line);
    expect(err).toMatch(/^[^\n]+\n$/);
  });

  test('prints one line for a port in use and leaves the folder unchanged', async () => {
    const other = await listen(createServer(), 0);
    onTestFinished(() => other.close());
    const dir = await newFolder();
    await writeFile(`${dir}/index.json`, 'other data');
    const { code, err } = await outcome('--port', String(other.port), '--data', dir);
    expect({ code, err }).toEqual({
      code: 1,
      err: `✘ port ${other.port} is in use. Choose another with --port; 0 selects a free port.\n`,
    });
  });

  test('rejects a folder that another service uses', async () => {
    const dir = await newFolder();
    const { kill } = await startRunning(dir);
    const second = await outcome('--port', '0', '--data', dir);
    expect(second).toMatchObject({ code: 1, out: '' });
    expect(second.err).toMatch(/^✘ .* is in use by another process[^\n]*--data[^\n]*\n$/);
    await kill('SIGKILL');
    await (await startRunning(dir)).kill('SIGTERM');
  });
});
