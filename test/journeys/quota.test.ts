import { expect, test } from 'vitest';
import { startVod } from '../../local/vod/server.ts';
import { bytesOf, newFolder, newStack } from '../support/stack.ts';

/** The service keeps the account's quota and refuses what is over it. */

test('300 objects dropped at once all arrive, without one call over the quota', async () => {
  const minuteMs = 3_000;
  const codes = new Map<number, number>();
  const vod = await startVod({
    dir: await newFolder(),
    port: 0,
    secrets: { secretId: 'id', secretKey: 'key' },
    signedHost: 'vod2.qcloud.com',
    quota: { minuteMs },
    onReply: (code) => codes.set(code, (codes.get(code) ?? 0) + 1),
  });
  const world = await newStack({
    env: {
      VOD_ENDPOINT: vod.endpoint,
      VOD_SECRET_ID: 'id',
      VOD_SECRET_KEY: 'key',
      QUOTA_MINUTE_MS: String(minuteMs),
    },
  });
  await Promise.all(Array.from({ length: 300 }, (_, n) => world.put(`film ${n}.mp4`, bytesOf(1000 + n))));
  const results = await world.results();
  expect(results.filter(({ outcome }) => outcome === 'uploaded')).toHaveLength(300);
  expect(vod.files()).toHaveLength(300);
  expect([...codes.keys()]).toEqual([0]);
  await vod.close();
});
