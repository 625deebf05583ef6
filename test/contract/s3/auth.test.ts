import { GetObjectCommand, ListBucketsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { BUCKET, CREDENTIALS, connect, failure, textOf, useS3 } from '../../support/local-s3.ts';
import { presign, send, sendSigned, sign } from '../../support/raw-http.ts';

const s3 = useS3();
const MINUTE = 60_000;
const ago = (minutes: number): Date => new Date(Date.now() - minutes * MINUTE);

test('an unknown key id is refused', async () => {
  const stranger = connect(s3.endpoint, { ...CREDENTIALS, accessKeyId: 'SOMEBODY' });
  expect(await failure(stranger.send(new ListBucketsCommand()))).toBe('403 InvalidAccessKeyId');
});

test('a wrong secret is refused', async () => {
  const stranger = connect(s3.endpoint, { ...CREDENTIALS, secretAccessKey: 'wrong' });
  expect(await failure(stranger.send(new ListBucketsCommand()))).toBe('403 SignatureDoesNotMatch');
});

test('an unsigned request is refused', async () => {
  expect(await send({ port: s3.port, path: '/' })).toMatchObject({ status: 403, code: 'AccessDenied' });
});

test('Signature Version 2 is refused', async () => {
  const headers = { authorization: 'AWS AKID:c2lnbmF0dXJl' };
  expect(await send({ port: s3.port, path: '/', headers })).toMatchObject({
    status: 400,
    code: 'InvalidRequest',
  });
});

test('a request may be 15 minutes old, or early, and no more', async () => {
  expect(await sendSigned({ port: s3.port, path: '/', date: ago(14) })).toMatchObject({ status: 200 });
  expect(await sendSigned({ port: s3.port, path: '/', date: ago(-14) })).toMatchObject({ status: 200 });
  const late = await sendSigned({ port: s3.port, path: '/', date: ago(16) });
  expect(late).toMatchObject({ status: 403, code: 'RequestTimeTooSkewed' });
  const early = await sendSigned({ port: s3.port, path: '/', date: ago(-16) });
  expect(early).toMatchObject({ status: 403, code: 'RequestTimeTooSkewed' });
});

test('a header that changes what S3 does must be signed', async () => {
  const wanted = {
    port: s3.port,
    method: 'PUT',
    path: `/${BUCKET}/unsigned`,
    headers: { 'content-length': '0' },
  };
  const headers = { ...sign(wanted), 'x-amz-acl': 'public-read' };
  const answer = await send({ ...wanted, headers });
  expect(answer).toMatchObject({ status: 403, code: 'AccessDenied' });
  expect(answer.body).toContain('<HeadersNotSigned>x-amz-acl</HeadersNotSigned>');
});

test.each([
  ['a credential of another day', (text: string) => text.replace(/\/\d{8}\//, '/20000101/')],
  ['a credential of another service', (text: string) => text.replace('/s3/', '/sqs/')],
  ['no signature', (text: string) => text.replace(/Signature=.*/, '')],
])('%s makes a malformed header', async (_name, spoil) => {
  const headers = sign({ port: s3.port, path: '/' });
  const answer = await send({
    port: s3.port,
    path: '/',
    headers: { ...headers, authorization: spoil(headers.authorization ?? '') },
  });
  expect(answer).toMatchObject({ status: 400, code: 'AuthorizationHeaderMalformed' });
});

test('a signature is 64 hex digits and nothing after them', async () => {
  const headers = sign({ port: s3.port, path: '/' });
  for (const tail of ['zz', '00', ' ', '=']) {
    const authorization = `${headers.authorization}${tail}x`;
    const answer = await send({ port: s3.port, path: '/', headers: { ...headers, authorization } });
    expect(answer).toMatchObject({ status: 403, code: 'SignatureDoesNotMatch' });
  }
});

test('a signature covers the query', async () => {
  const headers = sign({ port: s3.port, path: `/${BUCKET}?list-type=2&prefix=a` });
  const answer = await send({ port: s3.port, path: `/${BUCKET}?list-type=2&prefix=b`, headers });
  expect(answer.code).toBe('SignatureDoesNotMatch');
});

test('a presigned URL serves until it expires', async () => {
  await s3.client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'shared/ü b', Body: 'for you' }));
  const path = `/${BUCKET}/shared/%C3%BC%20b`;
  const fresh = presign({ port: s3.port, path, expires: 60 });
  expect(await send({ port: s3.port, path: fresh })).toMatchObject({ status: 200, body: 'for you' });
  const stale = presign({ port: s3.port, path, expires: 60, date: ago(2) });
  const answer = await send({ port: s3.port, path: stale });
  expect(answer).toMatchObject({ status: 403, code: 'AccessDenied' });
  expect(answer.body).toContain('Request has expired');
});

test('a presigned URL serves one method, one key, and no longer than a week', async () => {
  const path = `/${BUCKET}/shared/%C3%BC%20b`;
  const url = presign({ port: s3.port, path, expires: 60 });
  expect(await send({ port: s3.port, method: 'DELETE', path: url })).toMatchObject({
    code: 'SignatureDoesNotMatch',
  });
  const other = url.replace('%20b', '%20c');
  expect(await send({ port: s3.port, path: other })).toMatchObject({ code: 'SignatureDoesNotMatch' });
  const endless = presign({ port: s3.port, path, expires: 8 * 24 * 3600 });
  expect(await send({ port: s3.port, path: endless })).toMatchObject({
    code: 'AuthorizationQueryParametersError',
  });
  const forged = presign({ port: s3.port, path, expires: 60, secret: 'guess' });
  expect(await send({ port: s3.port, path: forged })).toMatchObject({ code: 'SignatureDoesNotMatch' });
});

test('a presigned PUT uploads, and a header and a query do not both sign', async () => {
  const path = presign({ port: s3.port, method: 'PUT', path: `/${BUCKET}/by-url`, expires: 60 });
  expect(await send({ port: s3.port, method: 'PUT', path, body: 'hi' })).toMatchObject({ status: 200 });
  expect(await textOf(await s3.client.send(new GetObjectCommand({ Bucket: BUCKET, Key: 'by-url' })))).toBe(
    'hi',
  );
  const both = await send({ port: s3.port, path, headers: sign({ port: s3.port, path }) });
  expect(both).toMatchObject({ status: 400, code: 'InvalidArgument' });
});

test.each([
  ['/%2E%2E/%2E%2E/etc/passwd', '/../../etc/passwd'],
  ['//double//slash', '//double//slash'],
  ['/a+b%25%2B', '/a+b%+'],
  ['/./../.', '/./../.'],
])('%s is a key and goes nowhere else', async (path, decoded) => {
  // What is signed is the path with everything encoded but slashes and RFC 3986's unreserved characters.
  const signedPath = encodeURI(`/${BUCKET}${decoded}`).replaceAll('+', '%2B');
  const target = { port: s3.port, path: `/${BUCKET}${path}`, signedPath };
  const put = await sendSigned({
    ...target,
    method: 'PUT',
    body: decoded,
    headers: { 'content-length': `${decoded.length}` },
  });
  expect(put).toMatchObject({ status: 200 });
  expect(await sendSigned(target)).toMatchObject({ status: 200, body: decoded });
});

test('a path that is not UTF-8 is refused', async () => {
  const answer = await sendSigned({ port: s3.port, path: `/${BUCKET}/%ff` });
  expect(answer).toMatchObject({ status: 400, code: 'InvalidURI' });
});
