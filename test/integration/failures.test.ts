import { S3Client } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { startS3 } from '../../local/s3/server.ts';
import { startVod } from '../../local/vod/server.ts';
import { BUCKET, newStack, type TestStack } from '../support/stack.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes } from '../support/values.ts';

/** What cannot be brought over ends in a failed execution that says so, and nothing half is written. */

const failure = async (
  world: TestStack,
): Promise<{ error: string | undefined; cause: string | undefined }> => {
  await world.idle();
  expect(world.ended).toHaveLength(1);
  const [execution] = world.ended;
  expect(execution?.status).toBe('FAILED');
  return { error: execution?.error, cause: execution?.cause };
};

test('an empty object', async () => {
  const world = await newStack();
  await world.put('empty.mp4', createBytes(0));
  expect(await failure(world)).toMatchObject({
    error: 'UnsupportedObject',
    cause: expect.stringContaining(`s3://${BUCKET}/empty.mp4: it is empty`),
  });
  expect((await world.head('empty.mp4')).Metadata).toEqual({});
});

test('an object that somebody asks for and that is not there', async () => {
  const world = await newStack();
  await world.invokeTrigger({ bucket: BUCKET, key: 'nothing.mp4' });
  expect(await failure(world)).toMatchObject({
    error: 'ObjectNotFound',
    cause: expect.stringContaining(`s3://${BUCKET}/nothing.mp4`),
  });
});

test('metadata that is no option, named with what it may be', async () => {
  const world = await newStack();
  await world.put('film.mp4', createBytes(10), { Metadata: { 'vod-transcode': 'perhaps' } });
  expect(await failure(world)).toMatchObject({
    error: 'InvalidInput',
    cause: expect.stringMatching(/film\.mp4.*vod-transcode.*perhaps/),
  });
});

test('a wrong VOD secret: told which settings to check, the secret not shown', async () => {
  const vod = await startVod({
    dir: await newFolder(),
    port: 0,
    secrets: { secretId: 'id', secretKey: 'right-key' },
    signedHost: 'vod2.qcloud.com',
  });
  const env = { VOD_ENDPOINT: vod.endpoint, VOD_SECRET_ID: 'id', VOD_SECRET_KEY: 'wrong-key' };
  const world = await newStack({ env });
  await world.put('film.mp4', createBytes(10));
  const { error, cause } = await failure(world);
  expect(error).toBe('VodRejected');
  expect(cause).toMatch(/VOD_SECRET_KEY/);
  expect(cause).not.toMatch(/wrong-key|right-key/);
  expect((await world.head('film.mp4')).Metadata).toEqual({});
  await vod.close();
});

test('a wrong S3 secret', async () => {
  const s3 = await startS3({
    dir: await newFolder(),
    port: 0,
    credentials: { accessKeyId: 'key', secretAccessKey: 'right' },
  });
  const env = { S3_ENDPOINT: s3.endpoint, AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'wrong-secret' };
  const world = await newStack({ env });
  await world.invokeTrigger({ bucket: BUCKET, key: 'film.mp4' });
  const { error, cause } = await failure(world);
  expect(error).toBe('StorageRejected');
  expect(cause).toMatch(/film\.mp4.*AWS_SECRET_ACCESS_KEY/);
  expect(cause).not.toMatch(/wrong-secret/);
  await s3.close();
});

test('a VOD that is not there is tried again, then named', async () => {
  const vod = await startVod({
    dir: await newFolder(),
    port: 0,
    secrets: { secretId: 'id', secretKey: 'key' },
    signedHost: 'vod2.qcloud.com',
  });
  await vod.close();
  const env = { VOD_ENDPOINT: vod.endpoint, VOD_SECRET_ID: 'id', VOD_SECRET_KEY: 'key' };
  // A short limit: most of this test is waiting between tries, the handlers' and the state machine's.
  const world = await newStack({ env, timeLimitMs: 1000 });
  await world.put('film.mp4', createBytes(10));
  expect(await failure(world)).toMatchObject({
    error: 'VodUnavailable',
    cause: expect.stringMatching(/InitUpload film\.mp4.*cannot be reached.*ECONNREFUSED/),
  });
});

test('a missing setting, before anything is started', async () => {
  await expect(newStack({ env: { VOD_ENDPOINT: 'http://127.0.0.1:9' } })).rejects.toMatchObject({
    name: 'InvalidSetting',
    message: expect.stringContaining('VOD_SECRET_ID'),
  });
});

test('an S3 client of another mind: unsigned requests are refused', async () => {
  const world = await newStack();
  const reply = await fetch(`${world.s3Endpoint}/${BUCKET}/film.mp4`);
  expect(reply.status).toBe(403);
  expect(world.s3).toBeInstanceOf(S3Client);
});
