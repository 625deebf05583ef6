import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { executionName } from '../../lib/trigger/executions.ts';
import { BUCKET, newStack } from '../support/stack.ts';
import { createBytes } from '../support/values.ts';

/** The three ways in: an event, a replay, a person. */

test('a doubled event makes one execution', async () => {
  const world = await newStack();
  await world.put('film.mp4', createBytes(1000));
  await world.idle();
  const before = world.executions.count;
  const [input] = world.ended.map((execution) => execution.input);
  const { bucket, key, etag, size, sequencer } = input as Record<string, string | number>;
  const record = {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    eventName: 'ObjectCreated:Put',
    s3: { bucket: { name: bucket }, object: { key, eTag: etag, size, sequencer } },
  };
  world.queue.send({ Records: [record, record] });
  world.queue.send({ Records: [record] });
  await world.idle();
  expect(world.executions.count).toBe(before);
});

test('a replay looks again and sends nothing; another replay looks once more, the same one heard twice does not', async () => {
  const world = await newStack();
  await world.put('film.mp4', createBytes(2_000_000));
  await world.idle();
  const { ETag = '' } = await world.head('film.mp4');
  const replayed = (name: string) => ({
    source: 'aws.s3',
    'detail-type': 'Object Created',
    'replay-name': name,
    detail: {
      bucket: { name: BUCKET },
      object: { key: 'film.mp4', etag: ETag.replaceAll('"', ''), size: 2_000_000 },
    },
  });
  const looked = async () => (await world.results()).map(({ outcome, sent }) => [outcome, sent.parts]);
  const before = [
    ['uploaded', 2],
    ['unchanged', 0],
  ];
  for (const [name, looks] of [
    ['again', 1],
    ['again', 1],
    ['once-more', 2],
  ] as const) {
    world.queue.send(replayed(name));
    expect(await looked()).toEqual([...before, ...Array(looks).fill(['unchanged', 0])]);
  }
});

test('a person asks with bucket and key, as often as he likes', async () => {
  const world = await newStack();
  await world.put('film.mp4', createBytes(1000));
  await world.idle();
  await world.invokeTrigger({ bucket: BUCKET, key: 'film.mp4' });
  await world.invokeTrigger({ bucket: BUCKET, key: 'film.mp4', options: { classId: 3 } });
  const results = await world.results();
  expect(results.map(({ outcome }) => outcome)).toEqual(['uploaded', 'unchanged', 'unchanged', 'unchanged']);
});

test('a person who insists has VOD asked, whatever the object carries', async () => {
  const one = await newStack();
  await one.put('film.mp4', createBytes(1000));
  const [first] = await one.results();
  // The same bucket before an account that has no such file, as if it had been deleted there.
  const env = {
    S3_ENDPOINT: one.s3Endpoint,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local-secret',
  };
  const other = await newStack({ env });
  await other.invokeTrigger({ bucket: BUCKET, key: 'film.mp4' });
  await other.idle();
  await other.invokeTrigger({ bucket: BUCKET, key: 'film.mp4', force: true });
  const results = (await other.results()).slice(0, 2); // the write-back's own event may come to either
  expect(results.map(({ outcome }) => outcome)).toEqual(['unchanged', 'uploaded']);
  expect(results[0]?.fileId).toBe(first?.fileId);
  expect((await one.head('film.mp4')).Metadata).toMatchObject({ 'vod-file-id': results[1]?.fileId });
});

test.each([
  { bucket: BUCKET, key: 'nothing.mp4' },
  { bucket: 'no-such-bucket', key: 'film.mp4' },
])('what is not there, $bucket/$key: a person hears of a failure, an event finds it gone', async (object) => {
  const world = await newStack();
  await world.invokeTrigger(object);
  await world.idle();
  expect(world.ended).toMatchObject([
    {
      status: 'FAILED',
      error: 'ObjectNotFound',
      cause: expect.stringContaining(`s3://${object.bucket}/${object.key}`),
    },
  ]);
  world.queue.send({
    source: 'aws.s3',
    'detail-type': 'Object Created',
    detail: { bucket: { name: object.bucket }, object: { key: object.key, etag: 'e' } },
  });
  await world.idle();
  expect(world.ended[1]).toMatchObject({ status: 'SUCCEEDED', output: { outcome: 'deleted' } });
});

test.each([
  [{ bucket: BUCKET }, /key/],
  [{ bucket: BUCKET, key: 'a.mp4', option: {} }, /option/],
  [{ hello: 'world' }, /expected an S3 notification/],
  ['text', /expected an S3 notification/],
  [null, /expected an S3 notification/],
])('a person who types %j is told what is wrong', async (event, message) => {
  const world = await newStack();
  await expect(world.invokeTrigger(event)).rejects.toMatchObject({ name: 'InvalidInput', message });
  expect(world.executions.count).toBe(0);
});

test('one bad message fails alone and ends with the dead letters', async () => {
  const world = await newStack();
  world.queue.send({ nobody: 'knows me' });
  await world.put('film.mp4', createBytes(1000));
  await world.idle();
  expect(world.queue.deadLetters().map(({ body }) => JSON.parse(body))).toEqual([{ nobody: 'knows me' }]);
  expect(world.ended[0]).toMatchObject({ status: 'SUCCEEDED' });
});

test('an event whose execution’s name another object has taken ends with the dead letters, not as done', async () => {
  const world = await newStack();
  const request = { bucket: BUCKET, key: 'film.mp4', etag: 'e' };
  world.executions.start(executionName(request, ''), { bucket: BUCKET, key: 'other.mp4' });
  await world.idle();
  const detail = { bucket: { name: BUCKET }, object: { key: 'film.mp4', etag: 'e' } };
  world.queue.send({ source: 'aws.s3', 'detail-type': 'Object Created', detail });
  await world.idle();
  expect(world.queue.deadLetters()).toHaveLength(1);
  expect(world.executions.count).toBe(1);
});

test.each([
  ['not named', ''],
  ['not there', 'arn:aws:states:us-east-1:000000000000:stateMachine:other'],
])(
  'a half-configured stack, its state machine %s: events end with the dead letters, and can be redriven',
  async (_, arn) => {
    const world = await newStack();
    const { STATE_MACHINE_ARN } = process.env;
    process.env.STATE_MACHINE_ARN = arn;
    await world.put('film.mp4', createBytes(10));
    await world.idle();
    expect([world.queue.deadLetters().length, world.executions.count]).toEqual([1, 0]);
    process.env.STATE_MACHINE_ARN = STATE_MACHINE_ARN;
    expect(world.queue.redrive()).toBe(1);
    expect((await world.results()).map(({ outcome }) => outcome)).toEqual(['uploaded', 'unchanged']);
    expect(world.queue.deadLetters()).toEqual([]);
  },
);

const EVENTS = new URL('../support/events/', import.meta.url);
const REFUSED = ['s3-1.0', 's3-3.0', 's3-no-key', 'eventbridge-1', 'dynamodb', 'unknown', 'manual-misspelt'];

test('events of no known shape, or of an unknown version, all end with the dead letters as they came', async () => {
  const world = await newStack();
  const bodies = REFUSED.map((name): unknown =>
    JSON.parse(readFileSync(new URL(`${name}.json`, EVENTS), 'utf8')),
  );
  for (const body of bodies) world.queue.send(body);
  await world.idle();
  expect(world.queue.deadLetters().map(({ body }) => JSON.parse(body))).toEqual(bodies);
  expect(world.executions.count).toBe(0);
});
