import type { BucketCannedACL, CreateBucketConfiguration, ListBucketsCommandInput } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { BUCKET, failureOf, useS3, VERSIONED } from '../../support/local-s3.ts';

const s3 = useS3();
const create = (Bucket: string) => s3.client.createBucket({ Bucket });

describe('buckets', () => {
  test('are listed by name after a restart', async () => {
    await create('aaa.first');
    await s3.restart();
    const { Buckets } = await s3.client.listBuckets();
    expect(Buckets?.map(({ Name }) => Name)).toEqual(['aaa.first', BUCKET, VERSIONED]);
  });

  test('are listed page by page, by prefix, and by region', async () => {
    for (const name of ['list-a', 'list-b', 'list-c']) await create(name);
    const names = async (input: ListBucketsCommandInput) => {
      const { Buckets = [], ContinuationToken } = await s3.client.listBuckets(input);
      return { found: Buckets.map(({ Name }) => Name), token: ContinuationToken };
    };
    const first = await names({ Prefix: 'list-', MaxBuckets: 2 });
    expect(first.found).toEqual(['list-a', 'list-b']);
    const second = await names({ Prefix: 'list-', MaxBuckets: 2, ContinuationToken: first.token });
    expect(second).toEqual({ found: ['list-c'], token: undefined });
    expect((await names({ Prefix: 'list-', BucketRegion: 'eu-central-1' })).found).toHaveLength(3);
    expect((await names({ BucketRegion: 'us-east-1' })).found).toEqual([]);
    expect(await failureOf(names({ ContinuationToken: 'made up' }))).toBe('400 InvalidArgument');
  });

  test.each<[BucketCannedACL, CreateBucketConfiguration]>([
    ['public-read', {}],
    ['private', { Bucket: { Type: 'Directory', DataRedundancy: 'SingleAvailabilityZone' } }],
    ['private', { Tags: [{ Key: 'a', Value: 'b' }] }],
  ])('are not created with options that are not implemented: %s %j', async (ACL, configuration) => {
    const CreateBucketConfiguration = {
      LocationConstraint: 'eu-central-1' as const,
      ...configuration,
    };
    const created = s3.client.createBucket({ Bucket: 'refused', ACL, CreateBucketConfiguration });
    expect(await failureOf(created)).toBe('501 NotImplemented');
  });

  test('keep their objects when they are created again', async () => {
    await s3.put('kept');
    expect(await create(BUCKET)).toMatchObject({ Location: `/${BUCKET}` });
    expect(await failureOf(s3.client.deleteBucket({ Bucket: BUCKET }))).toBe('409 BucketNotEmpty');
  });

  test.each(['ab', 'Upper', 'under_score', '-dash', 'dash-', 'two..dots', '192.168.0.1', 'a'.repeat(64)])(
    'cannot be named %s',
    async (name) => {
      const response = await s3.sendSigned({
        method: 'PUT',
        path: `/${name}`,
      });
      expect(response).toMatchObject({ status: 400, code: 'InvalidBucketName' });
    },
  );

  test('can be deleted only if they contain no objects and no delete markers', async () => {
    const Bucket = 'short-lived';
    await create(Bucket);
    await s3.client.deleteBucket({ Bucket });
    expect(await failureOf(s3.client.headBucket({ Bucket }))).toBe('404 NotFound');
    expect(await failureOf(s3.put('k', { Bucket, Body: 'x' }))).toBe('404 NoSuchBucket');
    expect(await failureOf(s3.client.deleteBucket({ Bucket }))).toBe('404 NoSuchBucket');

    await s3.delete('never-there', { Bucket: VERSIONED });
    expect(await failureOf(s3.client.deleteBucket({ Bucket: VERSIONED }))).toBe('409 BucketNotEmpty');
  });

  test('return the region that they were created in', async () => {
    // The client's region goes into the request as the location constraint.
    const { LocationConstraint } = await s3.client.getBucketLocation({ Bucket: BUCKET });
    expect(LocationConstraint).toBe('eu-central-1');
    const { BucketRegion } = await s3.client.headBucket({ Bucket: BUCKET });
    expect(BucketRegion).toBe('eu-central-1');
  });

  test('have no versioning until it is enabled', async () => {
    const versioning = async (Bucket: string) => (await s3.client.getBucketVersioning({ Bucket })).Status;
    expect(await versioning(BUCKET)).toBe(undefined);
    expect(await versioning(VERSIONED)).toBe('Enabled');
    await s3.client.createBucket({ Bucket: 'locked', ObjectLockEnabledForBucket: true });
    expect(await versioning('locked')).toBe('Enabled');
  });

  test('reject malformed and unexpected XML', async () => {
    const send = (path: string, body: string) =>
      s3.sendSigned({
        method: path.includes('delete') ? 'POST' : 'PUT',
        path,
        body,
      });
    const rejected = { status: 400, code: 'MalformedXML' };
    expect(await send(`/${BUCKET}?versioning`, '<Versioning')).toMatchObject(rejected);
    expect(await send(`/${BUCKET}?versioning`, '')).toMatchObject(rejected);
    expect(await send(`/${BUCKET}?versioning`, '<Other/>')).toMatchObject(rejected);
    expect(await send(`/${BUCKET}?delete`, '<Delete><Object><Key></Key></Object></Delete>')).toMatchObject(
      rejected,
    );
  });
});
