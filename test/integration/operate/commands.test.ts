import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findRunning } from '../../../cli/running-file.ts';
import { EventArchive } from '../../../local/aws/event-archive.ts';
import { BACKFILL_USAGE } from '../../../operate/args.ts';
import { runCommand, spawnCommand } from '../../support/operate.ts';
import { collectResult } from '../../support/process-result.ts';
import { BUCKET, newStack } from '../../support/stack.ts';
import { newFolder } from '../../support/temp-folder.ts';
import { createBytes } from '../../support/values.ts';

/** The commands with a local stack that runs. */

test('invoke: an object that the chain is asked for, how it ends, and what it carries then', async () => {
  const world = await newStack();
  await world.put('film.mp4', createBytes(1000));
  const [{ fileId } = {}] = await world.results();
  const local = ['--local', '--data', world.data];

  const again = await runCommand('invoke', `s3://${BUCKET}/film.mp4`, ...local);
  expect(again).toMatchObject({ code: 0, err: [] });
  expect(again.out).toEqual([
    expect.stringMatching(/^s3:\/\/videos\/film\.mp4 {2}execution film\.mp4-[0-9a-f]{32} started$/),
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
  const refused = await runCommand('invoke', `s3://${BUCKET}/film.mp4`, ...misspelt, ...local);
  expect(refused).toMatchObject({ code: 1, out: [] });
  expect(refused.err).toEqual([expect.stringMatching(/options\.transcod: .*\[InvalidInput\]$/)]);
  await world.idle();
});

test('replay: every object of that time is looked at again, once for each name', async () => {
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
    expect.stringContaining(`replay again: the events from ${began} to `),
    expect.stringMatching(/^replay again: completed, the last of them of \d{4}-/),
  ]);
  // Two objects, and each one's write-back, which was an event too: of a state that is no more, and of the one that is.
  const replayed = (await world.results()).slice(before);
  expect(replayed).toHaveLength(4);
  expect(new Set(replayed.map(({ outcome }) => outcome))).toEqual(new Set(['unchanged']));

  const second = await runCommand('replay', '--from', began, '--name', 'again', ...local);
  expect(second).toMatchObject({ code: 1, out: [] });
  expect(second.err).toEqual([expect.stringMatching(/replay again: .*already exists/)]);
  await world.idle();
  expect(world.ended).toHaveLength(before + 4);

  const early = await runCommand('replay', '--from', '3d', ...local);
  expect(early).toMatchObject({ code: 1, out: [] });
  expect(early.err).toEqual([
    expect.stringMatching(/archive s3-vod-local holds the events since .*: give that, or later$/),
  ]);
});

test('a replay of a time in which nothing came', async () => {
  const world = await newStack();
  const began = new Date(new EventArchive(join(world.data, 'archive')).startTime).toISOString();
  const { code, out } = await runCommand('replay', '--from', began, '--local', '--data', world.data);
  expect({ code, last: out.at(-1) }).toEqual({
    code: 0,
    last: expect.stringMatching(/completed, there were none$/),
  });
});

test('where no stack runs: one line that says so, also beside what a killed one has left', async () => {
  const data = await newFolder();
  await writeFile(
    join(data, 'running.json'),
    '{"engine":"http://127.0.0.1:1","region":"us-east-1","s3":{"endpoint":"http://127.0.0.1:1","isLocal":true}}',
  );
  const { code, out, err } = await runCommand('redrive', '--local', '--data', data);
  expect({ code, out }).toEqual({ code: 1, out: [] });
  expect(err).toEqual([
    `✘ no stack runs on ${data}: start one with npm start -- --data ${data}, and leave it running`,
  ]);
});

test('a stack that stops is no longer found', async () => {
  const world = await newStack();
  expect(await findRunning(world.data)).toMatchObject({ s3: { endpoint: world.s3Endpoint, isLocal: true } });
  await world.close();
  expect(await findRunning(world.data)).toBe(undefined);
});

test('as a process: help, a command that is none, and the streams and exit codes of both', async () => {
  const run = (...args: string[]) => collectResult(spawnCommand(args));
  const [help, none] = await Promise.all([run('backfill', '--help'), run('backfil')]);
  expect(help).toEqual({ code: 0, out: `${BACKFILL_USAGE}\n`, err: '' });
  expect(none).toEqual({
    code: 1,
    out: '',
    err: '✘ backfil: expected one of invoke, replay, redrive, backfill\n',
  });
});

test('as a process: an environment with other keys, a profile, and other addresses is no hindrance', async () => {
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
    out: '0 objects: started 0, carried 0, skipped 0, refused 0\n',
  });
});
