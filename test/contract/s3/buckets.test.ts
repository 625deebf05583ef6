import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { BUCKET, failure, useS3, VERSIONED } from '../../support/local-s3.ts';
import { sendSigned } from '../../support/raw-http.ts';

const s3 = useS3();
const create = (Bucket: string) => s3.client.send(new CreateBucketCommand({ Bucket }));

test('buckets are listed by name, and survive a restart', async () => {
  await create('aaa.first');
  await s3.restart();
  const { Buckets } = await s3.client.send(new ListBucketsCommand());
  expect(Buckets?.map(({ Name }) => Name)).toEqual(['aaa.first', BUCKET, VERSIONED]);
});

test('creating a bucket twice is creating it once', async () => {
  await s3.client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'kept', Body: 'x' }));
  expect(await create(BUCKET)).toMatchObject({ Location: `/${BUCKET}` });
  expect(await failure(s3.client.send(new DeleteBucketCommand({ Bucket: BUCKET })))).toBe(
    '409 BucketNotEmpty',
  );
});

test.each(['ab', 'Upper', 'under_score', '-dash', 'dash-', 'two..dots', '192.168.0.1', 'a'.repeat(64)])(
  '%s is no name for a bucket',
  async (name) => {
    const answer = await sendSigned({
      port: s3.port,
      method: 'PUT',
      path: `/${name}`,
      headers: { 'content-length': '0' },
    });
    expect(answer).toMatchObject({ status: 400, code: 'InvalidBucketName' });
  },
);

test('a bucket can be removed when nothing is in it, delete markers included', async () => {
  const Bucket = 'short-lived';
  await create(Bucket);
  await s3.client.send(new DeleteBucketCommand({ Bucket }));
  expect(await failure(s3.client.send(new HeadBucketCommand({ Bucket })))).toBe('404 NotFound');
  expect(await failure(s3.client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' })))).toBe(
    '404 NoSuchBucket',
  );
  expect(await failure(s3.client.send(new DeleteBucketCommand({ Bucket })))).toBe('404 NoSuchBucket');

  await s3.client.send(new DeleteObjectCommand({ Bucket: VERSIONED, Key: 'never-there' }));
  expect(await failure(s3.client.send(new DeleteBucketCommand({ Bucket: VERSIONED })))).toBe(
    '409 BucketNotEmpty',
  );
});

test('a bucket knows its region', async () => {
  // The client's region goes into the request as the location constraint.
  const { LocationConstraint } = await s3.client.send(new GetBucketLocationCommand({ Bucket: BUCKET }));
  expect(LocationConstraint).toBe('eu-central-1');
  const { BucketRegion } = await s3.client.send(new HeadBucketCommand({ Bucket: BUCKET }));
  expect(BucketRegion).toBe('eu-central-1');
});

test('versioning is off until it is switched on', async () => {
  const versioning = async (Bucket: string) =>
    (await s3.client.send(new GetBucketVersioningCommand({ Bucket }))).Status;
  expect(await versioning(BUCKET)).toBe(undefined);
  expect(await versioning(VERSIONED)).toBe('Enabled');
  await s3.client.send(new CreateBucketCommand({ Bucket: 'locked', ObjectLockEnabledForBucket: true }));
  expect(await versioning('locked')).toBe('Enabled');
});

test('XML that is none, or not what it should be, is refused', async () => {
  const send = (path: string, body: string) =>
    sendSigned({
      port: s3.port,
      method: path.includes('delete') ? 'POST' : 'PUT',
      path,
      body,
      headers: { 'content-length': String(body.length) },
    });
  const refused = { status: 400, code: 'MalformedXML' };
  expect(await send(`/${BUCKET}?versioning`, '<Versioning')).toMatchObject(refused);
  expect(await send(`/${BUCKET}?versioning`, '')).toMatchObject(refused);
  expect(await send(`/${BUCKET}?versioning`, '<Other/>')).toMatchObject(refused);
  expect(await send(`/${BUCKET}?delete`, '<Delete><Object><Key></Key></Object></Delete>')).toMatchObject(
    refused,
  );
});
