import { expect, test } from 'vitest';
import { startS3 } from '../../local/s3/server.ts';
import { startVod } from '../../local/vod/server.ts';
import { accelerateTimers } from '../support/accelerate-timers.ts';
import { BUCKET, newStack, type TestStack } from '../support/stack.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes } from '../support/values.ts';

/** Waits for the only execution, which must fail. */
async function readFailure(stack: TestStack) {
  await stack.idle();
  expect(stack.ended).toHaveLength(1);
  const [execution] = stack.ended;
  expect(execution?.status).toBe('FAILED');
  return { error: execution?.error, cause: execution?.cause };
}

test('an empty object fails with UnsupportedObject and stays unchanged', async () => {
  const stack = await newStack();
  await stack.put('empty.mp4', createBytes(0));
  expect(await readFailure(stack)).toMatchObject({
    error: 'UnsupportedObject',
    cause: expect.stringContaining(`s3://${BUCKET}/empty.mp4: it is empty`),
  });
  expect((await stack.head('empty.mp4')).Metadata).toEqual({});
});

test('a manual request for an object that does not exist fails with ObjectNotFound', async () => {
  const stack = await newStack();
  await stack.invokeTrigger({ bucket: BUCKET, key: 'nothing.mp4' });
  expect(await readFailure(stack)).toMatchObject({
    error: 'ObjectNotFound',
    cause: expect.stringContaining(`s3://${BUCKET}/nothing.mp4`),
  });
});

test('metadata that is no valid option fails with InvalidInput, which names key and value', async () => {
  const stack = await newStack();
  await stack.put('video.mp4', createBytes(10), { Metadata: { 'vod-transcode': 'perhaps' } });
  expect(await readFailure(stack)).toMatchObject({
    error: 'InvalidInput',
    cause: expect.stringMatching(/video\.mp4.*vod-transcode.*perhaps/),
  });
});

test('a wrong VOD secret fails with VodRejected, which names the setting and hides the secret', async () => {
  const vod = await startVod({
    dir: await newFolder(),
    port: 0,
    secrets: { secretId: 'id', secretKey: 'right-key' },
    signedHost: 'vod2.qcloud.com',
  });
  const env = { VOD_ENDPOINT: vod.endpoint, VOD_SECRET_ID: 'id', VOD_SECRET_KEY: 'wrong-key' };
  const stack = await newStack({ env });
  await stack.put('video.mp4', createBytes(10));
  const { error, cause } = await readFailure(stack);
  expect(error).toBe('VodRejected');
  expect(cause).toMatch(/VOD_SECRET_KEY/);
  expect(cause).not.toMatch(/wrong-key|right-key/);
  expect((await stack.head('video.mp4')).Metadata).toEqual({});
  await vod.close();
});

test('a wrong S3 secret fails with StorageRejected, which names the setting and hides the secret', async () => {
  const s3 = await startS3({
    dir: await newFolder(),
    port: 0,
    credentials: { accessKeyId: 'key', secretAccessKey: 'right' },
  });
  const env = { S3_ENDPOINT: s3.endpoint, AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'wrong-secret' };
  const stack = await newStack({ env });
  await stack.invokeTrigger({ bucket: BUCKET, key: 'video.mp4' });
  const { error, cause } = await readFailure(stack);
  expect(error).toBe('StorageRejected');
  expect(cause).toMatch(/video\.mp4.*AWS_SECRET_ACCESS_KEY/);
  expect(cause).not.toMatch(/wrong-secret/);
  await s3.close();
});

test('an unreachable VOD fails with VodUnavailable after retries', async () => {
  const vod = await startVod({
    dir: await newFolder(),
    port: 0,
    secrets: { secretId: 'id', secretKey: 'key' },
    signedHost: 'vod2.qcloud.com',
  });
  await vod.close();
  const env = {
    ...{ VOD_ENDPOINT: vod.endpoint, VOD_SECRET_ID: 'id', VOD_SECRET_KEY: 'key' },
    ...{ QUOTA_CALLS_PER_MINUTE: '1000000', QUOTA_MINUTE_MS: '100' }, // the quota waits by the real clock
  };
  accelerateTimers();
  const stack = await newStack({ env });
  await stack.put('video.mp4', createBytes(10));
  expect(await readFailure(stack)).toMatchObject({
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
