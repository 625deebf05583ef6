import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { MessageQueue } from '../../../local/aws/message-queue.ts';
import { type Deliver, localPostponementMs, Queue, type SqsEvent } from '../../../local/aws/queue.ts';
import { newFolder } from '../../support/temp-folder.ts';

const deployed = (name: string): number => {
  const text = readFileSync(new URL('../../../serverless.yml', import.meta.url), 'utf8');
  return Number(new RegExp(`^ +${name}: (\\d+)$`, 'm').exec(text)?.[1]);
};

async function newQueue(deliver: Deliver, dir?: string): Promise<Queue> {
  const queue = new Queue(dir ?? (await newFolder()), deliver);
  onTestFinished(() => queue.close());
  return queue;
}

const bodiesOf = ({ Records }: SqsEvent): string[] => Records.map(({ body }) => body);

test('delivers batches as large as the deployment does', async () => {
  const batches: number[] = [];
  const queue = await newQueue(async ({ Records }) => {
    batches.push(Records.length);
    return [];
  });
  const batchSize = deployed('batchSize');
  for (let n = 0; n < 2 * batchSize; n++) queue.send({ n });
  await queue.idle();
  expect(Math.max(...batches)).toBe(batchSize);
});

test('moves a message to the dead letters after as many receives as in the deployment', async () => {
  const receives: string[] = [];
  const queue = await newQueue(async ({ Records }) => {
    for (const { receiptHandle, attributes } of Records) {
      receives.push(attributes.ApproximateReceiveCount);
      queue.messages.changeVisibility(receiptHandle, 0);
    }
    return Records.map(({ messageId }) => messageId);
  });
  queue.send('m');
  await queue.idle();
  const maxReceives = deployed('maxReceives');
  expect(receives).toEqual(Array.from({ length: maxReceives }, (_, n) => String(n + 1)));
  expect(queue.deadLetters.all()).toMatchObject([{ body: '"m"', receives: maxReceives, attributes: {} }]);
});

test('delivers a flood in order and loses no message, also when the process is killed in between', async () => {
  const dir = await newFolder();
  const { promise: isKilled, resolve: kill } = Promise.withResolvers<void>();
  const bodies: string[] = [];
  const killed = new Queue(dir, async (event) => {
    if (bodies.length < 300) {
      bodies.push(...bodiesOf(event));
      return [];
    }
    kill();
    return new Promise(() => {}); // the process is dead: the batch never ends
  });
  for (let n = 0; n < 500; n++) killed.send(n);
  await isKilled;

  const queue = await newQueue(async (event) => {
    bodies.push(...bodiesOf(event));
    return [];
  }, dir);
  queue.start();
  await queue.idle();
  expect(bodies).toEqual(Array.from({ length: 500 }, (_, n) => String(n)));
  expect(queue.messages.size).toBe(0);
});

test('delivers the other messages while one is postponed', async () => {
  const bodies: string[] = [];
  let postponed: string | undefined;
  const queue = await newQueue(async ({ Records }) => {
    const failed: string[] = [];
    for (const { body, messageId, receiptHandle } of Records) {
      bodies.push(body);
      if (body === '0' && postponed === undefined) {
        postponed = receiptHandle;
        queue.messages.changeVisibility(receiptHandle, 3_600_000);
        failed.push(messageId);
      } else if (body === '24') queue.messages.changeVisibility(postponed ?? '', 0);
    }
    return failed;
  });
  for (let n = 0; n < 25; n++) queue.send(n);
  await queue.idle();
  expect(bodies).toEqual([...Array.from({ length: 25 }, (_, n) => String(n)), '0']);
});

test('keeps a batch when the trigger crashes', async () => {
  const { promise: isDelivered, resolve } = Promise.withResolvers<void>();
  const queue = await newQueue(async () => {
    resolve();
    throw new Error('crash');
  });
  queue.send('m');
  await isDelivered;
  expect(queue.messages.all()).toMatchObject([{ body: '"m"', receives: 1 }]);
});

test('makes local postponements sixty times as short, and no longer than 2 s', () => {
  expect([0, 30, 60, 900].map(localPostponementMs)).toEqual([0, 500, 1000, 2000]);
});

test('hides a received message until its visibility changes, and rejects a handle that is not its newest', async () => {
  const queue = new MessageQueue(await newFolder());
  queue.send('m');
  const [first] = queue.receive(10, 60_000);
  const handle = first?.receiptHandle ?? '';
  expect([queue.visible, queue.size, queue.receive(10, 60_000)]).toEqual([0, 1, []]);
  queue.changeVisibility(handle, 0);
  expect(queue.visible).toBe(1);
  expect(() => queue.changeVisibility(handle, 0)).toThrow(/not in flight/);
  const [second] = queue.receive(10, 60_000);
  expect(second).toMatchObject({ body: 'm', receives: 2 });
  expect(() => queue.changeVisibility(handle, 0)).toThrow(/ReceiptHandle is invalid/);
  queue.delete(handle); // of an earlier receive: no effect
  expect(queue.size).toBe(1);
  queue.delete(second?.receiptHandle ?? '');
  expect(queue.size).toBe(0);
  expect(() => queue.changeVisibility(second?.receiptHandle ?? '', 0)).toThrow(/ReceiptHandle is invalid/);
});
