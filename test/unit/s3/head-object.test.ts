import { describe, expect, test } from 'vitest';
import { fullObjectSha1, unquoteETag } from '../../../lib/s3/head-object.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, useStore, VERSIONED } from '../../support/fake-store.ts';
import { createBytes, hash } from '../../support/values.ts';

const store = useStore();
const bytes = createBytes(20_000);

describe('headObject', () => {
  test('returns the properties of the object and pins its ETag and size', async () => {
    await store.put(BUCKET, 'a b/+é.mp4', bytes, { ContentType: 'video/mp4', Metadata: { 'Vod-Tags': 'x' } });
    const found = await store.find(BUCKET, 'a b/+é.mp4');
    expect(found).toMatchObject({
      pin: { bucket: BUCKET, key: 'a b/+é.mp4', etag: hash('md5', bytes), size: 20_000 },
      metadata: { 'vod-tags': 'x' },
      contentType: 'video/mp4',
      sha1: undefined,
      etagIsMd5: true,
    });
    expect('versionId' in found.pin).toBe(false);
  });

  test('returns the current version in a bucket with versioning', async () => {
    await store.put(VERSIONED, 'v.mp4', 'first');
    const { VersionId } = await store.put(VERSIONED, 'v.mp4', 'second');
    expect((await store.find(VERSIONED, 'v.mp4')).pin).toMatchObject({ versionId: VersionId, size: 6 });
  });

  test('returns a SHA-1 that S3 computed over the whole object', async () => {
    await store.put(BUCKET, 'sum.mp4', bytes, { ChecksumAlgorithm: 'SHA1' });
    expect((await store.find(BUCKET, 'sum.mp4')).sha1).toBe(hash('sha1', bytes));
  });

  test('does not take the ETag of a multipart object for an MD5', async () => {
    await store.putInParts(BUCKET, 'parts.mp4', bytes);
    const { pin, etagIsMd5 } = await store.find(BUCKET, 'parts.mp4');
    expect(etagIsMd5).toBe(false);
    expect(pin.etag).toMatch(/^[0-9a-f]{32}-1$/);
  });

  test.each(['aws:kms', 'aws:kms:dsse'] as const)('takes no ETag under %s for an MD5', async (encryption) => {
    await store.put(BUCKET, 'kms.mp4', bytes, { ServerSideEncryption: encryption });
    expect((await store.find(BUCKET, 'kms.mp4')).etagIsMd5).toBe(false);
  });

  test.each([
    ['the key does not exist', BUCKET],
    ['the bucket does not exist', 'nowhere'],
    ['the current version is a delete marker', VERSIONED],
  ])('throws ObjectDeleted when %s', async (_, bucket) => {
    if (bucket === VERSIONED) {
      await store.put(bucket, 'none.mp4', 'one');
      await store.remove(bucket, 'none.mp4');
    }
    await expectFailure(store.find(bucket, 'none.mp4'), 'ObjectDeleted', `HEAD s3://${bucket}/none.mp4: 404`);
  });
});

const ChecksumSHA1 = hash('sha1', bytes, 'base64');
test.each([
  [hash('sha1', bytes), { ChecksumSHA1, ChecksumType: 'FULL_OBJECT' as const }],
  [undefined, { ChecksumSHA1, ChecksumType: 'COMPOSITE' as const }],
  [undefined, { ChecksumSHA1, ChecksumType: undefined }],
  [undefined, { ChecksumSHA1: 'AAAA', ChecksumType: 'FULL_OBJECT' as const }],
  [undefined, { ChecksumType: 'FULL_OBJECT' as const }],
  [undefined, undefined],
])('fullObjectSha1 returns %s for %o', (expected, response) => {
  expect(fullObjectSha1(response)).toBe(expected);
});

test.each([
  ['"abc"', 'abc'],
  ['W/"abc"', 'abc'],
  ['abc', 'abc'],
  ['"a"b"', 'a"b'],
  [undefined, ''],
])('unquoteETag turns %s into %s', (etag, unquoted) => {
  expect(unquoteETag(etag)).toBe(unquoted);
});
