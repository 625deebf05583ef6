import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { newStack } from '../support/stack.ts';
import { createBytes } from '../support/values.ts';
import { settingsOf, startService } from '../support/vod-service.ts';

test('400 repeated and shuffled events of 120 objects upload each object once, within the quota of VOD', async () => {
  const minuteMs = 3_000;
  const codes = new Map<number, number>();
  const { vod } = await startService({
    quota: { minuteMs },
    onResponse: (code) => codes.set(code, (codes.get(code) ?? 0) + 1),
  });
  const world = await newStack({
    env: { ...settingsOf(vod), QUOTA_MINUTE_MS: String(minuteMs), QUOTA_CALLS_PER_MINUTE: '100' },
  });
  const events: unknown[] = [];
  const send = world.queue.send.bind(world.queue);
  world.queue.send = (event) => void events.push(event);
  await Promise.all(Array.from({ length: 120 }, (_, n) => world.put(`film ${n}.mp4`, createBytes(1000 + n))));
  world.queue.send = send;
  const doubled = Array.from({ length: 400 }, (_, n) => events[n % events.length]);
  const [shuffled] = fc.sample(fc.shuffledSubarray(doubled, { minLength: 400 }), { numRuns: 1, seed: 1 });
  for (const event of shuffled ?? []) send(event);

  const results = await world.results();
  expect(results.filter(({ outcome }) => outcome === 'uploaded')).toHaveLength(120);
  expect(vod.files()).toHaveLength(120);
  // One InitUpload, UploadPart, and FinishUpload for each object, and no code 4400.
  expect([...codes]).toEqual([[0, 360]]);
});

test('objects that find no place wait for their turn in the state machine, and all arrive', async () => {
  const waiting = Promise.withResolvers<void>();
  const onTransition = (event: unknown): void => {
    if (JSON.stringify(event).includes('WaitForTurn')) waiting.resolve();
  };
  subscribe('s3-vod.transition', onTransition);
  onTestFinished(() => void unsubscribe('s3-vod.transition', onTransition));
  const stack = await newStack({
    // Each object needs admission. Three of them work at the same time, each with one function.
    env: { QUOTA_CALLS_PER_MINUTE: '1000000', MAX_FUNCTIONS: '1' },
    quota: false,
    faults: async ({ call }) => {
      if (call === 'UploadPart') await waiting.promise;
      return undefined;
    },
  });
  await Promise.all(Array.from({ length: 8 }, (_, n) => stack.put(`film ${n}.mp4`, createBytes(1_000 + n))));
  const results = await stack.results();
  expect(results.filter(({ outcome }) => outcome === 'uploaded')).toHaveLength(8);
});
