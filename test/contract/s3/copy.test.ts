import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  type CopyObjectCommandInput,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectAclCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { BUCKET, failure, textOf, useS3, VERSIONED } from '../../support/local-s3.ts';
import { hash } from '../../support/values.ts';

const s3 = useS3();
const put = (input: Partial<PutObjectCommandInput> & { Key: string | undefined }) =>
  s3.client.send(new PutObjectCommand({ Bucket: BUCKET, ...input }));
const copy = (CopySource: string, Key: string, more: Partial<CopyObjectCommandInput> = {}) =>
  s3.client.send(new CopyObjectCommand({ Bucket: BUCKET, Key, CopySource, ...more }));
const head = (Key: string) =>
  s3.client.send(new HeadObjectCommand({ Bucket: BUCKET, Key, ChecksumMode: 'ENABLED' }));
const tags = async (Key: string) =>
  (await s3.client.send(new GetObjectTaggingCommand({ Bucket: BUCKET, Key }))).TagSet?.map(
    (tag) => `${tag.Key}=${tag.Value}`,
  );

const RICH = {
  ContentType: 'video/mp4',
  CacheControl: 'no-store',
  ContentLanguage: 'de',
  Metadata: { by: 'hand' },
  Tagging: 'a=1',
  StorageClass: 'STANDARD_IA',
  ServerSideEncryption: 'aws:kms',
  WebsiteRedirectLocation: '/there',
  ObjectLockLegalHoldStatus: 'ON',
  ACL: 'public-read',
} as const;

test('a copy takes bytes, content headers, metadata and tags along, and nothing else', async () => {
  await put({ Key: 'rich', Body: 'bytes', ...RICH });
  const { CopyObjectResult } = await copy(`/${BUCKET}/rich`, 'copy');
  expect(CopyObjectResult).toMatchObject({ ETag: `"${hash('md5', 'bytes')}"` });
  const copied = await head('copy');
  expect(copied).toMatchObject({
    ContentType: 'video/mp4',
    CacheControl: 'no-store',
    ContentLanguage: 'de',
    Metadata: { by: 'hand' },
    ServerSideEncryption: 'AES256',
    TagCount: 1,
  });
  expect([copied.StorageClass, copied.WebsiteRedirectLocation, copied.ObjectLockLegalHoldStatus]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(await textOf(await s3.client.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'copy' })))).toBe(
    'bytes',
  );
});

test('onto itself with REPLACE, what is not restated is gone, but for the tags', async () => {
  await put({ Key: 'replaced', Body: 'bytes', ...RICH });
  await copy(`${BUCKET}/replaced`, 'replaced', { MetadataDirective: 'REPLACE', Metadata: { only: 'this' } });
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
  const { Grants } = await s3.client.send(new GetObjectAclCommand({ Bucket: BUCKET, Key: 'replaced' }));
  expect(Grants?.map((grant) => grant.Permission)).toEqual(['FULL_CONTROL']);
});

test('what is restated stays', async () => {
  await put({ Key: 'restated', Body: 'bytes', ...RICH });
  const { Tagging: _, ...stated } = RICH;
  await copy(`${BUCKET}/restated`, 'restated', { MetadataDirective: 'REPLACE', ...stated });
  const { ACL, Tagging, ...headers } = RICH;
  expect(await head('restated')).toMatchObject(headers);
});

test('onto itself without a change is refused', async () => {
  await put({ Key: 'self', Body: 'x' });
  expect(await failure(copy(`${BUCKET}/self`, 'self'))).toBe('400 InvalidRequest');
  expect(await failure(copy(`${BUCKET}/self`, 'self', { TaggingDirective: 'REPLACE', Tagging: 'a=1' }))).toBe(
    '400 InvalidRequest',
  );
  expect(await failure(copy(`${BUCKET}/self`, 'self', { StorageClass: 'STANDARD_IA' }))).toBe('succeeded');
});

test('tags are replaced when the directive says so', async () => {
  await put({ Key: 'tagged', Body: 'x', Tagging: 'a=1&b=2' });
  await copy(`${BUCKET}/tagged`, 'tagged-copy', { Tagging: 'ignored=yes' });
  expect(await tags('tagged-copy')).toEqual(['a=1', 'b=2']);
  await copy(`${BUCKET}/tagged`, 'tagged-copy', { TaggingDirective: 'REPLACE', Tagging: 'c=3' });
  expect(await tags('tagged-copy')).toEqual(['c=3']);
});

test('a source is named with everything encoded', async () => {
  const Key = 'a b/ü+%?versionId=x';
  await put({ Key, Body: 'odd' });
  await copy(`${BUCKET}/${encodeURIComponent(Key)}`, 'odd-copy');
  expect(await textOf(await s3.client.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'odd-copy' })))).toBe(
    'odd',
  );
});

test.each([
  ['of no object', 'none', '404 NoSuchKey'],
  ['without a key', '', '400 InvalidArgument'],
  ['that is not UTF-8', '%ff', '400 InvalidURI'],
])('a source %s is refused', async (_name, key, error) => {
  expect(await failure(copy(`${BUCKET}/${key}`, 'copy'))).toBe(error);
});

test('a source in the archive is refused', async () => {
  await put({ Key: 'cold', Body: 'x', StorageClass: 'GLACIER' });
  expect(await failure(copy(`${BUCKET}/cold`, 'warm'))).toBe('403 InvalidObjectState');
});

test('conditions on the source and on the destination', async () => {
  const { ETag } = await put({ Key: 'from', Body: 'x' });
  const { LastModified = new Date(0) } = await head('from');
  const before = new Date(LastModified.getTime() - 1000);
  const outcome = (more: Partial<CopyObjectCommandInput>, to = 'to') =>
    failure(copy(`${BUCKET}/from`, to, more));
  const refused = '412 PreconditionFailed';
  expect(await outcome({ CopySourceIfMatch: ETag })).toBe('succeeded');
  expect(await outcome({ CopySourceIfMatch: '"other"' })).toBe(refused);
  expect(await outcome({ CopySourceIfNoneMatch: ETag })).toBe(refused);
  expect(await outcome({ CopySourceIfModifiedSince: LastModified })).toBe(refused);
  expect(await outcome({ CopySourceIfUnmodifiedSince: before })).toBe(refused);
  expect(await outcome({ CopySourceIfMatch: ETag, CopySourceIfUnmodifiedSince: before })).toBe('succeeded');
  expect(await outcome({ IfNoneMatch: '*' })).toBe(refused);
  expect(await outcome({ IfMatch: '"other"' })).toBe(refused);
  expect(await outcome({ IfMatch: ETag })).toBe('succeeded');
  expect(await outcome({ IfMatch: ETag }, 'nowhere')).toBe('404 NoSuchKey');
});

test('of copies that race onto one ETag, one wins', async () => {
  const { ETag = '' } = await put({ Key: 'contested', Body: 'x', ServerSideEncryption: 'aws:kms' });
  const rivals = Array.from({ length: 8 }, (_, at) =>
    failure(
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

test('versions are named at both ends', async () => {
  const first = await put({ Bucket: VERSIONED, Key: 'v', Body: 'one' });
  await put({ Bucket: VERSIONED, Key: 'v', Body: 'two' });
  const source = `${VERSIONED}/v?versionId=${first.VersionId}`;
  const restored = await copy(source, 'v', { Bucket: VERSIONED });
  expect(restored).toMatchObject({
    CopySourceVersionId: first.VersionId,
    VersionId: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  expect(restored.VersionId).not.toBe(first.VersionId);
  expect(await textOf(await s3.client.send(new GetObjectCommand({ Bucket: VERSIONED, Key: 'v' })))).toBe(
    'one',
  );

  const marker = await s3.client.send(new DeleteObjectCommand({ Bucket: VERSIONED, Key: 'v' }));
  expect(await failure(copy(`${VERSIONED}/v?versionId=${marker.VersionId}`, 'x'))).toBe('400 InvalidRequest');
  expect(await failure(copy(`${VERSIONED}/v`, 'x'))).toBe('404 NoSuchKey');
  expect(await failure(copy(`${VERSIONED}/v?versionId=none`, 'x'))).toBe('404 NoSuchVersion');
});

const sum = (algorithm: string, text: string | Buffer) => hash(algorithm, text, 'base64');

test('a checksum is computed when asked for, and carried when not', async () => {
  await put({ Key: 'sums', Body: 'abc', ChecksumAlgorithm: 'SHA256' });
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
  expect(await failure(copy(`${BUCKET}/sums`, 'x', { ChecksumAlgorithm: 'MD4' as 'SHA1' }))).toBe(
    '400 InvalidRequest',
  );
});

test('a copy of a multipart object has an MD5 and a checksum of its own', async () => {
  const target = { Bucket: BUCKET, Key: 'parts' };
  const { UploadId } = await s3.client.send(
    new CreateMultipartUploadCommand({ ...target, ChecksumAlgorithm: 'SHA1', ContentType: 'video/mp4' }),
  );
  const body = Buffer.alloc(5 * 1024 ** 2 + 3, 'parts');
  const pieces = [body.subarray(0, -3), body.subarray(-3)];
  const Parts = [];
  for (const [at, Body] of pieces.entries()) {
    const part = { PartNumber: at + 1, ChecksumSHA1: sum('sha1', Body) };
    const { ETag } = await s3.client.send(new UploadPartCommand({ ...target, ...part, UploadId, Body }));
    Parts.push({ ...part, ETag });
  }
  await s3.client.send(
    new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }),
  );
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

test('copies share bytes until the last of them goes', async () => {
  await put({ Key: 'shared', Body: 'shared bytes' });
  const before = await s3.countBlobs();
  await copy(`${BUCKET}/shared`, 'shared-copy');
  expect(await s3.countBlobs()).toBe(before);
  await s3.client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'shared' }));
  const left = await s3.client.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'shared-copy' }));
  expect(await textOf(left)).toBe('shared bytes');
  await s3.client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'shared-copy' }));
  await expect.poll(s3.countBlobs, { interval: 5 }).toBe(before - 1);
});
