import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { headObject } from '../../../lib/s3/head-object.ts';
import { readRange } from '../../../lib/s3/read-range.ts';
import { putTags, readTags } from '../../../lib/s3/tags.ts';
import { removeJitter } from '../../support/accelerate-timers.ts';
import { CREDENTIALS } from '../../support/credentials.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, useStore } from '../../support/fake-store.ts';
import { newS3Client } from '../../support/s3-client.ts';
import {
  abortOnArrival,
  CONTENT,
  PIN,
  RANGE,
  respondWithError,
  startScriptedS3,
} from '../../support/scripted-s3.ts';
import type { Responder } from '../../support/scripted-server.ts';
import { never } from '../../support/values.ts';

const store = useStore();

const sendRange: Responder = (response) =>
  response
    .writeHead(206, { etag: '"e"', 'content-range': 'bytes 100-599/1000', 'content-length': '500' })
    .end(CONTENT.subarray(100, 600));

describe('an error response', () => {
  const CHECK_CREDENTIALS = 'Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and the policy';
  const CHECK_ENDPOINT = 'Check S3_ENDPOINT, AWS_REGION, and the bucket';

  test.each([
    [412, 'PreconditionFailed', 'ObjectChanged', ''],
    [416, 'InvalidRange', 'ObjectChanged', ''],
    [404, 'NoSuchKey', 'ObjectDeleted', ''],
    [404, 'NoSuchVersion', 'ObjectDeleted', ''],
    [403, 'InvalidObjectState', 'UnsupportedObject', ''],
    [403, 'AccessDenied', 'StorageRejected', CHECK_CREDENTIALS],
    [403, 'SignatureDoesNotMatch', 'StorageRejected', CHECK_CREDENTIALS],
    [401, 'Unauthorized', 'StorageRejected', CHECK_CREDENTIALS],
    [400, 'AuthorizationHeaderMalformed', 'StorageRejected', CHECK_ENDPOINT],
    [301, 'PermanentRedirect', 'StorageRejected', CHECK_ENDPOINT],
    [501, 'NotImplemented', 'StorageRejected', CHECK_ENDPOINT],
  ])('%i %s throws %s without a retry and without a signature', async (status, code, name, hint) => {
    removeJitter();
    const signature =
      '<StringToSign>AWS4-HMAC-SHA256 x</StringToSign><SignatureProvided>5ec2e7</SignatureProvided>';
    const { read, requests } = await startScriptedS3(respondWithError(status, code, signature));
    const message = new RegExp(`^GET s3://b/clip.mp4 bytes=100-599: ${status} .*because.*${hint}`);
    const error = await expectFailure(read(), name, message);
    expect(error.message).not.toMatch(/AWS4-HMAC|5ec2e7|Signature=/);
    expect(error.message).not.toContain(CREDENTIALS.secretAccessKey);
    expect(requests).toHaveLength(1);
  });

  test.each([
    [503, 'SlowDown'],
    [500, 'InternalError'],
    [409, 'OperationAborted'],
    [429, 'TooManyRequests'],
    [403, 'RequestTimeTooSkewed'],
    [404, 'NoSuchUpload'],
  ])('%i %s is retried', async (status, code) => {
    removeJitter();
    const error = respondWithError(status, code);
    const { read, requests } = await startScriptedS3(error, error, sendRange);
    expect(CONTENT.subarray(100, 600).equals(await read())).toBe(true);
    expect(requests.map(({ headers }) => headers.range)).toEqual(Array(3).fill('bytes=100-599'));
  });

  test('503 throws StorageUnavailable when every retry gets it', async () => {
    removeJitter();
    const { read, s3 } = await startScriptedS3(respondWithError(503, 'SlowDown'));
    for (const call of [() => read(), () => headObject(s3, PIN, never)]) {
      await expectFailure(call(), 'StorageUnavailable', '503');
    }
  });

  test.each([301, 302, 307, 308])('HTTP %i is not followed', async (status) => {
    const target = await startScriptedS3((response) => response.end());
    const location = `${target.endpoint}/b/k`;
    const { s3, read, requests } = await startScriptedS3((response) =>
      response.writeHead(status, { location, 'x-amz-bucket-region': 'eu-west-1' }).end(),
    );
    const calls = [
      () => headObject(s3, PIN, never),
      read,
      () => readTags(s3, PIN, never),
      () => putTags(s3, PIN, { a: '1' }, never),
    ];
    for (const call of calls) {
      const message = /redirect.*not followed\. Check S3_ENDPOINT, AWS_REGION/;
      await expectFailure(call(), 'StorageRejected', message);
    }
    expect([requests.length, target.requests.length]).toEqual([calls.length, 0]);
  });
});

describe('credentials', () => {
  test('throws InvalidSetting without a request when there are none', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, '');
    for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/nonexistent');
    onTestFinished(() => {
      vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
    });
    const { s3, requests } = await startScriptedS3((response) => response.end());
    const message = 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
    await expectFailure(headObject(s3, PIN, never), 'InvalidSetting', message);
    expect(requests).toEqual([]);
  });

  test('throws StorageRejected, without the key in the message, when the secret key is wrong', async () => {
    const s3 = newS3Client(store.endpoint());
    s3.config.credentials = async () => ({ accessKeyId: 'AKIDLOCAL', secretAccessKey: 'not-the-key' });
    const call = readRange(s3, { ...PIN, bucket: BUCKET }, RANGE, never);
    const { message } = await expectFailure(call, 'StorageRejected', '403');
    expect(message).not.toContain('not-the-key');
  });
});

describe('a request with a small response', () => {
  // Without its own limit, the client waits for 5 minutes, which a large copy may need.
  test.each<[string, Responder, typeof headObject | typeof readTags, string]>([
    ['does not arrive', () => {}, headObject, 'HEAD s3://b/clip.mp4'],
    [
      'stops in the middle',
      (response) => void response.writeHead(200).write('<Tagging>'),
      readTags,
      'GET tags of s3://b/clip.mp4',
    ],
  ])('throws StorageUnavailable when the response %s', async (_, respond, send, operation) => {
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout(ms / 50));
    onTestFinished(() => void vi.restoreAllMocks());
    const { s3 } = await startScriptedS3(respond);
    const message = `${operation}: no response within 10000 ms`;
    await expectFailure(send(s3, PIN, never), 'StorageUnavailable', message);
  });

  test('ends with the reason of its signal', async () => {
    const { s3, arrived } = await startScriptedS3(() => {});
    const reason = new Error('aborted by the test');
    expect(await abortOnArrival(arrived, reason, (signal) => headObject(s3, PIN, signal))).toBe(reason);
  });

  // The client learns the time from the response and signs the next request with it.
  test('is sent a second time after a 403 without a body', async () => {
    const reject: Responder = (response) => response.writeHead(403).end();
    const { s3, requests } = await startScriptedS3(reject, (response) =>
      response.writeHead(200, { etag: '"e"', 'content-length': '7' }).end(),
    );
    expect((await headObject(s3, PIN, never)).pin.etag).toBe('e');
    expect(requests).toHaveLength(2);
    const rejecting = await startScriptedS3(reject);
    await expectFailure(headObject(rejecting.s3, PIN, never), 'StorageRejected');
  });

  test('throws StorageUnavailable and names S3_ENDPOINT when the connection fails', async () => {
    removeJitter();
    const s3 = newS3Client('http://127.0.0.1:1');
    const message = /^HEAD s3:\/\/b\/clip.mp4: .*ECONNREFUSED.*S3_ENDPOINT/;
    await expectFailure(headObject(s3, PIN, never), 'StorageUnavailable', message);
  });
});
