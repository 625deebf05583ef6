import type { CopyObjectCommandInput } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { BUCKET, failureOf, readText, useS3, VERSIONED } from '../../support/local-s3.ts';
import { hash } from '../../support/values.ts';

const s3 = useS3();
const { put, getText } = s3;
const copy = (CopySource: string, Key: string, more: Partial<CopyObjectCommandInput> = {}) =>
  s3.client.copyObject({ Bucket: BUCKET, Key, CopySource, ...more });
const head = (Key: string) => s3.head(Key, { ChecksumMode: 'ENABLED' });
const tags = async (Key: string) =>
  (await s3.client.getObjectTagging({ Bucket: BUCKET, Key })).TagSet?.map((tag) => `${tag.Key}=${tag.Value}`);

const RICH = {
  ContentType: 'video/mp4',
  CacheControl: 'no-store',
  ContentLanguage: 'de',
  Metadata: { by: 'test' },
  Tagging: 'a=1',
  StorageClass: 'STANDARD_IA',
  ServerSideEncryption: 'aws:kms',
  WebsiteRedirectLocation: '/there',
  ObjectLockLegalHoldStatus: 'ON',
  ACL: 'public-read',
} as const;

describe('CopyObject', () => {
  test('copies bytes, content headers, metadata, and tags, and nothing else', async () => {
    await put('rich', { Body: 'bytes', ...RICH });
    const { CopyObjectResult } = await copy(`/${BUCKET}/rich`, 'copy');
    expect(CopyObjectResult).toMatchObject({ ETag: `"${hash('md5', 'bytes')}"` });
    const copied = await head('copy');
    expect(copied).toMatchObject({
      ContentType: 'video/mp4',
      CacheControl: 'no-store',
      ContentLanguage: 'de',
      Metadata: { by: 'test' },
      ServerSideEncryption: 'AES256',
      TagCount: 1,
    });
    expect([copied.StorageClass, copied.WebsiteRedirectLocation, copied.ObjectLockLegalHoldStatus]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(await getText('copy')).toBe('bytes');
  });

  test('drops everything except the tags when REPLACE does not restate it', async () => {
    await put('replaced', { Body: 'bytes', ...RICH });
    await copy(`${BUCKET}/replaced`, 'replaced', {
      MetadataDirective: 'REPLACE',
      Metadata: { only: 'this' },
    });
    const replaced = await head('replaced');
    expect(replaced).toMatchObject({
      ContentType: 'binary/octet-stream',
      Metadata: { only: 'this' },
      ServerSideEncryption: 'AES256',
    });
    for (const name of [
      'CacheControl',
      'ContentLanguage',
      'StorageClass',
      'WebsiteRedirectLocation',
    ] as const) {
      expect(replaced[name]).toBe(undefined);
    }
    expect(replaced.ObjectLockLegalHoldStatus).toBe(undefined);
    expect(await tags('replaced')).toEqual(['a=1']);
    const { Grants } = await s3.client.getObjectAcl({ Bucket: BUCKET, Key: 'replaced' });
    expect(Grants?.map((grant) => grant.Permission)).toEqual(['FULL_CONTROL']);
  });

  test('keeps everything that REPLACE restates', async () => {
    await put('restated', { Body: 'bytes', ...RICH });
    const { Tagging: _, ...stated } = RICH;
    await copy(`${BUCKET}/restated`, 'restated', { MetadataDirective: 'REPLACE', ...stated });
    const { ACL, Tagging, ...headers } = RICH;
    expect(await head('restated')).toMatchObject(headers);
  });

  test('rejects a copy of an object onto itself without a change', async () => {
    await put('self');
    expect(await failureOf(copy(`${BUCKET}/self`, 'self'))).toBe('400 InvalidRequest');
    expect(
      await failureOf(copy(`${BUCKET}/self`, 'self', { TaggingDirective: 'REPLACE', Tagging: 'a=1' })),
    ).toBe('400 InvalidRequest');
    expect(await failureOf(copy(`${BUCKET}/self`, 'self', { StorageClass: 'STANDARD_IA' }))).toBe(
      'succeeded',
    );
  });

  test('replaces tags only if the directive is REPLACE', async () => {
    await put('tagged', { Tagging: 'a=1&b=2' });
    await copy(`${BUCKET}/tagged`, 'tagged-copy', { Tagging: 'ignored=yes' });
    expect(await tags('tagged-copy')).toEqual(['a=1', 'b=2']);
    await copy(`${BUCKET}/tagged`, 'tagged-copy', { TaggingDirective: 'REPLACE', Tagging: 'c=3' });
    expect(await tags('tagged-copy')).toEqual(['c=3']);
  });

  test('decodes a source with special characters', async () => {
    const Key = 'a b/ü+%?versionId=x';
    await put(Key, { Body: 'odd' });
    await copy(`${BUCKET}/${encodeURIComponent(Key)}`, 'odd-copy');
    expect(await getText('odd-copy')).toBe('odd');
  });

  test.each([
    ['of no object', 'none', '404 NoSuchKey'],
    ['without a key', '', '400 InvalidArgument'],
    ['that is not UTF-8', '%ff', '400 InvalidURI'],
  ])('rejects a source %s', async (_name, key, error) => {
    expect(await failureOf(copy(`${BUCKET}/${key}`, 'copy'))).toBe(error);
  });

  test('rejects an archived source', async () => {
    await put('cold', { StorageClass: 'GLACIER' });
    expect(await failureOf(copy(`${BUCKET}/cold`, 'warm'))).toBe('403 InvalidObjectState');
  });

  test('evaluates conditions on the source and on the destination', async () => {
    const { ETag } = await put('from');
    const { LastModified = new Date(0) } = await head('from');
    const before = new Date(LastModified.getTime() - 1000);
    const outcome = (more: Partial<CopyObjectCommandInput>, to = 'to') =>
      failureOf(copy(`${BUCKET}/from`, to, more));
    const failed = '412 PreconditionFailed';
    expect(await outcome({ CopySourceIfMatch: ETag })).toBe('succeeded');
    expect(await outcome({ CopySourceIfMatch: '"other"' })).toBe(failed);
    expect(await outcome({ CopySourceIfNoneMatch: ETag })).toBe(failed);
    expect(await outcome({ CopySourceIfModifiedSince: LastModified })).toBe(failed);
    expect(await outcome({ CopySourceIfUnmodifiedSince: before })).toBe(failed);
    expect(await outcome({ CopySourceIfMatch: ETag, CopySourceIfUnmodifiedSince: before })).toBe('succeeded');
    expect(await outcome({ IfNoneMatch: '*' })).toBe(failed);
    expect(await outcome({ IfMatch: '"other"' })).toBe(failed);
    expect(await outcome({ IfMatch: ETag })).toBe('succeeded');
    expect(await outcome({ IfMatch: ETag }, 'nowhere')).toBe('404 NoSuchKey');
  });

  test('lets one of several concurrent copies onto one ETag succeed', async () => {
    const { ETag = '' } = await put('contested', { ServerSideEncryption: 'aws:kms' });
    const rivals = Array.from({ length: 8 }, (_, at) =>
      failureOf(
        copy(`${BUCKET}/contested`, 'contested', {
          CopySourceIfMatch: ETag,
          IfMatch: ETag,
          MetadataDirective: 'REPLACE',
          Metadata: { rival: `${at}` },
          ServerSideEncryption: 'aws:kms',
        }),
      ),
    );
    expect((await Promise.all(rivals)).sort()).toEqual([
      ...Array(7).fill('412 PreconditionFailed'),
      'succeeded',
    ]);
  });

  test('returns the version IDs of the source and the copy', async () => {
    const first = await put('v', { Bucket: VERSIONED, Body: 'one' });
    await put('v', { Bucket: VERSIONED, Body: 'two' });
    const source = `${VERSIONED}/v?versionId=${first.VersionId}`;
    const restored = await copy(source, 'v', { Bucket: VERSIONED });
    expect(restored).toMatchObject({
      CopySourceVersionId: first.VersionId,
      VersionId: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(restored.VersionId).not.toBe(first.VersionId);
    expect(await getText('v', { Bucket: VERSIONED })).toBe('one');

    const marker = await s3.delete('v', { Bucket: VERSIONED });
    expect(await failureOf(copy(`${VERSIONED}/v?versionId=${marker.VersionId}`, 'x'))).toBe(
      '400 InvalidRequest',
    );
    expect(await failureOf(copy(`${VERSIONED}/v`, 'x'))).toBe('404 NoSuchKey');
    expect(await failureOf(copy(`${VERSIONED}/v?versionId=none`, 'x'))).toBe('404 NoSuchVersion');
  });

  const sum = (algorithm: string, text: string | Buffer) => hash(algorithm, text, 'base64');

  test('computes a requested checksum and otherwise copies the one of the source', async () => {
    await put('sums', { Body: 'abc', ChecksumAlgorithm: 'SHA256' });
    const asked = await copy(`${BUCKET}/sums`, 'sums-1', { ChecksumAlgorithm: 'SHA1' });
    expect(asked.CopyObjectResult).toMatchObject({
      ChecksumSHA1: sum('sha1', 'abc'),
      ChecksumType: 'FULL_OBJECT',
    });
    expect(await head('sums-1')).toMatchObject({
      ChecksumSHA1: sum('sha1', 'abc'),
      ChecksumType: 'FULL_OBJECT',
    });
    const carried = await copy(`${BUCKET}/sums`, 'sums-2');
    expect(carried.CopyObjectResult).toMatchObject({ ChecksumSHA256: sum('sha256', 'abc') });
    expect(await failureOf(copy(`${BUCKET}/sums`, 'x', { ChecksumAlgorithm: 'MD4' as 'SHA1' }))).toBe(
      '400 InvalidRequest',
    );
  });

  test('gives a copy of a multipart object an MD5 and a full checksum', async () => {
    const target = { Bucket: BUCKET, Key: 'parts' };
    const { UploadId } = await s3.client.createMultipartUpload({
      ...target,
      ChecksumAlgorithm: 'SHA1',
      ContentType: 'video/mp4',
    });
    const body = Buffer.alloc(5 * 1024 ** 2 + 3, 'parts');
    const pieces = [body.subarray(0, -3), body.subarray(-3)];
    const Parts = [];
    for (const [at, Body] of pieces.entries()) {
      const part = { PartNumber: at + 1, ChecksumSHA1: sum('sha1', Body) };
      const { ETag } = await s3.client.uploadPart({ ...target, ...part, UploadId, Body });
      Parts.push({ ...part, ETag });
    }
    await s3.client.completeMultipartUpload({ ...target, UploadId, MultipartUpload: { Parts } });
    expect(await head('parts')).toMatchObject({
      ETag: expect.stringMatching(/^"[0-9a-f]{32}-2"$/),
      ChecksumType: 'COMPOSITE',
    });
    const { CopyObjectResult } = await copy(`${BUCKET}/parts`, 'whole');
    expect(CopyObjectResult).toMatchObject({
      ETag: `"${hash('md5', body)}"`,
      ChecksumSHA1: sum('sha1', body),
      ChecksumType: 'FULL_OBJECT',
    });
  });

  test('shares bytes between copies until the last one is deleted', async () => {
    await put('shared', { Body: 'shared bytes' });
    const before = await s3.countBlobs();
    await copy(`${BUCKET}/shared`, 'shared-copy');
    expect(await s3.countBlobs()).toBe(before);
    await s3.delete('shared');
    const left = await s3.get('shared-copy');
    expect(await readText(left)).toBe('shared bytes');
    await s3.delete('shared-copy');
    await expect.poll(s3.countBlobs, { interval: 5 }).toBe(before - 1);
  });
});
