import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findRunning } from '../../../cli/running-file.ts';
import { usage } from '../../../cli/usage.ts';
import { EventArchive } from '../../../local/aws/event-archive.ts';
import { BACKFILL } from '../../../operate/args.ts';
import { collectResult } from '../../support/node-process.ts';
import { runCommand, spawnCommand } from '../../support/operate.ts';
import { BUCKET, newStack } from '../../support/stack.ts';
import { newFolder } from '../../support/temp-folder.ts';
import { createBytes } from '../../support/values.ts';

/** The operators' commands with a running local stack. */

test('invoke starts an execution, waits for it, and prints its result or its error', async () => {
  const world = await newStack();
  await world.put('film.mp4', createBytes(1000));
  const [{ fileId } = {}] = await world.results();
  const local = ['--local', '--data', world.data];

  const again = await runCommand('invoke', `s3://${BUCKET}/film.mp4`, ...local);
  expect(again).toMatchObject({ code: 0, err: [] });
  expect(again.out).toEqual([
    expect.stringMatching(/^s3:\/\/videos\/film\.mp4 {2}execution film-mp4-[0-9a-f]{32} started$/),
    expect.stringMatching(RegExp(`^s3://videos/film\\.mp4  unchanged  ${fileId}  http:`)),
  ]);

  const missing = await runCommand('invoke', `s3://${BUCKET}/nothing.mp4`, ...local);
  expect(missing.code).toBe(1);
  expect(missing.err).toEqual([
    expect.stringMatching(/^✘ s3:\/\/videos\/nothing\.mp4: there is no such object.*\[ObjectNotFound\]$/),
  ]);

  const detached = await runCommand('invoke', `s3://${BUCKET}/nothing.mp4`, '--detach', ...local);
  expect(detached).toMatchObject({ code: 0, out: [expect.stringMatching(/started$/)], err: [] });

  const misspelt = ['--options', '{"transcod": true}'];
  const rejected = await runCommand('invoke', `s3://${BUCKET}/film.mp4`, ...misspelt, ...local);
  expect(rejected).toMatchObject({ code: 1, out: [] });
  expect(rejected.err).toEqual([expect.stringMatching(/options\.transcod: .*\[InvalidInput\]$/)]);
  await world.idle();
});

test('replay sends the events of a period again, once per name', async () => {
  const world = await newStack();
  const began = new Date().toISOString();
  await world.put('one.mp4', createBytes(1000));
  await world.put('two.mp4', createBytes(1000));
  await world.idle();
  const before = world.ended.length;
  const local = ['--local', '--data', world.data];

  const first = await runCommand('replay', '--from', began, '--name', 'again', ...local);
  expect(first).toMatchObject({ code: 0, err: [] });
  expect(first.out).toEqual([
    expect.stringContaining(`replay again: events from ${began} to `),
    expect.stringMatching(/^replay again: completed, last event at \d{4}-/),
  ]);
  // Each of the two objects has two events: its upload, and the write-back, which starts nothing.
  const replayed = (await world.results()).slice(before);
  expect(replayed.map(({ outcome }) => outcome)).toEqual(['unchanged', 'unchanged']);

  const second = await runCommand('replay', '--from', began, '--name', 'again', ...local);
  expect(second).toMatchObject({ code: 1, out: [] });
  expect(second.err).toEqual([expect.stringMatching(/replay again: .*already exists/)]);
  await world.idle();
  expect(world.ended).toHaveLength(before + 2);

  const early = await runCommand('replay', '--from', '3d', ...local);
  expect(early).toMatchObject({ code: 1, out: [] });
  expect(early.err).toEqual([
    expect.stringMatching(/--from .*: expected .* or later, the oldest event in archive s3-vod-local$/),
  ]);
});

test('replay of a period without events ends with none', async () => {
  const world = await newStack();
  const began = new Date(new EventArchive(join(world.data, 'archive')).startTime).toISOString();
  const { code, out } = await runCommand('replay', '--from', began, '--local', '--data', world.data);
  expect({ code, last: out.at(-1) }).toEqual({
    code: 0,
    last: expect.stringMatching(/completed, no events$/),
  });
});

test('reports that no stack is running, even if a killed one left its file', async () => {
  const data = await newFolder();
  await writeFile(
    join(data, 'running.json'),
    '{"engine":"http://127.0.0.1:1","region":"us-east-1","s3":{"endpoint":"http://127.0.0.1:1","isLocal":true}}',
  );
  const { code, out, err } = await runCommand('redrive', '--local', '--data', data);
  expect({ code, out }).toEqual({ code: 1, out: [] });
  expect(err).toEqual([
    `✘ data folder ${data}: expected a running stack, got none. Start one with npm start -- --data ${data}.`,
  ]);
});

test('a stopped stack is no longer found', async () => {
  const world = await newStack();
  expect(await findRunning(world.data)).toMatchObject({ s3: { endpoint: world.s3Endpoint, isLocal: true } });
  await world.close();
  expect(await findRunning(world.data)).toBe(undefined);
});

test('prints help on standard output, and an unknown command on standard error with exit code 1', async () => {
  const run = (...args: string[]) => collectResult(spawnCommand(args));
  const [help, none] = await Promise.all([run('backfill', '--help'), run('backfil')]);
  expect(help).toEqual({ code: 0, out: `${usage(BACKFILL)}\n`, err: '' });
  expect(none).toEqual({
    code: 1,
    out: '',
    err: '✘ command backfil: expected one of invoke, replay, redrive, backfill, doctor, enable-events\n',
  });
});

test('ignores other credentials, profiles, and endpoints in the environment with --local', async () => {
  const world = await newStack();
  const others = {
    AWS_PROFILE: 'nobody',
    AWS_ACCESS_KEY_ID: 'other',
    AWS_SECRET_ACCESS_KEY: 'other',
    AWS_SESSION_TOKEN: 'other',
    AWS_REGION: 'eu-central-1',
    AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true',
    S3_ENDPOINT: 'http://127.0.0.1:1',
  };
  const args = ['backfill', `s3://${BUCKET}/`, '--local', '--data', world.data];
  expect(await collectResult(spawnCommand(args, others))).toEqual({
    ...{ code: 0, err: '' },
    out: '0 objects: started 0, already uploaded 0, skipped 0, rejected 0\n',
  });
});
