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
import { createBytes, sha1 } from '../support/values.ts';

/** Whatever ends the work before its time, the next start goes on with it and sends only what is missing. */

const MIB = 1_048_576;

test('parts that VOD holds are not sent again, in the part size it goes on with', async () => {
  const world = await newStack();
  const body = createBytes(2 * MIB + 100);
  const declared = v.parse(Sha1, sha1(body));
  const settings = { endpoint: new URL(world.vodEndpoint), host: 'vod2.qcloud.com', region: 'gz' };
  const secrets = { secretId: 'local-id', secretKey: 'local-key' };
  const vod = createVodClient({ ...settings, secrets }, createAmpleQuota());
  const { signal } = new AbortController();
  const file = { sha1: declared, size: body.length, fileName: 'x', fileType: 'mp4', options: {} };
  await vod.initUpload(file, signal);
  await vod.uploadPart(declared, { offset: MIB, size: MIB }, body.subarray(MIB, 2 * MIB), signal);
  vod.close();

  await world.put('film.mp4', body);
  const [first] = await world.results();
  expect(first).toMatchObject({ outcome: 'uploaded', sent: { parts: 2, bytes: MIB + 100 } });
  expect(sha1(await world.readStoredFile(first?.fileId))).toBe(declared);
});

test('a stack that stops in the middle goes on at the next start', async () => {
  const data = await newFolder();
  const body = createBytes(40 * MIB);
  const first = await newStack({ data });
  const entered = once(first.executions, 'started');
  await first.put('film.mp4', body);
  await entered;
  await first.close();
  expect(first.ended).toEqual([]);

  const second = await newStack({ data });
  const [result, echo, ...more] = await second.results();
  expect(result).toMatchObject({ outcome: 'uploaded', sha1: sha1(body) });
  expect(echo).toMatchObject({ outcome: 'unchanged' });
  expect(more).toEqual([]);
});

test('a process that is killed while it sends goes on at the next start with the parts that are missing', async () => {
  const data = await newFolder();
  const path = join(await newFolder(), 'film.mp4');
  const body = createBytes(96 * MIB);
  await writeFile(path, body);

  const killed = run(data, path);
  for await (const line of createInterface(killed.stderr)) if (line.includes('uploading')) break;
  const uploads = join(data, 'vod', 'uploads');
  for await (const _ of watch(uploads)) if ((await countHeldParts(data)) >= 10) break;
  killed.kill('SIGKILL');
  await once(killed, 'close');
  const held = await countHeldParts(data);
  expect(held).toBeLessThan(96);

  const again = run(data, path);
  const lines: string[] = [];
  for await (const line of createInterface(again.stdout)) lines.push(line);
  const [object] = lines.map((line) => JSON.parse(line));
  expect(lines).toHaveLength(1);
  expect(object).toMatchObject({ bucket: BUCKET, key: 'film.mp4', outcome: 'uploaded', sha1: sha1(body) });
  expect(object.partsSent).toBe(96 - held);
  expect(sha1(await readFile(join(data, 'vod', 'files', `${object.fileId}.mp4`)))).toBe(sha1(body));
});

test('with little time for each invocation the result is the same', async () => {
  const world = await newStack({ timeLimitMs: 2000 });
  const body = createBytes(48 * MIB);
  await world.put('film.mp4', body);
  // A Finish that was cut off after its write-back is repeated, while the write-back's own event is looked at.
  const uploads = (await world.results()).filter(({ outcome }) => outcome === 'uploaded');
  expect(uploads).toMatchObject([{ sha1: sha1(body), sent: { bytes: body.length } }]);
  expect(sha1(await world.readStoredFile(uploads[0]?.fileId))).toBe(sha1(body));
});

const run = (data: string, path: string) => startCommand(['--json', '--data', data, path]);
