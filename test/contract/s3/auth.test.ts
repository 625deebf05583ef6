import { describe, expect, test } from 'vitest';
import { BUCKET, CREDENTIALS, connect, failureOf, useS3 } from '../../support/local-s3.ts';
import { presign, send, sendSigned, sign } from '../../support/raw-http.ts';

const s3 = useS3();
const MINUTE = 60_000;
const ago = (minutes: number): Date => new Date(Date.now() - minutes * MINUTE);

describe('authentication', () => {
  test('rejects an unknown access key ID', async () => {
    const stranger = connect(s3.server.endpoint, { ...CREDENTIALS, accessKeyId: 'SOMEBODY' });
    expect(await failureOf(stranger.listBuckets())).toBe('403 InvalidAccessKeyId');
  });

  test('rejects a signature with the wrong secret', async () => {
    const stranger = connect(s3.server.endpoint, { ...CREDENTIALS, secretAccessKey: 'wrong' });
    expect(await failureOf(stranger.listBuckets())).toBe('403 SignatureDoesNotMatch');
  });

  test('rejects an unsigned request', async () => {
    expect(await s3.send({ path: '/' })).toMatchObject({ status: 403, code: 'AccessDenied' });
  });

  test('rejects Signature Version 2', async () => {
    const headers = { authorization: 'AWS AKID:c2lnbmF0dXJl' };
    expect(await s3.send({ path: '/', headers })).toMatchObject({
      status: 400,
      code: 'InvalidRequest',
      body: expect.stringContaining('Please use AWS4-HMAC-SHA256 (Signature Version 4)'),
    });
    const path = `/${BUCKET}/k?AWSAccessKeyId=AKID&Expires=2000000000&Signature=c2ln`;
    expect(await s3.send({ path })).toMatchObject({
      status: 400,
      body: expect.stringContaining('Please use AWS4-HMAC-SHA256'),
    });
  });

  test('accepts a clock that is off by 14 minutes and rejects one that is off by 16', async () => {
    expect(await s3.sendSigned({ path: '/', date: ago(14) })).toMatchObject({ status: 200 });
    expect(await s3.sendSigned({ path: '/', date: ago(-14) })).toMatchObject({ status: 200 });
    const late = await s3.sendSigned({ path: '/', date: ago(16) });
    expect(late).toMatchObject({ status: 403, code: 'RequestTimeTooSkewed' });
    const early = await s3.sendSigned({ path: '/', date: ago(-16) });
    expect(early).toMatchObject({ status: 403, code: 'RequestTimeTooSkewed' });
  });

  test('rejects an unsigned x-amz header', async () => {
    const wanted = {
      port: s3.server.port,
      method: 'PUT',
      path: `/${BUCKET}/unsigned`,
    };
    const headers = { ...sign(wanted), 'x-amz-acl': 'public-read' };
    const response = await send({ ...wanted, headers });
    expect(response).toMatchObject({ status: 403, code: 'AccessDenied' });
    expect(response.body).toContain('<HeadersNotSigned>x-amz-acl</HeadersNotSigned>');
  });

  test.each([
    ['a credential of another day', (text: string) => text.replace(/\/\d{8}\//, '/20000101/')],
    ['a credential of another service', (text: string) => text.replace('/s3/', '/sqs/')],
    ['no signature', (text: string) => text.replace(/Signature=.*/, '')],
  ])('rejects a header with %s as malformed', async (_name, spoil) => {
    const headers = sign({ port: s3.server.port, path: '/' });
    const response = await s3.send({
      path: '/',
      headers: { ...headers, authorization: spoil(headers.authorization ?? '') },
    });
    expect(response).toMatchObject({ status: 400, code: 'AuthorizationHeaderMalformed' });
  });

  test('rejects a signature with characters after its 64 hex digits', async () => {
    const headers = sign({ port: s3.server.port, path: '/' });
    for (const tail of ['zz', '00', ' ', '=']) {
      const authorization = `${headers.authorization}${tail}x`;
      const response = await s3.send({ path: '/', headers: { ...headers, authorization } });
      expect(response).toMatchObject({ status: 403, code: 'SignatureDoesNotMatch' });
    }
  });

  test('verifies the query with the signature', async () => {
    const headers = sign({ port: s3.server.port, path: `/${BUCKET}?list-type=2&prefix=a` });
    const response = await s3.send({ path: `/${BUCKET}?list-type=2&prefix=b`, headers });
    expect(response.code).toBe('SignatureDoesNotMatch');
  });

  test('accepts a presigned URL until it expires', async () => {
    await s3.put('shared/ü b', { Body: 'for you' });
    const path = `/${BUCKET}/shared/%C3%BC%20b`;
    const fresh = presign({ port: s3.server.port, path, expires: 60 });
    expect(await s3.send({ path: fresh })).toMatchObject({ status: 200, body: 'for you' });
    const stale = presign({ port: s3.server.port, path, expires: 60, date: ago(2) });
    const response = await s3.send({ path: stale });
    expect(response).toMatchObject({ status: 403, code: 'AccessDenied' });
    expect(response.body).toContain('Request has expired');
  });

  test('limits a presigned URL to one method, one key, and one week', async () => {
    const path = `/${BUCKET}/shared/%C3%BC%20b`;
    const url = presign({ port: s3.server.port, path, expires: 60 });
    expect(await s3.send({ method: 'DELETE', path: url })).toMatchObject({
      code: 'SignatureDoesNotMatch',
    });
    const other = url.replace('%20b', '%20c');
    expect(await s3.send({ path: other })).toMatchObject({ code: 'SignatureDoesNotMatch' });
    const endless = presign({ port: s3.server.port, path, expires: 8 * 24 * 3600 });
    expect(await s3.send({ path: endless })).toMatchObject({
      code: 'AuthorizationQueryParametersError',
    });
    const forged = presign({ port: s3.server.port, path, expires: 60, secret: 'guess' });
    expect(await s3.send({ path: forged })).toMatchObject({ code: 'SignatureDoesNotMatch' });
  });

  test('accepts a presigned PUT and rejects a second signature in a header', async () => {
    const path = presign({ port: s3.server.port, method: 'PUT', path: `/${BUCKET}/by-url`, expires: 60 });
    expect(await s3.send({ method: 'PUT', path, body: 'hi' })).toMatchObject({ status: 200 });
    expect(await s3.getText('by-url')).toBe('hi');
    const both = await s3.send({ path, headers: sign({ port: s3.server.port, path }) });
    expect(both).toMatchObject({ status: 400, code: 'InvalidArgument' });
  });

  test.each([
    ['/%2E%2E/%2E%2E/etc/passwd', '/../../etc/passwd'],
    ['//double//slash', '//double//slash'],
    ['/a+b%25%2B', '/a+b%+'],
    ['/./../.', '/./../.'],
  ])('stores %s as a key without normalizing it', async (path, decoded) => {
    // The client signs the path with every character encoded, except slashes and the unreserved characters of RFC 3986.
    const signedPath = encodeURI(`/${BUCKET}${decoded}`).replaceAll('+', '%2B');
    const target = { port: s3.server.port, path: `/${BUCKET}${path}`, signedPath };
    const put = await sendSigned({
      ...target,
      method: 'PUT',
      body: decoded,
    });
    expect(put).toMatchObject({ status: 200 });
    expect(await sendSigned(target)).toMatchObject({ status: 200, body: decoded });
  });

  test('rejects a path that is not UTF-8', async () => {
    const response = await s3.sendSigned({ path: `/${BUCKET}/%ff` });
    expect(response).toMatchObject({ status: 400, code: 'InvalidURI' });
  });
});
