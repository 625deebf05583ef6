import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { sign } from '../../../local/cos/signature.ts';
import { readTarget } from '../../../local/s3/wire/target.ts';
import { createRawCos, type Received, type Sent } from '../../support/raw-cos.ts';
import { createBytes, hash, MIB } from '../../support/values.ts';
import { apply, callApi, targetOf } from '../../support/vod-2018.ts';
import { startService } from '../../support/vod-service.ts';

async function startCosOfSession(options: Parameters<typeof startService>[0] & { time?: number } = {}) {
  const { vod, dir } = await startService(options);
  const applied = await apply(vod.endpoint, {}, options.now ? { time: options.now() } : {});
  return {
    vod,
    dir,
    applied,
    key: targetOf(applied).Key,
    send: createRawCos(vod.cosEndpoint, applied, options.now),
  };
}
type Send = Awaited<ReturnType<typeof startCosOfSession>>['send'];

const failure = ({ status, code }: Received): string => `${status} ${code}`.trim();
const elementOf = (text: string, name: string): string =>
  new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1] ?? '';

const initiate = async (send: Send): Promise<string> =>
  elementOf((await send({ method: 'POST', query: { uploads: '' } })).text, 'UploadId');

const sendPart = (send: Send, uploadId: string, partNumber: number, body: Buffer, more: Sent = {}) =>
  send({ method: 'PUT', query: { uploadId, partNumber: String(partNumber) }, body, ...more });

const complete = (
  send: Send,
  uploadId: string,
  parts: readonly (readonly [number, string])[],
  more: Sent = {},
) => {
  const list = parts.map(([n, etag]) => `<Part><PartNumber>${n}</PartNumber><ETag>${etag}</ETag></Part>`);
  const body = `<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`;
  return send({ method: 'POST', query: { uploadId }, body, ...more });
};

test('the signature is the one that the vendor publishes as an example', () => {
  const headers = {
    date: 'Thu, 16 May 2019 06:45:51 GMT',
    host: 'examplebucket-1250000000.cos.ap-beijing.myqcloud.com',
    'content-type': 'text/plain',
    'content-length': '13',
    'content-md5': 'mQ/fVh815F3k6TAUm8m0eg==',
    'x-cos-acl': 'private',
    'x-cos-grant-read': 'uin="100000000011"',
  };
  const claim = {
    'q-sign-algorithm': 'sha1',
    'q-ak': 'AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q',
    'q-sign-time': '1557989151;1557996351',
    'q-key-time': '1557989151;1557996351',
    'q-header-list': 'content-length;content-md5;content-type;date;host;x-cos-acl;x-cos-grant-read',
    'q-url-param-list': '',
    'q-signature': '',
  };
  const target = readTarget(`/exampleobject(${encodeURIComponent('腾讯云')})`);
  expect(sign({ method: 'PUT', target, headers }, claim, 'BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz')).toBe(
    '3b8851a11a569213c17ba8fa7dcf2abec6935172',
  );
});

describe('access', () => {
  const now = Date.UTC(2026, 0, 1);
  const seconds = now / 1000;
  test.each<[string, string, Sent]>([
    ['an expired key time', '403 AccessDenied', { keyTime: `${seconds - 100};${seconds - 1}` }],
    [
      'a key time of the future',
      '403 RequestTimeTooSkewed',
      { keyTime: `${seconds + 1000};${seconds + 2000}` },
    ],
    [
      'a key time that ends before it begins',
      '400 InvalidArgument',
      { keyTime: `${seconds};${seconds - 5}` },
    ],
    ['another key', '403 SignatureDoesNotMatch', { keys: { key: 'other' } }],
    ['an unknown SecretId', '403 InvalidAccessKeyId', { keys: { id: 'unknown' } }],
    ['another token', '403 AccessDenied', { keys: { token: 'other' } }],
    ['no token', '403 AccessDenied', { keys: { token: '' } }],
    ['no signature', '403 AccessDenied', { authorize: () => undefined }],
    ['a signature of S3', '501 NotImplemented', { authorize: () => 'AWS4-HMAC-SHA256 Credential=x' }],
    ['another algorithm', '400 InvalidArgument', { authorize: (text) => text.replace('sha1', 'md5') }],
    ['an unsigned host', '403 AccessDenied', { authorize: (text) => text.replace('host', 'date') }],
    ['an unsigned parameter', '403 AccessDenied', { unsigned: 'uploads' }],
    [
      'a changed header',
      '403 SignatureDoesNotMatch',
      { authorize: (text) => text.replace('content-length;', '') },
    ],
    [
      'the path of another session',
      '403 AccessDenied',
      { key: '0000000000vodlocal1250000000/00000000123/f0.mp4' },
    ],
    ['another object of the bucket', '403 AccessDenied', { key: 'other.mp4' }],
    [
      'another region',
      '403 AccessDenied',
      { headers: { host: 'vodlocal-1250000000.cos.ap-guangzhou.myqcloud.com' } },
    ],
    [
      'a region that is not opened',
      '404 NoSuchBucket',
      { headers: { host: 'vodlocal-1250000000.cos.ap-beijing.myqcloud.com' } },
    ],
    [
      'another bucket',
      '404 NoSuchBucket',
      { headers: { host: 'other-1250000000.cos.ap-chongqing.myqcloud.com' } },
    ],
    ['a key of more than 850 bytes', '400 KeyTooLong', { key: 'é'.repeat(426) }],
  ])('rejects %s', async (_, expected, sent) => {
    const { send } = await startCosOfSession({ now: () => now });
    const rejected = await send({ method: 'PUT', body: 'x', ...sent });
    expect(failure(rejected)).toBe(expected);
    expect(rejected.text).toMatch(/<RequestId>.+<\/RequestId>/);
    expect(failure(await send({ method: 'PUT', body: 'x' }))).toBe('200');
  });

  test('ends with the keys', async () => {
    let time = now;
    const { send } = await startCosOfSession({ now: () => time, keysLiveMs: 60_000 });
    expect(failure(await send({ method: 'PUT', body: 'x' }))).toBe('200');
    time += 60_000;
    expect(failure(await send({ method: 'PUT', body: 'x' }))).toBe('403 ExpiredToken');
    expect(failure(await send({ method: 'HEAD' }))).toBe('403');
  });

  test('to a listing of uploads covers the folder of the session', async () => {
    const { send, key } = await startCosOfSession();
    const list = async (prefix: string) => failure(await send({ key: '', query: { uploads: '', prefix } }));
    expect(await list(key)).toBe('200');
    expect(await list(key.slice(0, 10))).toBe('403 AccessDenied');
    expect(await list('')).toBe('403 AccessDenied');
  });
});

describe('PUT', () => {
  test('returns the MD5 and the CRC of the bytes, which HEAD and GET return too', async () => {
    const { send } = await startCosOfSession();
    const checks = { etag: `"${hash('md5', '123456789')}"`, 'x-cos-hash-crc64ecma': '11051210869376104954' };
    const put = await send({ method: 'PUT', body: '123456789', headers: { 'content-type': 'video/mp4' } });
    expect(put.headers).toMatchObject(checks);
    const head = await send({ method: 'HEAD' });
    expect(head.headers).toMatchObject({ ...checks, 'content-length': '9', 'content-type': 'video/mp4' });
    const whole = await send({});
    expect(whole).toMatchObject({ status: 200, text: '123456789', headers: checks });
    const range = await send({ headers: { range: 'bytes=3-5' } });
    expect(range).toMatchObject({ status: 206, text: '456', headers: { 'content-range': 'bytes 3-5/9' } });
    expect(failure(await send({ headers: { range: 'bytes=9-' } }))).toBe('416 InvalidRange');
  });

  test('verifies Content-MD5', async () => {
    const { send } = await startCosOfSession();
    const md5 = (text: string) => createHash('md5').update(text).digest('base64');
    const put = async (value: string) =>
      failure(await send({ method: 'PUT', body: 'bytes', headers: { 'content-md5': value } }));
    expect(await put(md5('bytes'))).toBe('200');
    expect(await put(md5('other'))).toBe('400 BadDigest');
    expect(await put('short')).toBe('400 InvalidDigest');
  });

  test('replaces an object unless the request forbids it', async () => {
    const { send } = await startCosOfSession();
    const put = async (body: string, forbid?: string) =>
      failure(await send({ method: 'PUT', body, headers: { 'x-cos-forbid-overwrite': forbid } }));
    expect(await put('first', 'true')).toBe('200');
    expect(await put('second', 'true')).toBe('409 FileAlreadyExists');
    expect(await put('third', 'false')).toBe('200');
    expect((await send({})).text).toBe('third');
  });

  test('ignores the checksums of S3, and rejects its encoding', async () => {
    const { send } = await startCosOfSession();
    const put = async (headers: Sent['headers']) =>
      failure(await send({ method: 'PUT', body: 'bytes', ...(headers && { headers }) }));
    expect(await put({ 'x-amz-checksum-crc32': 'wrong' })).toBe('200');
    expect(await put({ 'content-encoding': 'aws-chunked' })).toBe('501 NotImplemented');
    expect(await put({ 'x-amz-trailer': 'x-amz-checksum-crc32' })).toBe('501 NotImplemented');
    expect(await put({ 'x-amz-acl': 'private' })).toBe('501 NotImplemented');
    expect(await put({ 'x-cos-acl': 'private' })).toBe('501 NotImplemented');
  });

  test('accepts 50 uploads to an object within a second', async () => {
    let time = Date.UTC(2026, 0, 1);
    const { send } = await startCosOfSession({ now: () => time });
    const put = async () => failure(await send({ method: 'PUT', body: 'x' }));
    for (let n = 0; n < 50; n++) expect(await put()).toBe('200');
    expect(await put()).toBe('503 SlowDown');
    time += 1000;
    expect(await put()).toBe('200');
  });

  test('accepts any rate when the limit is switched off', async () => {
    const { send } = await startCosOfSession({ uploadsPerObject: false });
    for (let n = 0; n < 52; n++) expect(failure(await send({ method: 'PUT', body: 'x' }))).toBe('200');
  });
});

test('DELETE removes an object, and HEAD of no object returns 404', async () => {
  const { send } = await startCosOfSession();
  await send({ method: 'PUT', body: 'x' });
  expect(failure(await send({ method: 'DELETE' }))).toBe('204');
  expect(failure(await send({ method: 'HEAD' }))).toBe('404');
  expect(failure(await send({}))).toBe('404 NoSuchKey');
});

test.each<[string, Sent]>([
  ['a listing of objects', { key: '' }],
  ['a copy', { method: 'PUT', headers: { 'x-cos-copy-source': 'a/b' } }],
  ['an access control list', { query: { acl: '' } }],
  ['tags', { query: { tagging: '' } }],
  ['an appended part', { method: 'POST', query: { append: '', position: '0' } }],
  ['a version', { query: { versionId: '1' } }],
  ['a response header', { query: { 'response-content-type': 'text/plain' } }],
  ['metadata', { method: 'PUT', headers: { 'x-cos-meta-a': 'b' } }],
  ['another method', { method: 'PATCH' }],
])('every other request returns 501: %s', async (_, sent) => {
  const { send } = await startCosOfSession();
  expect(failure(await send(sent))).toBe('501 NotImplemented');
});

describe('an upload in parts', () => {
  const parts = [createBytes(MIB), createBytes(MIB + 1), createBytes(5)];
  const md5s = parts.map((bytes) => hash('md5', bytes));

  test('becomes one object with the CRC of all bytes', async () => {
    const { vod, send, applied } = await startCosOfSession();
    const uploadId = await initiate(send);
    const listed: [number, string][] = [];
    for (const [at, body] of parts.entries()) {
      const { headers } = await sendPart(send, uploadId, at + 1, body);
      expect(headers).toMatchObject({
        etag: `"${md5s[at]}"`,
        'x-cos-hash-crc64ecma': expect.stringMatching(/^\d+$/),
      });
      listed.push([at + 1, headers.etag ?? '']);
    }
    const completed = await complete(send, uploadId, listed);
    const etag = `"${hash('md5', Buffer.from(md5s.join(''), 'hex'))}-3"`;
    expect(elementOf(completed.text, 'ETag').replaceAll('&quot;', '"')).toBe(etag);
    expect(completed.text).not.toContain('xmlns');
    const all = Buffer.concat(parts);
    const other = await apply(vod.endpoint);
    const whole = await createRawCos(vod.cosEndpoint, other)({ method: 'PUT', body: all });
    const crc = whole.headers['x-cos-hash-crc64ecma'];
    expect(completed.headers['x-cos-hash-crc64ecma']).toBe(crc);
    const head = await send({ method: 'HEAD' });
    expect(head.headers).toMatchObject({
      etag,
      'x-cos-hash-crc64ecma': crc,
      'content-length': `${all.length}`,
    });
    await callApi(vod.endpoint, 'CommitUpload', { VodSessionKey: applied.VodSessionKey });
    expect(vod.files()).toMatchObject([{ sha1: hash('sha1', all) }]);
  });

  test('is rejected unless the list is ascending and names what is stored', async () => {
    const { send } = await startCosOfSession();
    const uploadId = await initiate(send);
    const etags: string[] = [];
    for (const [at, body] of [parts[0], parts[2], parts[2]].entries()) {
      if (body) etags.push((await sendPart(send, uploadId, at + 1, body)).headers.etag ?? '');
    }
    const [a = '', b = '', c = ''] = etags;
    const codes: string[] = [];
    const lists: [number, string][][] = [
      [
        [2, b],
        [1, a],
      ],
      [
        [1, a],
        [1, a],
      ],
      [
        [1, a],
        [2, a],
      ],
      [
        [1, a],
        [4, b],
      ],
      [
        [1, a],
        [2, b],
        [3, c],
      ],
      [],
    ];
    for (const list of lists) {
      codes.push(failure(await complete(send, uploadId, list)));
    }
    expect(codes).toEqual([
      '400 InvalidPartOrder',
      '400 InvalidPartOrder',
      '400 InvalidPart',
      '400 InvalidPart',
      '400 EntityTooSmall',
      '400 MalformedXML',
    ]);
    expect(
      failure(
        await complete(send, uploadId, [
          [1, a],
          [2, b],
        ]),
      ),
    ).toBe('200');
    expect(
      failure(
        await complete(send, uploadId, [
          [1, a],
          [2, b],
        ]),
      ),
    ).toBe('404 NoSuchUpload');
  });

  test('lists its parts in pages', async () => {
    const { send } = await startCosOfSession({ uploadsPerObject: false });
    const uploadId = await initiate(send);
    for (const number of [1, 3, 7, 10_000]) await sendPart(send, uploadId, number, Buffer.from(`${number}`));
    const page = async (query: Record<string, string>) => {
      const { text } = await send({ query: { uploadId, ...query } });
      const numbers = [...text.matchAll(/<PartNumber>(\d+)/g)].map(([, number]) => Number(number));
      return {
        numbers,
        next: elementOf(text, 'NextPartNumberMarker'),
        isTruncated: elementOf(text, 'IsTruncated'),
      };
    };
    expect(await page({ 'max-parts': '3' })).toEqual({ numbers: [1, 3, 7], next: '7', isTruncated: 'true' });
    expect(await page({ 'part-number-marker': '7' })).toMatchObject({
      numbers: [10_000],
      isTruncated: 'false',
    });
    for (const number of [0, 10_001]) {
      expect(failure(await sendPart(send, uploadId, number, Buffer.from('x')))).toBe('400 InvalidArgument');
    }
  });

  test('is listed until it is aborted', async () => {
    const { vod, send, key } = await startCosOfSession();
    const uploadId = await initiate(send);
    const list = async () => (await send({ key: '', query: { uploads: '', prefix: key } })).text;
    expect(elementOf(await list(), 'UploadId')).toBe(uploadId);
    expect(vod.openUploads()).toEqual([key]);
    expect(failure(await send({ method: 'DELETE', query: { uploadId } }))).toBe('204');
    expect(await list()).not.toContain('<Upload>');
    expect(failure(await sendPart(send, uploadId, 1, Buffer.from('x')))).toBe('404 NoSuchUpload');
    expect(failure(await send({ method: 'DELETE', query: { uploadId } }))).toBe('404 NoSuchUpload');
  });

  test('verifies Content-MD5 of a part, and keeps the last one of a number', async () => {
    const { send } = await startCosOfSession();
    const uploadId = await initiate(send);
    const wrong = { headers: { 'content-md5': randomBytes(16).toString('base64') } };
    expect(failure(await sendPart(send, uploadId, 1, Buffer.from('a'), { ...wrong }))).toBe('400 BadDigest');
    for (const text of ['a', 'b']) await sendPart(send, uploadId, 1, Buffer.from(text));
    expect(failure(await complete(send, uploadId, [[1, hash('md5', 'b')]]))).toBe('200');
    expect((await send({})).text).toBe('b');
  });

  test('may not replace an object when the completion forbids it', async () => {
    const { send } = await startCosOfSession();
    await send({ method: 'PUT', body: 'first' });
    const uploadId = await initiate(send);
    const { headers } = await sendPart(send, uploadId, 1, Buffer.from('x'));
    const forbid = { headers: { 'x-cos-forbid-overwrite': 'true' } };
    expect(failure(await complete(send, uploadId, [[1, headers.etag ?? '']], forbid))).toBe(
      '409 FileAlreadyExists',
    );
    expect((await send({})).text).toBe('first');
  });

  test('continues after a restart', async () => {
    const first = await startCosOfSession();
    const uploadId = await initiate(first.send);
    await sendPart(first.send, uploadId, 1, Buffer.from('kept'));
    await first.vod.close();
    const { vod } = await startService({ dir: first.dir });
    const send = createRawCos(vod.cosEndpoint, first.applied);
    const { text } = await send({ query: { uploadId } });
    expect(elementOf(text, 'ETag').replaceAll('&quot;', '')).toBe(hash('md5', 'kept'));
    expect(failure(await complete(send, uploadId, [[1, hash('md5', 'kept')]]))).toBe('200');
  });
});

test('a service that discards the bytes verifies them and keeps a hole of their size', async () => {
  const { vod, send, applied } = await startCosOfSession({ discard: true });
  const uploadId = await initiate(send);
  const { headers } = await sendPart(send, uploadId, 1, Buffer.from('123456789'));
  expect(headers['x-cos-hash-crc64ecma']).toBe('11051210869376104954');
  const completed = await complete(send, uploadId, [[1, headers.etag ?? '']]);
  expect(completed.headers['x-cos-hash-crc64ecma']).toBe('11051210869376104954');
  await callApi(vod.endpoint, 'CommitUpload', { VodSessionKey: applied.VodSessionKey });
  expect(vod.files()).toMatchObject([{ size: 9 }]);
});
