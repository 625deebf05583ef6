import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { executionName } from '../../lib/trigger/executions.ts';
import { BUCKET, newStack } from '../support/stack.ts';
import { createBytes } from '../support/values.ts';

test('starts one execution for repeated events', async () => {
  const stack = await newStack();
  await stack.put('video.mp4', createBytes(1000));
  await stack.idle();
  const before = stack.executions.count;
  const [input] = stack.ended.map((execution) => execution.input);
  const { bucket, key, etag, size, sequencer } = input as Record<string, string | number>;
  const record = {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    eventName: 'ObjectCreated:Put',
    s3: { bucket: { name: bucket }, object: { key, eTag: etag, size, sequencer } },
  };
  stack.queue.send({ Records: [record, record] });
  stack.queue.send({ Records: [record] });
  await stack.idle();
  expect(stack.executions.count).toBe(before);
});

test('starts one execution per replay, which finds the object unchanged', async () => {
  const stack = await newStack();
  await stack.put('video.mp4', createBytes(2_000_000));
  await stack.idle();
  const { ETag = '' } = await stack.head('video.mp4');
  const createReplayEvent = (name: string) => ({
    source: 'aws.s3',
    'detail-type': 'Object Created',
    'replay-name': name,
    detail: {
      bucket: { name: BUCKET },
      object: { key: 'video.mp4', etag: ETag.replaceAll('"', ''), size: 2_000_000 },
    },
  });
  const readOutcomes = async () => (await stack.results()).map(({ outcome, sent }) => [outcome, sent.parts]);
  const before = [['uploaded', 2]];
  for (const [name, count] of [
    ['again', 1],
    ['again', 1],
    ['once-more', 2],
  ] as const) {
    stack.queue.send(createReplayEvent(name));
    expect(await readOutcomes()).toEqual([...before, ...Array(count).fill(['unchanged', 0])]);
  }
});

test('starts an execution for each manual request', async () => {
  const stack = await newStack();
  await stack.put('video.mp4', createBytes(1000));
  await stack.idle();
  await stack.invokeTrigger({ bucket: BUCKET, key: 'video.mp4' });
  await stack.invokeTrigger({ bucket: BUCKET, key: 'video.mp4', options: { classId: 3 } });
  const results = await stack.results();
  expect(results.map(({ outcome }) => outcome)).toEqual(['uploaded', 'unchanged', 'unchanged']);
});

test('uploads again after a manual request with force', async () => {
  const one = await newStack();
  await one.put('video.mp4', createBytes(1000));
  const [first] = await one.results();
  // The same bucket with another VOD account, as if the file had been deleted.
  const env = {
    S3_ENDPOINT: one.s3Endpoint,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local-secret',
  };
  const other = await newStack({ env });
  await other.invokeTrigger({ bucket: BUCKET, key: 'video.mp4' });
  await other.idle();
  await other.invokeTrigger({ bucket: BUCKET, key: 'video.mp4', force: true });
  const results = await other.results();
  expect(results.map(({ outcome }) => outcome)).toEqual(['unchanged', 'uploaded']);
  expect(results[0]?.fileId).toBe(first?.fileId);
  expect((await one.head('video.mp4')).Metadata).toMatchObject({ 'vod-file-id': results[1]?.fileId });
});

test.each([
  { bucket: BUCKET, key: 'nothing.mp4' },
  { bucket: 'no-such-bucket', key: 'video.mp4' },
])('fails a manual request for $bucket/$key, which does not exist, and ignores its event', async (object) => {
  const stack = await newStack();
  await stack.invokeTrigger(object);
  await stack.idle();
  expect(stack.ended).toMatchObject([
    {
      status: 'FAILED',
      error: 'ObjectNotFound',
      cause: expect.stringContaining(`s3://${object.bucket}/${object.key}`),
    },
  ]);
  stack.queue.send({
    source: 'aws.s3',
    'detail-type': 'Object Created',
    detail: { bucket: { name: object.bucket }, object: { key: object.key, etag: 'e' } },
  });
  await stack.idle();
  expect(stack.ended[1]).toMatchObject({ status: 'SUCCEEDED', output: { outcome: 'deleted' } });
});

test.each([
  [{ bucket: BUCKET }, /key/],
  [{ bucket: BUCKET, key: 'a.mp4', option: {} }, /option/],
  [{ hello: 'stack' }, /expected an S3 notification/],
  ['text', /expected an S3 notification/],
  [null, /expected an S3 notification/],
])('rejects the manual request %j', async (event, message) => {
  const stack = await newStack();
  await expect(stack.invokeTrigger(event)).rejects.toMatchObject({ name: 'InvalidInput', message });
  expect(stack.executions.count).toBe(0);
});

test('moves an invalid message alone to the dead letters, with the reason', async () => {
  const stack = await newStack();
  stack.queue.send({ unknown: 'event' });
  await stack.put('video.mp4', createBytes(1000));
  await stack.idle();
  expect(stack.queue.deadLetters.all()).toMatchObject([
    { body: '{"unknown":"event"}', attributes: { reason: { StringValue: /expected an S3 notification/ } } },
  ]);
  expect(stack.ended[0]).toMatchObject({ status: 'SUCCEEDED' });
});

test('moves an event to the dead letters if another object has its execution name', async () => {
  const stack = await newStack();
  const request = { bucket: BUCKET, key: 'video.mp4', etag: 'e' };
  stack.executions.start(executionName(request, ''), { bucket: BUCKET, key: 'other.mp4' });
  await stack.idle();
  const detail = { bucket: { name: BUCKET }, object: { key: 'video.mp4', etag: 'e' } };
  stack.queue.send({ source: 'aws.s3', 'detail-type': 'Object Created', detail });
  await stack.idle();
  expect(stack.queue.deadLetters.all()).toHaveLength(1);
  expect(stack.executions.count).toBe(1);
});

test('keeps events in the queue while the state machine does not exist', async () => {
  const stack = await newStack();
  const { STATE_MACHINE_ARN } = process.env;
  process.env.STATE_MACHINE_ARN = 'arn:aws:states:us-east-1:000000000000:stateMachine:other';
  await stack.put('video.mp4', createBytes(10));
  await expect.poll(() => stack.queue.messages.all()[0]?.receives, { timeout: 10_000 }).toBeGreaterThan(1);
  process.env.STATE_MACHINE_ARN = STATE_MACHINE_ARN;
  expect((await stack.results()).map(({ outcome }) => outcome)).toEqual(['uploaded']);
  expect(stack.queue.deadLetters.size).toBe(0);
});

const EVENTS = new URL('../support/events/', import.meta.url);
const INVALID = ['s3-1.0', 's3-3.0', 's3-no-key', 'eventbridge-1', 'dynamodb', 'unknown', 'manual-misspelt'];

test('moves events of an unknown shape or version to the dead letters unchanged', async () => {
  const stack = await newStack();
  const bodies = INVALID.map((name): unknown =>
    JSON.parse(readFileSync(new URL(`${name}.json`, EVENTS), 'utf8')),
  );
  for (const body of bodies) stack.queue.send(body);
  await stack.idle();
  expect(stack.queue.deadLetters.all().map(({ body }) => JSON.parse(body))).toEqual(bodies);
  expect(stack.executions.count).toBe(0);
});
