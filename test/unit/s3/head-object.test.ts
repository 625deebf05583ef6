import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { createS3Client } from '../../../lib/s3/client.ts';
import { fullObjectSha1, unquoteETag } from '../../../lib/s3/head-object.ts';
import { readRange } from '../../../lib/s3/read-range.ts';
import { BUCKET, useStore, VERSIONED } from '../../support/fake-store.ts';
import { createBytes, failureOf, hash, never } from '../../support/values.ts';

const store = useStore();
const bytes = createBytes(200_000);

describe('finding', () => {
  test('an object: what it is, pinned to this very state', async () => {
    await store.put(BUCKET, 'a b/+é.mp4', bytes, { ContentType: 'video/mp4', Metadata: { 'Vod-Tags': 'x' } });
    const found = await store.find(BUCKET, 'a b/+é.mp4');
    expect(found).toMatchObject({
      pin: { bucket: BUCKET, key: 'a b/+é.mp4', etag: hash('md5', bytes), size: 200_000 },
      metadata: { 'vod-tags': 'x' },
      contentType: 'video/mp4',
      sha1: undefined,
      etagIsMd5: true,
    });
    expect('versionId' in found.pin).toBe(false);
  });

  test('in a bucket with versions: its current one', async () => {
    await store.put(VERSIONED, 'v.mp4', 'first');
    const { VersionId } = await store.put(VERSIONED, 'v.mp4', 'second');
    expect((await store.find(VERSIONED, 'v.mp4')).pin).toMatchObject({ versionId: VersionId, size: 6 });
  });

  test('a SHA-1 that S3 computed over the whole object spares reading it', async () => {
    await store.put(BUCKET, 'sum.mp4', bytes, { ChecksumAlgorithm: 'SHA1' });
    expect((await store.find(BUCKET, 'sum.mp4')).sha1).toBe(hash('sha1', bytes));
  });

  test('the ETag of a multipart object is no MD5, nor is one under KMS', async () => {
    await store.putInParts(BUCKET, 'parts.mp4', bytes);
    await store.put(BUCKET, 'kms.mp4', bytes, { ServerSideEncryption: 'aws:kms' });
    const [parts, kms] = [await store.find(BUCKET, 'parts.mp4'), await store.find(BUCKET, 'kms.mp4')];
    expect([parts.etagIsMd5, kms.etagIsMd5]).toEqual([false, false]);
    expect(parts.pin.etag).toMatch(/^[0-9a-f]{32}-1$/);
  });

  test.each([
    ['no such key', BUCKET, 'ObjectDeleted'],
    ['no such bucket', 'nowhere', 'ObjectDeleted'],
  ])('%s: ObjectDeleted', async (_, bucket, name) => {
    expect(await failureOf(store.find(bucket, 'none.mp4'))).toMatchObject({
      name,
      message: expect.stringContaining(`HEAD s3://${bucket}/none.mp4: 404`),
    });
  });
});

test('only a checksum of the full object says something of the whole', () => {
  const ChecksumSHA1 = hash('sha1', bytes, 'base64');
  expect(fullObjectSha1({ ChecksumSHA1, ChecksumType: 'FULL_OBJECT' })).toBe(hash('sha1', bytes));
  expect(fullObjectSha1({ ChecksumSHA1, ChecksumType: 'COMPOSITE' })).toBe(undefined);
  expect(fullObjectSha1({ ChecksumSHA1, ChecksumType: undefined })).toBe(undefined);
  expect(fullObjectSha1({ ChecksumSHA1: 'AAAA', ChecksumType: 'FULL_OBJECT' })).toBe(undefined);
  expect(fullObjectSha1({ ChecksumType: 'FULL_OBJECT' })).toBe(undefined);
  expect(fullObjectSha1(undefined)).toBe(undefined);
});

test.each([
  ['"abc"', 'abc'],
  ['W/"abc"', 'abc'],
  ['abc', 'abc'],
  ['"a"b"', 'a"b'],
  [undefined, ''],
])('the ETag %s is %s in an event', (etag, plain) => {
  expect(unquoteETag(etag)).toBe(plain);
});

describe('reading a range', () => {
  beforeAll(() => store.put(BUCKET, 'read.mp4', bytes));
  const read = async (offset: number, size: number) =>
    readRange(store.client, (await store.find(BUCKET, 'read.mp4')).pin, { offset, size }, never);

  test('exactly its bytes, wherever it lies', async () => {
    const anyRange = fc
      .tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: bytes.length }))
      .map(([offset, size]) => ({ offset, size: Math.min(size, bytes.length - offset) }));
    await fc.assert(
      fc.asyncProperty(anyRange, async ({ offset, size }) => {
        expect(bytes.subarray(offset, offset + size).equals(await read(offset, size))).toBe(true);
      }),
      {
        numRuns: 20,
        examples: [
          [{ offset: 0, size: 1 }],
          [{ offset: bytes.length - 1, size: 1 }],
          [{ offset: 0, size: bytes.length }],
        ],
      },
    );
  });

  test('of an object that was overwritten: ObjectChanged', async () => {
    await store.put(BUCKET, 'over.mp4', 'one');
    const { pin } = await store.find(BUCKET, 'over.mp4');
    await store.put(BUCKET, 'over.mp4', 'two');
    expect(await failureOf(readRange(store.client, pin, { offset: 0, size: 3 }, never))).toMatchObject({
      name: 'ObjectChanged',
      message: expect.stringContaining(`GET s3://${BUCKET}/over.mp4 bytes=0-2: 412`),
    });
  });

  test('of an object that was deleted: ObjectDeleted', async () => {
    await store.put(BUCKET, 'deleted.mp4', 'one');
    const { pin } = await store.find(BUCKET, 'deleted.mp4');
    await store.client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'deleted.mp4' }));
    expect((await failureOf(readRange(store.client, pin, { offset: 0, size: 3 }, never))).name).toBe(
      'ObjectDeleted',
    );
  });

  test('of a version that is no longer the current one: still those bytes', async () => {
    await store.put(VERSIONED, 'old.mp4', 'one');
    const { pin } = await store.find(VERSIONED, 'old.mp4');
    await store.put(VERSIONED, 'old.mp4', 'two');
    expect(String(await readRange(store.client, pin, { offset: 0, size: 3 }, never))).toBe('one');
  });

  test('of an archived object: UnsupportedObject', async () => {
    await store.put(BUCKET, 'cold.mp4', 'one', { StorageClass: 'GLACIER' });
    const { pin } = await store.find(BUCKET, 'cold.mp4');
    expect(await failureOf(readRange(store.client, pin, { offset: 0, size: 3 }, never))).toMatchObject({
      name: 'UnsupportedObject',
      message: expect.stringContaining('restore it'),
    });
  });

  test('after its signal: the reason of the signal', async () => {
    const { pin } = await store.find(BUCKET, 'read.mp4');
    const reason = new Error('no more time');
    await expect(
      readRange(store.client, pin, { offset: 0, size: 3 }, AbortSignal.abort(reason)),
    ).rejects.toBe(reason);
  });
});

test('with a secret key that is not the account’s: StorageRejected, which does not tell the key', async () => {
  const wrong = createS3Client({ endpoint: store.endpoint() });
  wrong.config.credentials = async () => ({ accessKeyId: 'AKIDLOCAL', secretAccessKey: 'not-the-key' });
  const { name, message } = await failureOf(
    readRange(wrong, { bucket: BUCKET, key: 'k', etag: 'e', size: 9 }, { offset: 0, size: 3 }, never),
  );
  expect([name, message]).toEqual(['StorageRejected', expect.stringContaining('403')]);
  expect(message).not.toContain('not-the-key');
  wrong.destroy();
});
