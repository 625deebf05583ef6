import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { BUCKET, failure, textOf, useS3, VERSIONED } from '../../support/local-s3.ts';
import { sendSigned } from '../../support/raw-http.ts';

const s3 = useS3();
const put = (input: Partial<PutObjectCommandInput> & { Key: string | undefined }) =>
  s3.client.send(new PutObjectCommand({ Bucket: BUCKET, ...input }));
const head = (Key: string, more = {}) =>
  s3.client.send(new HeadObjectCommand({ Bucket: BUCKET, Key, ...more }));
const get = (Key: string, more = {}) =>
  s3.client.send(new GetObjectCommand({ Bucket: BUCKET, Key, ...more }));

test('everything a writer says comes back', async () => {
  const kept = {
    ContentType: 'video/mp4',
    CacheControl: 'max-age=60',
    ContentDisposition: 'attachment; filename="a.mp4"',
    ContentEncoding: 'gzip',
    ContentLanguage: 'de',
    ExpiresString: 'Thu, 01 Dec 2044 16:00:00 GMT',
    WebsiteRedirectLocation: '/elsewhere',
    StorageClass: 'STANDARD_IA',
    ServerSideEncryption: 'aws:kms',
    SSEKMSKeyId: 'arn:aws:kms:eu-central-1:111122223333:key/k',
    BucketKeyEnabled: true,
    ObjectLockMode: 'GOVERNANCE',
    ObjectLockRetainUntilDate: new Date('2044-01-01T00:00:00Z'),
    ObjectLockLegalHoldStatus: 'ON',
    Metadata: { one: 'first', 'two-words': 'a  b' },
  } as const;
  const { ExpiresString, ...stated } = kept;
  await put({ Key: 'kept', Body: 'x', ...stated, Expires: new Date(ExpiresString), Tagging: 'a=1&b=%26' });
  expect(await head('kept')).toMatchObject({ ...kept, TagCount: 2, ContentLength: 1 });
  expect(await get('kept')).toMatchObject(kept);
});

test('what is not said has its default', async () => {
  const answer = await sendSigned({
    port: s3.port,
    method: 'PUT',
    path: `/${BUCKET}/bare`,
    headers: { 'content-length': '0' },
  });
  expect(answer.headers).toMatchObject({ etag: '"d41d8cd98f00b204e9800998ecf8427e"' });
  const { headers } = await sendSigned({ port: s3.port, method: 'HEAD', path: `/${BUCKET}/bare` });
  expect(headers).toMatchObject({
    'content-type': 'binary/octet-stream',
    'content-length': '0',
    'x-amz-server-side-encryption': 'AES256',
    'accept-ranges': 'bytes',
  });
  expect(Object.keys(headers)).not.toContain('x-amz-storage-class');
  expect(Object.keys(headers)).not.toContain('x-amz-version-id');
  expect(await textOf(await get('bare'))).toBe('');
});

test('under KMS the ETag is not the MD5', async () => {
  const plain = await put({ Key: 'etag', Body: 'same' });
  expect(plain.ETag).toBe('"51037a4a37730f52c8732586d3aaa316"');
  const secret = await put({ Key: 'etag', Body: 'same', ServerSideEncryption: 'aws:kms' });
  expect(secret.ETag).toMatch(/^"[0-9a-f]{32}"$/);
  expect(secret.ETag).not.toBe(plain.ETag);
});

test('metadata holds 2 KB', async () => {
  await put({ Key: 'meta', Body: 'x', Metadata: { m: 'x'.repeat(2047) } });
  expect(await failure(put({ Key: 'meta', Body: 'x', Metadata: { m: 'x'.repeat(2048) } }))).toBe(
    '400 MetadataTooLarge',
  );
});

test.each<[string, Partial<PutObjectCommandInput>, string]>([
  ['an unknown storage class', { StorageClass: 'COSY' as 'STANDARD' }, '400 InvalidStorageClass'],
  ['an unknown encryption', { ServerSideEncryption: 'rot13' as 'AES256' }, '400 InvalidArgument'],
  ['a retention without its date', { ObjectLockMode: 'COMPLIANCE' }, '400 InvalidArgument'],
  ['eleven tags', { Tagging: Array.from({ length: 11 }, (_, at) => `t${at}=`).join('&') }, '400 InvalidTag'],
  ['a canned ACL nobody knows', { ACL: 'everybody' as 'private' }, '400 InvalidArgument'],
  ['a canned ACL beside grants', { ACL: 'private', GrantRead: 'id="a"' }, '400 InvalidRequest'],
  ['a key of the customer', { SSECustomerAlgorithm: 'AES256' }, '501 NotImplemented'],
  ['If-None-Match on an ETag', { IfNoneMatch: '"abc"' }, '501 NotImplemented'],
])('%s is refused', async (_name, input, error) => {
  expect(await failure(put({ Key: 'refused', Body: 'x', ...input }))).toBe(error);
  expect(await failure(head('refused'))).toBe('404 NotFound');
});

test('a key has 1024 bytes at most', async () => {
  await put({ Key: 'é'.repeat(512), Body: 'x' });
  expect(await failure(put({ Key: `${'é'.repeat(512)}!`, Body: 'x' }))).toBe('400 KeyTooLongError');
});

test('conditions on a read, by the precedence of S3', async () => {
  const { ETag = '' } = await put({ Key: 'cond', Body: 'x' });
  const { LastModified = new Date(0) } = await head('cond');
  const before = new Date(LastModified.getTime() - 1000);
  const outcome = (conditions: object) => failure(get('cond', conditions));
  expect(await outcome({ IfMatch: ETag })).toBe('succeeded');
  expect(await outcome({ IfMatch: `"other", ${ETag}` })).toBe('succeeded');
  expect(await outcome({ IfMatch: '"other"' })).toBe('412 PreconditionFailed');
  expect(await outcome({ IfNoneMatch: '"other"' })).toBe('succeeded');
  expect(await outcome({ IfNoneMatch: ETag })).toMatch(/^304/);
  expect(await outcome({ IfNoneMatch: '*' })).toMatch(/^304/);
  expect(await outcome({ IfUnmodifiedSince: LastModified })).toBe('succeeded');
  expect(await outcome({ IfUnmodifiedSince: before })).toBe('412 PreconditionFailed');
  expect(await outcome({ IfModifiedSince: before })).toBe('succeeded');
  expect(await outcome({ IfModifiedSince: LastModified })).toMatch(/^304/);
  // An ETag that matches outweighs a date that does not.
  expect(await outcome({ IfMatch: ETag, IfUnmodifiedSince: before })).toBe('succeeded');
  expect(await outcome({ IfNoneMatch: '"other"', IfModifiedSince: LastModified })).toBe('succeeded');
  expect(await outcome({ IfNoneMatch: ETag, IfModifiedSince: before })).toMatch(/^304/);
});

test('conditions on a write', async () => {
  expect(await failure(put({ Key: 'once', Body: 'a', IfMatch: '"any"' }))).toBe('404 NoSuchKey');
  const { ETag = '' } = await put({ Key: 'once', Body: 'a', IfNoneMatch: '*' });
  expect(await failure(put({ Key: 'once', Body: 'b', IfNoneMatch: '*' }))).toBe('412 PreconditionFailed');
  expect(await failure(put({ Key: 'once', Body: 'b', IfMatch: '"other"' }))).toBe('412 PreconditionFailed');
  await put({ Key: 'once', Body: 'b', IfMatch: ETag });
  expect(await textOf(await get('once'))).toBe('b');
});

test('of writers that race for a key, one wins', async () => {
  const first = Array.from({ length: 12 }, (_, at) =>
    failure(put({ Key: 'race', Body: `${at}`, IfNoneMatch: '*' })),
  );
  expect((await Promise.all(first)).sort()).toEqual([
    ...Array(11).fill('412 PreconditionFailed'),
    'succeeded',
  ]);
  const { ETag = '' } = await head('race');
  const next = Array.from({ length: 12 }, (_, at) =>
    failure(put({ Key: 'race', Body: `n${at}`, IfMatch: ETag })),
  );
  expect((await Promise.all(next)).sort()).toEqual([
    ...Array(11).fill('412 PreconditionFailed'),
    'succeeded',
  ]);
});

test('a read may dress the answer', async () => {
  await put({ Key: 'dressed', Body: 'x', ContentType: 'text/plain' });
  const dressed = { ResponseContentType: 'video/mp4', ResponseContentDisposition: 'attachment; filename=ü' };
  expect(await get('dressed', dressed)).toMatchObject({ ContentType: 'video/mp4' });
  expect(await failure(get('dressed', { ResponseCacheControl: 'a\nb' }))).toBe('400 InvalidArgument');
});

test('what lies in the archive can be looked at and not read', async () => {
  for (const StorageClass of ['GLACIER', 'DEEP_ARCHIVE'] as const) {
    await put({ Key: 'archived', Body: 'x', StorageClass });
    expect(await failure(get('archived'))).toBe('403 InvalidObjectState');
    expect(await head('archived')).toMatchObject({ StorageClass });
  }
});

test('a reader that began before an overwrite or a deletion reads on', async () => {
  const old = Buffer.alloc(3_000_000, 'old');
  await put({ Key: 'moving', Body: old });
  const before = await s3.countBlobs();
  const first = await get('moving');
  await put({ Key: 'moving', Body: 'new' });
  const second = await get('moving');
  await s3.client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'moving' }));
  expect(Buffer.from((await first.Body?.transformToByteArray()) ?? []).equals(old)).toBe(true);
  expect(await textOf(second)).toBe('new');
  expect(await failure(get('moving'))).toBe('404 NoSuchKey');
  await expect.poll(s3.countBlobs, { interval: 5 }).toBe(before - 1);
});

test('errors are XML, and empty for HEAD', async () => {
  const read = await sendSigned({ port: s3.port, path: `/${BUCKET}/none%26such` });
  expect(read).toMatchObject({ status: 404, headers: { 'content-type': 'application/xml' } });
  expect(read.body).toMatch(
    /^<\?xml version="1.0" encoding="UTF-8"\?>\n<Error><Code>NoSuchKey<\/Code><Message>The specified key does not exist\.<\/Message><Key>none&amp;such<\/Key><Resource>\/plain-bucket\/none%26such<\/Resource><RequestId>[0-9A-F]{16}<\/RequestId>/,
  );
  const looked = await sendSigned({ port: s3.port, method: 'HEAD', path: `/${BUCKET}/none` });
  expect(looked).toMatchObject({ status: 404, body: '' });
});

test('what is not known is refused, not guessed', async () => {
  const refused = { status: 501, code: 'NotImplemented' };
  expect(await sendSigned({ port: s3.port, path: `/${BUCKET}?lifecycle` })).toMatchObject(refused);
  expect(await sendSigned({ port: s3.port, path: `/${BUCKET}/bare?attributes` })).toMatchObject(refused);
  expect(await sendSigned({ port: s3.port, path: `/${BUCKET}/bare?partNumber=1` })).toMatchObject(refused);
  expect(await sendSigned({ port: s3.port, method: 'PATCH', path: `/${BUCKET}/bare` })).toMatchObject(
    refused,
  );
});

test('versions: each write adds one, a delete marker hides them, dropping the marker shows them again', async () => {
  const target = { Bucket: VERSIONED, Key: 'v' };
  const first = await put({ ...target, Body: 'one' });
  const second = await put({ ...target, Body: 'two' });
  expect(await textOf(await get('v', target))).toBe('two');
  expect(await textOf(await get('v', { ...target, VersionId: first.VersionId }))).toBe('one');
  expect(await head('v', { ...target, VersionId: first.VersionId })).toMatchObject({
    VersionId: first.VersionId,
  });

  const marker = await s3.client.send(new DeleteObjectCommand(target));
  expect(marker).toMatchObject({ DeleteMarker: true, VersionId: expect.stringMatching(/^[0-9a-f]{32}$/) });
  expect(await failure(get('v', target))).toBe('404 NoSuchKey');
  expect(await failure(get('v', { ...target, VersionId: marker.VersionId }))).toBe('405 MethodNotAllowed');
  expect(await failure(get('v', { ...target, VersionId: 'f'.repeat(32) }))).toBe('404 NoSuchVersion');
  expect(await failure(put({ ...target, Body: 'x', IfMatch: first.ETag }))).toBe('404 NoSuchKey');

  const gone = await s3.client.send(new DeleteObjectCommand({ ...target, VersionId: marker.VersionId }));
  expect(gone).toMatchObject({ DeleteMarker: true, VersionId: marker.VersionId });
  expect(await textOf(await get('v', target))).toBe('two');
  await s3.client.send(new DeleteObjectCommand({ ...target, VersionId: second.VersionId }));
  expect(await textOf(await get('v', target))).toBe('one');
  expect(await failure(s3.client.send(new DeleteObjectCommand({ ...target, VersionId: 'none' })))).toBe(
    'succeeded',
  );
});

test('versioning suspended: the null version is replaced, the others stay', async () => {
  const target = { Bucket: VERSIONED, Key: 's' };
  const versioning = (Status: 'Enabled' | 'Suspended') =>
    s3.client.send(
      new PutBucketVersioningCommand({ Bucket: VERSIONED, VersioningConfiguration: { Status } }),
    );
  const { VersionId } = await put({ ...target, Body: 'kept' });
  await versioning('Suspended');
  expect(await put({ ...target, Body: 'null 1' })).toMatchObject({ VersionId: 'null' });
  await put({ ...target, Body: 'null 2' });
  await versioning('Enabled');
  const { Versions = [] } = await s3.client.send(
    new ListObjectVersionsCommand({ Bucket: VERSIONED, Prefix: 's' }),
  );
  expect(Versions.map((version) => [version.VersionId, version.IsLatest])).toEqual([
    ['null', true],
    [VersionId, false],
  ]);
  expect(await textOf(await get('s', { ...target, VersionId: 'null' }))).toBe('null 2');
});

test('many keys are deleted at once', async () => {
  const Keys = [' lead', 'trail ', 'a&<b>', 'gone already', 'cr\rlf\n'];
  for (const Key of Keys) await put({ Key, Body: 'x' });
  const Objects = Keys.map((Key) => ({ Key }));
  const loud = await s3.client.send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete: { Objects } }));
  expect(loud.Deleted).toHaveLength(Keys.length);
  for (const Key of Keys) expect(await failure(head(Key))).toBe('404 NotFound');
  const Delete = { Objects, Quiet: true };
  expect((await s3.client.send(new DeleteObjectsCommand({ Bucket: BUCKET, Delete }))).Deleted ?? []).toEqual(
    [],
  );
});

test('a deletion may be conditional', async () => {
  const { ETag } = await put({ Key: 'careful', Body: 'x' });
  const target = { Bucket: BUCKET, Key: 'careful' };
  const remove = (IfMatch?: string) =>
    failure(s3.client.send(new DeleteObjectCommand({ ...target, IfMatch })));
  expect(await remove('"other"')).toBe('412 PreconditionFailed');
  expect(await remove(ETag)).toBe('succeeded');
});
