import { expect, test } from 'vitest';
import { accelerateTimers } from '../support/accelerate-timers.ts';
import { BUCKET, newStack, startOtherS3, type TestStack } from '../support/stack.ts';
import { createBytes } from '../support/values.ts';
import { SECRETS } from '../support/vod-client.ts';
import { settingsOf, startService } from '../support/vod-service.ts';

/** Waits for the only execution, which must fail. */
async function readFailure(stack: TestStack) {
  await stack.idle();
  expect(stack.ended).toHaveLength(1);
  const [execution] = stack.ended;
  expect(execution?.status).toBe('FAILED');
  return { error: execution?.error, cause: execution?.cause };
}

test.each([
  [
    'an empty object',
    'UnsupportedObject',
    /^s3:\/\/videos\/empty\.mp4: it is empty/,
    async (stack: TestStack) => {
      await stack.put('empty.mp4', createBytes(0));
    },
  ],
  [
    'a manual request for an object that does not exist',
    'ObjectNotFound',
    /s3:\/\/videos\/nothing\.mp4/,
    async (stack: TestStack) => {
      await stack.invokeTrigger({ bucket: BUCKET, key: 'nothing.mp4' });
    },
  ],
  [
    'metadata that is no valid option',
    'InvalidInput',
    /video\.mp4.*vod-transcode.*perhaps/,
    async (stack: TestStack) => {
      await stack.put('video.mp4', createBytes(10), { Metadata: { 'vod-transcode': 'perhaps' } });
    },
  ],
])('%s fails with %s', async (_, error, cause, start) => {
  const stack = await newStack();
  await start(stack);
  expect(await readFailure(stack)).toEqual({ error, cause: expect.stringMatching(cause) });
});

test('a wrong VOD secret fails with VodRejected, which names the setting and hides the secret', async () => {
  const { vod } = await startService();
  const stack = await newStack({ env: { ...settingsOf(vod), VOD_SECRET_KEY: 'wrong-key' } });
  await stack.put('video.mp4', createBytes(10));
  const { error, cause } = await readFailure(stack);
  expect(error).toBe('VodRejected');
  expect(cause).toMatch(/VOD_SECRET_KEY/);
  expect(cause).not.toContain('wrong-key');
  expect(cause).not.toContain(SECRETS.secretKey);
  expect((await stack.head('video.mp4')).Metadata).toEqual({});
});

test('a wrong S3 secret fails with StorageRejected, which names the setting and hides the secret', async () => {
  const stack = await newStack({ env: { ...(await startOtherS3()), AWS_SECRET_ACCESS_KEY: 'wrong-secret' } });
  await stack.invokeTrigger({ bucket: BUCKET, key: 'video.mp4' });
  const { error, cause } = await readFailure(stack);
  expect(error).toBe('StorageRejected');
  expect(cause).toMatch(/video\.mp4.*AWS_SECRET_ACCESS_KEY/);
  expect(cause).not.toMatch(/wrong-secret/);
});

test('an unreachable VOD fails with VodUnavailable after retries', async () => {
  const { vod } = await startService();
  await vod.close();
  // The quota waits by the real clock.
  const quota = { QUOTA_CALLS_PER_MINUTE: '1000000', QUOTA_MINUTE_MS: '100' };
  accelerateTimers();
  const stack = await newStack({ env: { ...settingsOf(vod), ...quota } });
  await stack.put('video.mp4', createBytes(10));
  expect(await readFailure(stack)).toEqual({
    error: 'VodUnavailable',
    cause: expect.stringMatching(/InitUpload video\.mp4.*cannot be reached.*ECONNREFUSED/),
  });
});

test('a missing setting fails before anything starts', async () => {
  await expect(newStack({ env: { VOD_ENDPOINT: 'http://127.0.0.1:9' } })).rejects.toMatchObject({
    name: 'InvalidSetting',
    message: expect.stringContaining('VOD_SECRET_ID'),
  });
});

test('the local S3 rejects unsigned requests', async () => {
  const stack = await newStack();
  const response = await fetch(`${stack.s3Endpoint}/${BUCKET}/video.mp4`);
  expect(response.status).toBe(403);
});
