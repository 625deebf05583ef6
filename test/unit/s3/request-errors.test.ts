import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { DeadlineExceeded } from '../../../lib/deadline.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import { headObject } from '../../../lib/s3/head-object.ts';
import { readRange } from '../../../lib/s3/read-range.ts';
import { putTags, readTags } from '../../../lib/s3/tags.ts';
import { CREDENTIALS } from '../../support/credentials.ts';
import { BUCKET, useStore, VERSIONED } from '../../support/fake-store.ts';
import { type Answer, scripted } from '../../support/scripted-server.ts';
import { failureOf, never, pinOf } from '../../support/values.ts';

/** What a refusal says, and what it never says; how a read ends that is called off. */

const store = useStore();
const pin = pinOf(1000);
const range = { offset: 100, size: 500 };

async function against(...answers: [Answer, ...Answer[]]) {
  const { endpoint, asked, arrived } = await scripted(...answers);
  const s3 = createS3Client({ endpoint });
  onTestFinished(() => s3.destroy());
  return { s3, asked, arrived, endpoint };
}

describe('a refusal says what to check', () => {
  const SECRETS =
    '<StringToSign>AWS4-HMAC-SHA256 x</StringToSign><SignatureProvided>5ec2e7</SignatureProvided>';
  test.each([
    [403, 'AccessDenied', 'Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and the policy'],
    [403, 'SignatureDoesNotMatch', 'Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY'],
    [301, 'PermanentRedirect', 'Check S3_ENDPOINT, AWS_REGION, and the bucket'],
    [501, 'NotImplemented', 'Check S3_ENDPOINT'],
  ])('%i %s, and no signature', async (status, code, hint) => {
    const xml = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>because</Message>${SECRETS}</Error>`;
    const { s3, asked } = await against((response) => response.writeHead(status).end(xml));
    const { name, message } = await failureOf(readRange(s3, pin, range, never));
    expect(name).toBe('StorageRejected');
    expect(message).toContain(hint);
    expect(message).not.toMatch(/AWS4-HMAC|5ec2e7|Signature=/);
    expect(message).not.toContain(CREDENTIALS.secretAccessKey);
    expect(asked).toHaveLength(1);
  });

  test('no credentials at all are a setting that is missing', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, '');
    for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/nonexistent');
    onTestFinished(() => {
      vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
    });
    const { s3, asked } = await against((response) => response.end());
    const { name, message } = await failureOf(headObject(s3, pin, never));
    expect(name).toBe('InvalidSetting');
    expect(message).toContain('Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
    expect(asked).toEqual([]);
  });
});

test.each([301, 302, 307, 308])(
  'HTTP %i: not followed, a signed request goes nowhere else',
  async (status) => {
    const elsewhere = await against((response) => response.end());
    const { s3, asked } = await against((response) =>
      response
        .writeHead(status, { location: `${elsewhere.endpoint}/b/k`, 'x-amz-bucket-region': 'eu-west-1' })
        .end(),
    );
    const calls = [
      () => headObject(s3, pin, never),
      () => readRange(s3, pin, range, never),
      () => readTags(s3, pin, never),
      () => putTags(s3, pin, { a: '1' }, never),
    ];
    for (const call of calls) {
      expect(await failureOf(call())).toMatchObject({
        name: 'StorageRejected',
        message: expect.stringMatching(/redirect.*not followed\. Check S3_ENDPOINT, AWS_REGION/),
      });
    }
    expect([asked.length, elsewhere.asked.length]).toEqual([calls.length, 0]);
  },
);

test('a delete marker is no object', async () => {
  await store.put(VERSIONED, 'marked.mp4', 'one');
  await store.client.send(new DeleteObjectCommand({ Bucket: VERSIONED, Key: 'marked.mp4' }));
  expect((await failureOf(store.find(VERSIONED, 'marked.mp4'))).name).toBe('ObjectDeleted');
});

test('an ETag under KMS twice is no MD5 either', async () => {
  await store.put(BUCKET, 'kms.mp4', 'x', { ServerSideEncryption: 'aws:kms:dsse' });
  expect((await store.find(BUCKET, 'kms.mp4')).etagIsMd5).toBe(false);
});

describe('a read that is called off', () => {
  const reason = new DeadlineExceeded('the time was over');
  const headers = { etag: '"e"', 'content-range': 'bytes 100-599/1000', 'content-length': '500' };

  test.each<[string, Answer]>([
    ['before the answer', () => {}],
    ['in the middle of the body', (response) => void response.writeHead(206, headers).write(Buffer.alloc(7))],
  ])('%s hangs up', async (_, answer) => {
    const hungUp = Promise.withResolvers<void>();
    const { s3, asked, arrived } = await against((response, request) => {
      response.once('close', hungUp.resolve);
      answer(response, request);
    });
    const controller = new AbortController();
    const reading = failureOf(readRange(s3, pin, range, controller.signal));
    await arrived;
    controller.abort(reason);
    expect(await reading).toBe(reason);
    await hungUp.promise;
    expect(asked).toHaveLength(1);
  });

  test('between two tries does not wait for the second', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1e6); // of the wait between tries, which is a random share of its most
    onTestFinished(() => void vi.restoreAllMocks());
    const controller = new AbortController();
    const short = { ...headers, 'content-length': '0' };
    const { s3, asked } = await against((response) => {
      response.writeHead(206, short).end(() => setTimeout(() => controller.abort(reason), 50));
    });
    expect(await failureOf(readRange(s3, pin, range, controller.signal))).toBe(reason);
    expect(asked).toHaveLength(1);
  });
});
