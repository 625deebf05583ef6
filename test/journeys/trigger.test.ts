import { expect, test } from 'vitest';
import { BUCKET, bytesOf, newStack } from '../support/stack.ts';

/** The three ways in: an event, a replay, a person. */

test('a doubled event makes one execution', async () => {
  const world = await newStack();
  await world.put('film.mp4', bytesOf(1000));
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

test('a replay looks again and sends nothing', async () => {
  const world = await newStack();
  await world.put('film.mp4', bytesOf(2_000_000));
  await world.idle();
  const { ETag = '' } = await world.head('film.mp4');
  const event = {
    source: 'aws.s3',
    'detail-type': 'Object Created',
    'replay-name': 'again',
    detail: {
      bucket: { name: BUCKET },
      object: { key: 'film.mp4', etag: ETag.replaceAll('"', ''), size: 2_000_000 },
    },
  };
  world.queue.send(event);
  world.queue.send(event);
  const results = await world.results();
  expect(results.map(({ outcome, sent }) => [outcome, sent.parts])).toEqual([
    ['uploaded', 2],
    ['unchanged', 0],
    ['unchanged', 0],
  ]);
});

test('a person asks with bucket and key, as often as he likes', async () => {
  const world = await newStack();
  await world.put('film.mp4', bytesOf(1000));
  await world.idle();
  await world.trigger({ bucket: BUCKET, key: 'film.mp4' });
  await world.trigger({ bucket: BUCKET, key: 'film.mp4', options: { classId: 3 } });
  const results = await world.results();
  expect(results.map(({ outcome }) => outcome)).toEqual(['uploaded', 'unchanged', 'unchanged', 'unchanged']);
});

test.each([
  [{ bucket: BUCKET }, /key/],
  [{ bucket: BUCKET, key: 'a.mp4', option: {} }, /option/],
  [{ hello: 'world' }, /expected an S3 notification/],
  ['text', /expected an S3 notification/],
  [null, /expected an S3 notification/],
])('a person who types %j is told what is wrong', async (event, message) => {
  const world = await newStack();
  await expect(world.trigger(event)).rejects.toMatchObject({ name: 'InvalidInput', message });
  expect(world.executions.count).toBe(0);
});

test('one bad message fails alone and ends with the dead letters', async () => {
  const world = await newStack();
  world.queue.send({ nobody: 'knows me' });
  await world.put('film.mp4', bytesOf(1000));
  await world.idle();
  expect(world.queue.deadLetters().map(({ body }) => JSON.parse(body))).toEqual([{ nobody: 'knows me' }]);
  expect(world.ended[0]).toMatchObject({ status: 'SUCCEEDED' });
});
