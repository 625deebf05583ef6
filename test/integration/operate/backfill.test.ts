import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  CreateBucketCommand,
  PutObjectAnnotationCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
} from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { LOCAL_S3_CREDENTIALS } from '../../../cli/running-file.ts';
import { startS3 } from '../../../local/s3/server.ts';
import { runCommand as run } from '../../../operate/commands.ts';
import { recordTerminal, runCommand, spawnCommand } from '../../support/operate.ts';
import { BUCKET, newStack } from '../../support/stack.ts';
import { newFolder } from '../../support/temp-folder.ts';
import { createBytes, sha1 } from '../../support/values.ts';

/** `npm run backfill` for a bucket whose objects are older than the stack. */

type Objects = Readonly<Record<string, Partial<PutObjectCommandInput> & { annotation?: string }>>;

async function folderWith(objects: Objects): Promise<string> {
  const data = await newFolder();
  const s3 = await startS3({
    dir: join(data, 's3'),
    port: 0,
    credentials: LOCAL_S3_CREDENTIALS,
    onObjectCreated: async () => {}, // events of these objects are lost
  });
  const client = new S3Client({
    ...{ endpoint: s3.endpoint, region: 'us-east-1', forcePathStyle: true },
    credentials: LOCAL_S3_CREDENTIALS,
  });
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  for (const [Key, { annotation, ...more }] of Object.entries(objects)) {
    await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: createBytes(10), ...more }));
    if (annotation === undefined) continue;
    const named = { AnnotationName: 'tencent-vod', AnnotationPayload: annotation };
    await client.send(new PutObjectAnnotationCommand({ Bucket: BUCKET, Key, ...named }));
  }
  client.destroy();
  await s3.close();
  return data;
}

const ID = { 'vod-file-id': '123' };
const MIXED: Objects = {
  '2026/uploaded.mp4': { Metadata: ID },
  '2026/empty.mp4': { Body: Buffer.alloc(0) },
  '2026/folder/': { Body: Buffer.alloc(0) },
  '2026/notes.txt': {},
  '2026/image.jpg': {},
  '2026/tagged.mp4': { Tagging: 'vod-file-id=123' },
  '2026/tagged otherwise.mp4': { Tagging: 'colour=red' },
  '2026/annotated.mp4': { annotation: JSON.stringify({ ...ID, 'vod-sha1': sha1('any') }) },
  '2026/annotated otherwise.mp4': { annotation: 'a note' },
  '2026/video by its type.bin': { ContentType: 'video/mp4' },
  '2026/电影 & <1+1>%41\r.mp4': {},
  '2027/another.mp4': {},
};
const PENDING = [
  '2026/annotated otherwise.mp4',
  '2026/tagged otherwise.mp4',
  '2026/video by its type.bin',
  '2026/电影 & <1+1>%41\r.mp4',
];

const numbered = (count: number): Objects =>
  Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`film-${String(at).padStart(2, '0')}.mp4`, {}]),
  );

/** These folders already have the bucket, which `newStack` would create. */
const stackOn = (data: string) => newStack({ data, hasBucket: true });

test('starts every video without a fileId and nothing else; a dry run only prints them', async () => {
  const data = await folderWith(MIXED);
  const world = await stackOn(data);
  const args = ['backfill', `s3://${BUCKET}/2026/`, '--per-minute', '60000', '--local', '--data', data];

  const dry = await runCommand(...args, '--dry-run');
  expect(dry).toMatchObject({ code: 0, err: [] });
  expect(dry.out.slice(0, 5)).toEqual([
    ...PENDING.map((key) => `would start  s3://${BUCKET}/${key.replace('\r', '□')}`),
    '11 objects: to start 4, already uploaded 3, skipped 4, rejected 0',
  ]);
  expect(dry.out.slice(5).sort()).toEqual([
    '  skipped 1: a folder marker, not a file',
    '  skipped 1: an image, not a video',
    expect.stringMatching(/^ {2}skipped 1: neither a video nor an image \(extension \.txt/),
    '  skipped 1: the object is empty',
  ]);
  expect(world.executions.count).toBe(0);
  expect(existsSync(join(data, 'backfill'))).toBe(false);

  const real = await runCommand(...args);
  expect(real).toMatchObject({ code: 0, err: [] });
  expect(real.out).toContain('11 objects: started 4, already uploaded 3, skipped 4, rejected 0');
  const results = (await world.results()).filter(({ outcome }) => outcome === 'uploaded');
  expect(results.map(({ key }) => key).sort()).toEqual([...PENDING].sort());

  const again = await runCommand(...args);
  expect(again.out).toContain('11 objects: started 0, already uploaded 7, skipped 4, rejected 0');
});

test.each(['SIGINT', 'SIGKILL'] as const)('continues after %s and starts nothing twice', async (signal) => {
  const data = await folderWith(numbered(3));
  const world = await stackOn(data);
  const args = ['backfill', `s3://${BUCKET}`, '--local', '--data', data];
  // One start per minute: the second object waits for its turn when the signal arrives.
  const child = spawnCommand([...args, '--per-minute', '1']);
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => {
    if (lines.push(line) === 1) child.kill(signal);
  });
  const [code] = await once(child, 'close');
  expect(lines[0]).toMatch(/^started {2}s3:\/\/videos\/film-00\.mp4 {2}film-00-mp4-/);
  if (signal === 'SIGINT') {
    expect(code).toBe(130);
    expect(lines.slice(1)).toEqual([
      'stopped: 1 objects: started 1, already uploaded 0, skipped 0, rejected 0',
      expect.stringMatching(/^run the same command to continue \(.*backfill\/videos-.*\.json\)$/),
    ]);
  }
  await world.idle();
  const rest = await runCommand(...args, '--per-minute', '60000');
  expect(rest).toMatchObject({ code: 0, err: [] });
  expect(rest.out.at(-1)).toMatch(/^3 objects: started [23], already uploaded [01], skipped 0, rejected 0$/);
  const uploaded = (await world.results()).filter(({ outcome }) => outcome === 'uploaded');
  expect(uploaded.map(({ key }) => key).sort()).toEqual(Object.keys(numbered(3)));
  expect(readdirSync(join(data, 'backfill'))).toEqual([]);
});

test('shows a progress bar on a terminal instead of a line per object', async () => {
  const data = await folderWith(numbered(3));
  const world = await stackOn(data);
  const { terminal, out, progress } = recordTerminal(true);
  const args = ['backfill', `s3://${BUCKET}`, '--per-minute', '60000', '--local', '--data', data];
  const code = await run(args, terminal, new AbortController().signal);
  const summary = '3 objects: started 3, already uploaded 0, skipped 0, rejected 0';
  expect({ code, out, updates: progress.length }).toEqual({ code: 0, out: [summary], updates: 4 });
  expect(progress.at(-1)).toBe(`  ████████████████████████ 3 of ${summary}`);
  await world.idle();
});

test('rejects a bucket that the stack does not serve, and one that does not exist', async () => {
  const world = await stackOn(await newFolder());
  const local = ['--local', '--data', world.data];
  const other = await runCommand('backfill', 's3://others/', ...local);
  const unserved = '✘ stack s3-vod-local: expected bucket videos, got others. Backfill that bucket.';
  expect(other).toMatchObject({ code: 1, out: [], err: [unserved] });
  const missing = await runCommand('backfill', `s3://${BUCKET}/`, '--dry-run', ...local);
  expect(missing.code).toBe(1);
  expect(missing.err).toEqual([
    expect.stringMatching(/^✘ LIST s3:\/\/videos\/: 404 .*bucket does not exist/),
  ]);
});
