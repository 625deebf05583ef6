import type { ObjectAttributes, PutObjectCommandInput } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { BUCKET, failureOf, readText, useS3, VERSIONED } from '../../support/local-s3.ts';

const s3 = useS3();
const { put, head, get, getText } = s3;

describe('PutObject', () => {
  test('stores all attributes of the request', async () => {
    const attributes = {
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
      ObjectLockEventHold: 'ON',
      ObjectLockEventHoldDurationYears: 7,
      Metadata: { one: 'first', 'two-words': 'a  b' },
    } as const;
    const { ExpiresString, ...input } = attributes;
    await put('stored', { ...input, Expires: new Date(ExpiresString), Tagging: 'a=1&b=%40' });
    expect(await head('stored')).toMatchObject({ ...attributes, TagCount: 2, ContentLength: 1 });
    expect(await get('stored')).toMatchObject(attributes);
  });

  test.each([
    ['gzip', 'gzip'],
    ['deflate, gzip', 'deflate, gzip'],
    ['gzip, aws-chunked', 'gzip'],
    ['aws-chunked,gzip', 'gzip'],
    ['aws-chunked, deflate, gzip', 'deflate, gzip'],
    ['aws-chunked', undefined],
    ['aws-chunked, aws-chunked', undefined],
  ])('stores Content-Encoding %s as %s', async (ContentEncoding, stored) => {
    const headers = { 'content-encoding': ContentEncoding };
    await s3.sendSigned({ method: 'PUT', path: `/${BUCKET}/encoded`, headers, body: 'x' });
    const found = await s3.sendSigned({ method: 'HEAD', path: `/${BUCKET}/encoded` });
    expect(found.headers['content-encoding']).toBe(stored);
  });

  const HOLD = 'x-amz-object-lock-event-hold';
  test.each([
    { [HOLD]: 'on' },
    { [HOLD]: 'ON', [`${HOLD}-duration-days`]: '0' },
    { [HOLD]: 'ON', [`${HOLD}-duration-years`]: '1.5' },
    { [HOLD]: 'ON', [`${HOLD}-duration-days`]: '30', [`${HOLD}-duration-years`]: '7' },
  ])('rejects the event hold %j', async (headers) => {
    const { status, code } = await s3.sendSigned({ method: 'PUT', path: `/${BUCKET}/held`, headers });
    expect(`${status} ${code}`).toBe('400 InvalidArgument');
  });

  const SSE = 'x-amz-server-side-encryption';
  test.each<[Record<string, string>, string]>([
    [{ [SSE]: 'aes:kms' }, '400 InvalidArgument'],
    [{ [SSE]: 'AES256', [`${SSE}-aws-kms-key-id`]: 'key' }, '400 InvalidArgument'],
    [{ [`${SSE}-aws-kms-key-id`]: 'key' }, '400 InvalidArgument'],
    [{ [SSE]: 'AES256', [`${SSE}-bucket-key-enabled`]: 'true' }, '400 InvalidArgument'],
    [{ [SSE]: 'AES256', [`${SSE}-customer-algorithm`]: 'AES256' }, '400 InvalidArgument'],
    [{ [`${SSE}-customer-algorithm`]: 'AES256' }, '501 NotImplemented'],
    [{ [SSE]: 'aws:kms', [`${SSE}-context`]: 'e30=' }, '501 NotImplemented'],
  ])('rejects the encryption %j', async (headers, expected) => {
    const { status, code } = await s3.sendSigned({ method: 'PUT', path: `/${BUCKET}/refused`, headers });
    expect(`${status} ${code}`).toBe(expected);
  });

  test('uses defaults for missing attributes', async () => {
    const response = await s3.sendSigned({
      method: 'PUT',
      path: `/${BUCKET}/bare`,
    });
    expect(response.headers).toMatchObject({ etag: '"d41d8cd98f00b204e9800998ecf8427e"' });
    const { headers } = await s3.sendSigned({ method: 'HEAD', path: `/${BUCKET}/bare` });
    expect(headers).toMatchObject({
      'content-type': 'binary/octet-stream',
      'content-length': '0',
      'x-amz-server-side-encryption': 'AES256',
      'accept-ranges': 'bytes',
    });
    expect(Object.keys(headers)).not.toContain('x-amz-storage-class');
    expect(Object.keys(headers)).not.toContain('x-amz-version-id');
    expect(await getText('bare')).toBe('');
  });

  test('returns an ETag that is not the MD5 under KMS', async () => {
    const plain = await put('etag', { Body: 'same' });
    expect(plain.ETag).toBe('"51037a4a37730f52c8732586d3aaa316"');
    const secret = await put('etag', { Body: 'same', ServerSideEncryption: 'aws:kms' });
    expect(secret.ETag).toMatch(/^"[0-9a-f]{32}"$/);
    expect(secret.ETag).not.toBe(plain.ETag);
  });

  test('accepts 2 KB of metadata', async () => {
    await put('meta', { Metadata: { m: 'x'.repeat(2047) } });
    expect(await failureOf(put('meta', { Metadata: { m: 'x'.repeat(2048) } }))).toBe('400 MetadataTooLarge');
  });

  test.each<[string, Partial<PutObjectCommandInput>, string]>([
    ['an unknown storage class', { StorageClass: 'COSY' as 'STANDARD' }, '400 InvalidStorageClass'],
    ['an unknown encryption', { ServerSideEncryption: 'rot13' as 'AES256' }, '400 InvalidArgument'],
    ['a retention without its date', { ObjectLockMode: 'COMPLIANCE' }, '400 InvalidArgument'],
    [
      'eleven tags',
      { Tagging: Array.from({ length: 11 }, (_, at) => `t${at}=`).join('&') },
      '400 InvalidTag',
    ],
    ['an unknown canned ACL', { ACL: 'everybody' as 'private' }, '400 InvalidArgument'],
    ['a canned ACL together with grants', { ACL: 'private', GrantRead: 'id="a"' }, '400 InvalidRequest'],
    ['a customer-provided key', { SSECustomerAlgorithm: 'AES256' }, '501 NotImplemented'],
    ['If-None-Match on an ETag', { IfNoneMatch: '"abc"' }, '501 NotImplemented'],
  ])('rejects %s', async (_name, input, error) => {
    expect(await failureOf(put('rejected', { ...input }))).toBe(error);
    expect(await failureOf(head('rejected'))).toBe('404 NotFound');
  });

  test('accepts keys of at most 1024 bytes', async () => {
    await put('é'.repeat(512));
    expect(await failureOf(put(`${'é'.repeat(512)}!`))).toBe('400 KeyTooLongError');
  });
});

describe('GetObject', () => {
  test('evaluates conditions with the precedence of S3', async () => {
    const { ETag = '' } = await put('cond');
    const { LastModified = new Date(0) } = await head('cond');
    const before = new Date(LastModified.getTime() - 1000);
    const outcome = (conditions: object) => failureOf(get('cond', conditions));
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
    // A condition on the ETag overrides one on the date.
    expect(await outcome({ IfMatch: ETag, IfUnmodifiedSince: before })).toBe('succeeded');
    expect(await outcome({ IfNoneMatch: '"other"', IfModifiedSince: LastModified })).toBe('succeeded');
    expect(await outcome({ IfNoneMatch: ETag, IfModifiedSince: before })).toMatch(/^304/);
  });
});

describe('PutObject with conditions', () => {
  test('evaluates If-Match and If-None-Match', async () => {
    expect(await failureOf(put('once', { Body: 'a', IfMatch: '"any"' }))).toBe('404 NoSuchKey');
    const { ETag = '' } = await put('once', { Body: 'a', IfNoneMatch: '*' });
    expect(await failureOf(put('once', { Body: 'b', IfNoneMatch: '*' }))).toBe('412 PreconditionFailed');
    expect(await failureOf(put('once', { Body: 'b', IfMatch: '"other"' }))).toBe('412 PreconditionFailed');
    await put('once', { Body: 'b', IfMatch: ETag });
    expect(await getText('once')).toBe('b');
  });

  test('lets one of several concurrent writers of a key succeed', async () => {
    const first = Array.from({ length: 12 }, (_, at) =>
      failureOf(put('race', { Body: `${at}`, IfNoneMatch: '*' })),
    );
    expect((await Promise.all(first)).sort()).toEqual([
      ...Array(11).fill('412 PreconditionFailed'),
      'succeeded',
    ]);
    const { ETag = '' } = await head('race');
    const next = Array.from({ length: 12 }, (_, at) =>
      failureOf(put('race', { Body: `n${at}`, IfMatch: ETag })),
    );
    expect((await Promise.all(next)).sort()).toEqual([
      ...Array(11).fill('412 PreconditionFailed'),
      'succeeded',
    ]);
  });
});

describe('GetObject and HeadObject', () => {
  test('apply response-content-type and similar parameters', async () => {
    await put('overridden', { ContentType: 'text/plain' });
    const overrides = {
      ResponseContentType: 'video/mp4',
      ResponseContentDisposition: 'attachment; filename=ü',
    };
    expect(await get('overridden', overrides)).toMatchObject({ ContentType: 'video/mp4' });
    expect(await failureOf(get('overridden', { ResponseCacheControl: 'a\nb' }))).toBe('400 InvalidArgument');
  });

  test('allow HEAD but not GET of an archived object', async () => {
    for (const StorageClass of ['GLACIER', 'DEEP_ARCHIVE'] as const) {
      await put('archived', { StorageClass });
      expect(await failureOf(get('archived'))).toBe('403 InvalidObjectState');
      expect(await head('archived')).toMatchObject({ StorageClass });
    }
  });

  test('return all bytes to a reader that started before an overwrite or a deletion', async () => {
    const old = Buffer.alloc(3_000_000, 'old');
    await put('moving', { Body: old });
    const before = await s3.countBlobs();
    const first = await get('moving');
    await put('moving', { Body: 'new' });
    const second = await get('moving');
    await s3.delete('moving');
    expect(Buffer.from((await first.Body?.transformToByteArray()) ?? []).equals(old)).toBe(true);
    expect(await readText(second)).toBe('new');
    expect(await failureOf(get('moving'))).toBe('404 NoSuchKey');
    await expect.poll(s3.countBlobs, { interval: 5 }).toBe(before - 1);
  });

  test('return errors as XML, and without a body for HEAD', async () => {
    const read = await s3.sendSigned({ path: `/${BUCKET}/none%26such` });
    expect(read).toMatchObject({ status: 404, headers: { 'content-type': 'application/xml' } });
    expect(read.body).toMatch(
      /^<\?xml version="1.0" encoding="UTF-8"\?>\n<Error><Code>NoSuchKey<\/Code><Message>The specified key does not exist\.<\/Message><Key>none&amp;such<\/Key><Resource>\/plain-bucket\/none%26such<\/Resource><RequestId>[0-9A-F]{16}<\/RequestId>/,
    );
    const headResponse = await s3.sendSigned({ method: 'HEAD', path: `/${BUCKET}/none` });
    expect(headResponse).toMatchObject({ status: 404, body: '' });
  });

  test('reject unsupported requests with 501', async () => {
    const rejected = { status: 501, code: 'NotImplemented' };
    expect(await s3.sendSigned({ path: `/${BUCKET}?cors` })).toMatchObject(rejected);
    expect(await s3.sendSigned({ path: `/${BUCKET}/bare?select` })).toMatchObject(rejected);
    expect(await s3.sendSigned({ method: 'PATCH', path: `/${BUCKET}/bare` })).toMatchObject(rejected);
  });
});

describe('conditional deletion', () => {
  test.each([
    ['of the ETag', (etag: string) => etag, 'deleted'],
    ['of the ETag without quotes', (etag: string) => etag.replaceAll('"', ''), 'deleted'],
    ['of any ETag', () => '*', 'deleted'],
    ['of another ETag', () => '"other"', 'PreconditionFailed'],
  ])('with a condition %s', async (_name, condition, expected) => {
    const { ETag = '' } = await s3.put('conditional');
    const match = condition(ETag);
    const result = await s3.client.deleteObjects({
      Bucket: BUCKET,
      Delete: { Objects: [{ Key: 'conditional', ETag: match }] },
    });
    expect(result.Errors?.[0]?.Code ?? 'deleted').toBe(expected);
    expect(await failureOf(s3.head('conditional'))).toBe(
      expected === 'deleted' ? '404 NotFound' : 'succeeded',
    );
    const again = expected === 'deleted' ? 'succeeded' : '412 PreconditionFailed';
    // A condition on a key that does not exist succeeds.
    expect(await failureOf(s3.delete('conditional', { IfMatch: match }))).toBe(again);
  });

  test('matches a delete marker only by *', async () => {
    const target = { Bucket: VERSIONED, IfMatch: '"other"' };
    expect(await s3.delete('hidden', target)).not.toHaveProperty('DeleteMarker');
    await s3.put('hidden', { Bucket: VERSIONED });
    await s3.delete('hidden', { Bucket: VERSIONED });
    expect(await failureOf(s3.delete('hidden', target))).toBe('412 PreconditionFailed');
    expect(await failureOf(s3.delete('hidden', { ...target, IfMatch: '*' }))).toBe('succeeded');
  });

  test('compares the version that it names', async () => {
    const { ETag, VersionId } = await s3.put('conditional', { Bucket: VERSIONED });
    await s3.put('conditional', { Bucket: VERSIONED, Body: 'newer' });
    const remove = (IfMatch: string | undefined) =>
      failureOf(s3.delete('conditional', { Bucket: VERSIONED, VersionId, IfMatch }));
    expect(await remove('"other"')).toBe('412 PreconditionFailed');
    expect(await remove(ETag)).toBe('succeeded');
  });

  test.each([{ Size: 1 }, { LastModifiedTime: new Date(0) }])('by %j returns 501', async (condition) => {
    const Delete = { Objects: [{ Key: 'conditional', ...condition }] };
    expect(await failureOf(s3.client.deleteObjects({ Bucket: BUCKET, Delete }))).toBe('501 NotImplemented');
  });
});

describe('an object that was written in one request', () => {
  test('is its own part 1 and has no parts as attributes', async () => {
    const { ETag = '' } = await s3.put('single', { Body: 'whole' });
    expect(await s3.head('single', { PartNumber: 1 })).toMatchObject({ ContentLength: 5, ETag });
    expect((await s3.head('single', { PartNumber: 1 })).PartsCount).toBeUndefined();
    expect(await s3.getText('single', { PartNumber: 1 })).toBe('whole');
    expect(await failureOf(s3.get('single', { PartNumber: 2 }))).toBe('416 InvalidPartNumber');
    const target = { Bucket: BUCKET, Key: 'single' };
    const ObjectAttributes: ObjectAttributes[] = ['ETag', 'ObjectParts', 'Checksum'];
    const attributes = await s3.client.getObjectAttributes({ ...target, ObjectAttributes });
    expect(attributes).not.toHaveProperty('ObjectParts');
    expect(attributes).toMatchObject({
      ETag: ETag.replaceAll('"', ''),
      Checksum: { ChecksumCRC32: expect.any(String), ChecksumType: 'FULL_OBJECT' },
    });
  });
});

describe('versions', () => {
  test('are added by each write, hidden by a delete marker, and visible again without it', async () => {
    const target = { Bucket: VERSIONED };
    const first = await put('v', { ...target, Body: 'one' });
    const second = await put('v', { ...target, Body: 'two' });
    expect(await getText('v', target)).toBe('two');
    expect(await getText('v', { ...target, VersionId: first.VersionId })).toBe('one');
    expect(await head('v', { ...target, VersionId: first.VersionId })).toMatchObject({
      VersionId: first.VersionId,
    });

    const marker = await s3.delete('v', target);
    expect(marker).toMatchObject({ DeleteMarker: true, VersionId: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect(await failureOf(get('v', target))).toBe('404 NoSuchKey');
    expect(await failureOf(get('v', { ...target, VersionId: marker.VersionId }))).toBe(
      '405 MethodNotAllowed',
    );
    expect(await failureOf(get('v', { ...target, VersionId: 'f'.repeat(32) }))).toBe('404 NoSuchVersion');
    expect(await failureOf(put('v', { ...target, Body: 'x', IfMatch: first.ETag }))).toBe('404 NoSuchKey');

    const deleted = await s3.delete('v', { ...target, VersionId: marker.VersionId });
    expect(deleted).toMatchObject({ DeleteMarker: true, VersionId: marker.VersionId });
    expect(await getText('v', target)).toBe('two');
    await s3.delete('v', { ...target, VersionId: second.VersionId });
    expect(await getText('v', target)).toBe('one');
    expect(await failureOf(s3.delete('v', { ...target, VersionId: 'none' }))).toBe('succeeded');
  });

  test('replace only the null version while versioning is suspended', async () => {
    const target = { Bucket: VERSIONED };
    const versioning = (Status: 'Enabled' | 'Suspended') =>
      s3.client.putBucketVersioning({ Bucket: VERSIONED, VersioningConfiguration: { Status } });
    const { VersionId } = await put('s', { ...target, Body: 'stored' });
    await versioning('Suspended');
    expect(await put('s', { ...target, Body: 'null 1' })).not.toHaveProperty('VersionId');
    await put('s', { ...target, Body: 'null 2' });
    await versioning('Enabled');
    const { Versions = [] } = await s3.client.listObjectVersions({ Bucket: VERSIONED, Prefix: 's' });
    expect(Versions.map((version) => [version.VersionId, version.IsLatest])).toEqual([
      ['null', true],
      [VersionId, false],
    ]);
    expect(await getText('s', { ...target, VersionId: 'null' })).toBe('null 2');
  });
});

describe('DeleteObject and DeleteObjects', () => {
  test('delete several keys in one request', async () => {
    const Keys = [' lead', 'trail ', 'a&<b>', 'deleted already', 'cr\rlf\n'];
    for (const Key of Keys) await put(Key);
    const Objects = Keys.map((Key) => ({ Key }));
    const loud = await s3.client.deleteObjects({ Bucket: BUCKET, Delete: { Objects } });
    expect(loud.Deleted).toHaveLength(Keys.length);
    for (const Key of Keys) expect(await failureOf(head(Key))).toBe('404 NotFound');
    const Delete = { Objects, Quiet: true };
    expect((await s3.client.deleteObjects({ Bucket: BUCKET, Delete })).Deleted ?? []).toEqual([]);
  });

  test('evaluate If-Match', async () => {
    const { ETag } = await put('careful');
    const remove = (IfMatch?: string) => failureOf(s3.delete('careful', { IfMatch }));
    expect(await remove('"other"')).toBe('412 PreconditionFailed');
    expect(await remove(ETag)).toBe('succeeded');
  });
});
