import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Queue, type SqsEvent } from '../../../local/aws/queue.ts';
import { newFolder } from '../../support/temp-folder.ts';

const deployed = (name: string): number => {
  const text = readFileSync(new URL('../../../serverless.yml', import.meta.url), 'utf8');
  return Number(new RegExp(`^ +${name}: (\\d+)$`, 'm').exec(text)?.[1]);
};

test('delivers batches as large, and each message as often, as the deployment does', async () => {
  const events: SqsEvent[] = [];
  const queue = new Queue(await newFolder(), async (event) => {
    events.push(event);
    return event.Records.map(({ messageId }) => messageId);
  });
  const [batchSize, maxReceives] = [deployed('batchSize'), deployed('maxReceives')];
  for (let n = 0; n <= batchSize; n++) queue.send({ n });
  await queue.idle();
  expect(Math.max(...events.map(({ Records }) => Records.length))).toBe(batchSize);
  expect(queue.deadLetters().map(({ body, receives }) => [body, receives])).toEqual(
    Array.from({ length: batchSize + 1 }, (_, n) => [`{"n":${n}}`, maxReceives]),
  );
});
