import fc from 'fast-check';
import { expect, test } from 'vitest';
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
  const world = await newStack({ env: { ...settingsOf(vod), QUOTA_MINUTE_MS: String(minuteMs) } });
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
