import { expect, test } from 'vitest';
import { createVodClient } from '../../lib/vod/v2/client.ts';
import { type Kill, killAndRestart } from '../simulation/restart/campaign.ts';
import { createAmpleQuota } from '../support/quota.ts';
import { newStack } from '../support/stack.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes, MIB, never, sha1 } from '../support/values.ts';

test('continues an upload in its part size and skips the parts that VOD has', async () => {
  const stack = await newStack();
  const body = createBytes(2 * MIB + 100);
  const settings = { endpoint: new URL(stack.vodEndpoint), host: 'vod2.qcloud.com', region: 'gz' };
  const secrets = { secretId: 'local-id', secretKey: 'local-key' };
  const vod = createVodClient({ ...settings, secrets }, createAmpleQuota());
  const file = { sha1: sha1(body), size: body.length, fileName: 'x', fileType: 'mp4', options: {} };
  await vod.initUpload(file, never);
  await vod.uploadPart(file.sha1, { offset: MIB, size: MIB }, body.subarray(MIB, 2 * MIB), never);
  vod.close();

  await stack.put('video.mp4', body);
  const [first] = await stack.results();
  expect(first).toMatchObject({ outcome: 'uploaded', sent: { parts: 2, bytes: MIB + 100 } });
  expect(sha1(await stack.readStoredFile(first?.fileId))).toBe(file.sha1);
});

test('continues after the stack stops during an upload', async () => {
  const data = await newFolder();
  const body = createBytes(8 * MIB);
  const sending = Promise.withResolvers<void>();
  const first = await newStack({
    data,
    faults: ({ call }) => {
      if (call !== 'UploadPart') return undefined;
      sending.resolve();
      return 'no-response';
    },
  });
  await first.put('video.mp4', body);
  await sending.promise;
  await first.close();
  expect(first.ended).toEqual([]);

  const second = await newStack({ data });
  const [result, ...more] = await second.results();
  expect(result).toMatchObject({ outcome: 'uploaded', sha1: sha1(body) });
  expect(more).toEqual([]);
});

/** The short form of `npm run test:restart`. The third kill of this seed happens while parts are sent. */
test('delivers all files after three kills and sends no part that VOD has', async () => {
  const kills: Kill[] = [];
  await killAndRestart(3, 5, (kill) => kills.push(kill));
  expect(kills).toHaveLength(3);
}, 180_000);

test('uploads an object with several invocations, each of which sends parts until its deadline', async () => {
  let requests = 0;
  const stack = await newStack({
    timeLimitMs: 1_000,
    // The calls that get no response occupy an invocation until its deadline.
    faults: ({ call }) => (call === 'UploadPart' && ++requests % 3 === 0 ? 'no-response' : undefined),
  });
  const body = createBytes(8 * MIB);
  await stack.put('video.mp4', body);
  const uploads = await stack.results();
  expect(uploads).toMatchObject([{ sha1: sha1(body), sent: { bytes: body.length } }]);
  expect(requests).toBeGreaterThan(8);
  expect(sha1(await stack.readStoredFile(uploads[0]?.fileId))).toBe(sha1(body));
});
