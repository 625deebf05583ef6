import { once } from 'node:events';
import { readFile, watch, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { Sha1 } from '../../lib/schemas.ts';
import { createVodClient } from '../../lib/vod/client.ts';
import { countHeldParts, startCommand } from '../support/command.ts';
import { createAmpleQuota } from '../support/quota.ts';
import { BUCKET, newStack } from '../support/stack.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes, MIB, sha1 } from '../support/values.ts';

test('continues an upload in its part size and skips the parts that VOD has', async () => {
  const stack = await newStack();
  const body = createBytes(2 * MIB + 100);
  const expectedSha1 = v.parse(Sha1, sha1(body));
  const settings = { endpoint: new URL(stack.vodEndpoint), host: 'vod2.qcloud.com', region: 'gz' };
  const secrets = { secretId: 'local-id', secretKey: 'local-key' };
  const vod = createVodClient({ ...settings, secrets }, createAmpleQuota());
  const { signal } = new AbortController();
  const file = { sha1: expectedSha1, size: body.length, fileName: 'x', fileType: 'mp4', options: {} };
  await vod.initUpload(file, signal);
  await vod.uploadPart(expectedSha1, { offset: MIB, size: MIB }, body.subarray(MIB, 2 * MIB), signal);
  vod.close();

  await stack.put('video.mp4', body);
  const [first] = await stack.results();
  expect(first).toMatchObject({ outcome: 'uploaded', sent: { parts: 2, bytes: MIB + 100 } });
  expect(sha1(await stack.readStoredFile(first?.fileId))).toBe(expectedSha1);
});

test('continues after the stack stops during an upload', async () => {
  const data = await newFolder();
  const body = createBytes(40 * MIB);
  const first = await newStack({ data });
  const entered = once(first.executions, 'started');
  await first.put('video.mp4', body);
  await entered;
  await first.close();
  expect(first.ended).toEqual([]);

  const second = await newStack({ data });
  const [result, echo, ...more] = await second.results();
  expect(result).toMatchObject({ outcome: 'uploaded', sha1: sha1(body) });
  expect(echo).toMatchObject({ outcome: 'unchanged' });
  expect(more).toEqual([]);
});

test('sends only the missing parts after the process is killed', async () => {
  const data = await newFolder();
  const path = join(await newFolder(), 'video.mp4');
  const body = createBytes(96 * MIB);
  await writeFile(path, body);

  const killed = startUpload(data, path);
  for await (const line of createInterface(killed.stderr)) if (line.includes('uploading')) break;
  const uploads = join(data, 'vod', 'uploads');
  for await (const _ of watch(uploads)) if ((await countHeldParts(data)) >= 10) break;
  killed.kill('SIGKILL');
  await once(killed, 'close');
  const held = await countHeldParts(data);
  expect(held).toBeLessThan(96);

  const restarted = startUpload(data, path);
  const lines: string[] = [];
  for await (const line of createInterface(restarted.stdout)) lines.push(line);
  const [object] = lines.map((line) => JSON.parse(line));
  expect(lines).toHaveLength(1);
  expect(object).toMatchObject({ bucket: BUCKET, key: 'video.mp4', outcome: 'uploaded', sha1: sha1(body) });
  expect(object.partsSent).toBe(96 - held);
  expect(sha1(await readFile(join(data, 'vod', 'files', `${object.fileId}.mp4`)))).toBe(sha1(body));
});

test('uploads an object with many short invocations', async () => {
  const stack = await newStack({ timeLimitMs: 2000 });
  const body = createBytes(48 * MIB);
  await stack.put('video.mp4', body);
  // The execution of the write-back's own event ends as `unchanged`.
  const uploads = (await stack.results()).filter(({ outcome }) => outcome === 'uploaded');
  expect(uploads).toMatchObject([{ sha1: sha1(body), sent: { bytes: body.length } }]);
  expect(sha1(await stack.readStoredFile(uploads[0]?.fileId))).toBe(sha1(body));
});

const startUpload = (data: string, path: string) => startCommand(['--json', '--data', data, path]);
