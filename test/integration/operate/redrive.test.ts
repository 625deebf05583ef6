import { join } from 'node:path';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { JsonStore } from '../../../cli/json-store.ts';
import { executionArn, restartName } from '../../../lib/trigger/executions.ts';
import { ExecutionStore } from '../../../local/aws/execution-store.ts';
import { runCommand, runUntil } from '../../support/operate.ts';
import { BUCKET, newStack } from '../../support/stack.ts';
import { newFolder } from '../../support/temp-folder.ts';
import { createBytes } from '../../support/values.ts';

/** `npm run redrive` with dead letters and failed executions of an earlier run. */

const DAY_MS = 86_400_000;
const daysAgo = (days: number): number => Date.now() - days * DAY_MS;

async function folderWith(letters: readonly unknown[], failed: Readonly<Record<string, [unknown, number]>>) {
  const data = await newFolder();
  const deadLetters = new JsonStore(join(data, 'dead-letters'), v.any());
  for (const [at, body] of letters.entries()) {
    const messageId = `00000000000000${at}-letter`;
    deadLetters.put(messageId, { messageId, body: JSON.stringify(body), receives: 3 });
  }
  const executions = new JsonStore(join(data, 'executions'), v.any());
  for (const [name, [input, stopDate]] of Object.entries(failed)) {
    const arn = executionArn(ExecutionStore.stateMachineArn, name);
    const times = { startDate: stopDate - 1000, stopDate };
    const reason = { error: 'VodRejected', cause: 'the account is in arrears' };
    executions.put(name, { name, arn, status: 'FAILED', input, redriveCount: 0, ...times, ...reason });
  }
  return data;
}

const request = (key: string) => ({ bucket: BUCKET, key });

test('moves dead letters to the queue, redrives failed executions, and restarts old ones once', async () => {
  const old = daysAgo(20);
  const data = await folderWith([request('letter.mp4'), { unknown: 'event' }], {
    recent: [request('recent.mp4'), daysAgo(2)],
    old: [request('old.mp4'), old],
    older: [request('older.mp4'), daysAgo(40)],
  });
  const world = await newStack({ data });
  for (const key of ['letter.mp4', 'recent.mp4', 'old.mp4', 'older.mp4'])
    await world.put(key, createBytes(10));
  await world.idle();
  const before = world.executions.count;
  const args = ['redrive', '--since', '30d', '--local', '--data', data];

  const dry = await runCommand(...args, '--dry-run');
  expect(dry).toMatchObject({ code: 0, err: [] });
  const reason = 'VodRejected: the account is in arrears';
  expect(dry.out).toEqual([
    'dead letters: 2, would move to the queue',
    ...Array(2).fill(expect.stringMatching(/^dead letter {2}\S+-letter {2}the trigger ended without/)),
    `would be redriven  recent  s3://${BUCKET}/recent.mp4  ${reason}`,
    `would be restarted  old  s3://${BUCKET}/old.mp4  ${reason}`,
    expect.stringMatching(/: 2; would be redriven 1, restarted 1; already continued 0, skipped 0$/),
  ]);
  expect([world.executions.count, world.queue.deadLetters.size]).toEqual([before, 2]);

  const real = await runCommand(...args);
  expect(real).toMatchObject({ code: 0, err: [] });
  expect(real.out).toEqual([
    'dead letters: 2, moving to the queue',
    ...Array(2).fill(expect.stringMatching(/^dead letter {2}/)),
    expect.stringMatching(/^dead letters: 2 moved/),
    `redriven  recent  s3://${BUCKET}/recent.mp4  ${reason}`,
    `restarted  old  s3://${BUCKET}/old.mp4  ${reason}`,
    expect.stringMatching(/: 2; redriven 1, restarted 1; already continued 0, skipped 0$/),
  ]);
  await world.idle();
  expect(world.queue.deadLetters.all().map(({ body }) => body)).toEqual(['{"unknown":"event"}']);
  expect(world.executions.count).toBe(before + 3); // the dead letter's, and the two continued ones
  expect(world.executions.get('recent')).toMatchObject({ status: 'SUCCEEDED', redriveCount: 1 });
  const again = restartName(request('old.mp4'), 'old', new Date(old));
  expect(world.executions.get(again)).toMatchObject({ status: 'SUCCEEDED', input: request('old.mp4') });

  const twice = await runCommand(...args);
  expect(twice.out.slice(-1)).toEqual([
    expect.stringMatching(/: 1; redriven 0, restarted 0; already continued 1, skipped 0$/),
  ]);
  await world.idle();
  expect(world.executions.count).toBe(before + 3);
});

test('skips an execution whose input is not an upload request, and returns 1', async () => {
  const data = await folderWith([], { other: [{ Comment: 'Insert your JSON here' }, daysAgo(1)] });
  const world = await newStack({ data });
  const { code, out, err } = await runCommand('redrive', '--local', '--data', data);
  expect(code).toBe(1);
  expect(out).toEqual(['dead letters: 0', expect.stringMatching(/skipped 1$/)]);
  expect(err).toEqual([
    expect.stringMatching(/^skipped {2}other: expected an upload request as input, got \{"Comment"/),
  ]);
  expect(world.executions.count).toBe(0);
});

test('prints why the trigger rejected a message, also after the message was moved and rejected again', async () => {
  const world = await newStack();
  world.queue.send({ unknown: 'event' });
  await world.idle();
  const reason = /^dead letter {2}\S+ {2}message \S+: expected an S3 notification, .*\["unknown"\]$/;
  const { code, out, err } = await runCommand('redrive', '--local', '--data', world.data);
  expect({ code, err }).toEqual({ code: 0, err: [] });
  expect(out.slice(0, 3)).toEqual([
    'dead letters: 1, moving to the queue',
    expect.stringMatching(reason),
    expect.stringMatching(/^dead letters: 1 moved/),
  ]);
  await world.idle();
  const again = await runCommand('redrive', '--dry-run', '--local', '--data', world.data);
  expect(again.out[1]).toMatch(reason);
  expect(world.queue.deadLetters.visible).toBe(1);
});

test('redrives no more executions per minute than --per-minute allows', async () => {
  const failed = ['a', 'b', 'c'].map((name) => [name, [request(`${name}.mp4`), daysAgo(1)]] as const);
  const data = await folderWith(
    [],
    Object.fromEntries(failed.map(([name, [input, stopDate]]) => [name, [input, stopDate]])),
  );
  const world = await newStack({ data });
  const stop = new AbortController();
  world.executions.on('ended', () => stop.abort()); // the second one has to wait for a minute
  const { code } = await runUntil(stop.signal, 'redrive', '--per-minute', '1', '--local', '--data', data);
  expect([code, world.executions.count]).toEqual([130, 1]);
});
