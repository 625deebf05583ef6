import { Readable } from 'node:stream';
import { ChecksumAlgorithm } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { BUCKET, failureOf, readText, useS3 } from '../../support/local-s3.ts';
import { send, sendSigned, sha256, sign } from '../../support/raw-http.ts';
import { hash } from '../../support/values.ts';

const s3 = useS3();

const put = (key: string, body: string | Buffer, headers: Record<string, string> = {}, payload?: string) =>
  s3.sendSigned({
    method: 'PUT',
    path: `/${BUCKET}/${key}`,
    body,
    headers,
    ...(payload && { payload }),
  });

const head = (key: string) => failureOf(s3.head(key));

describe('request bodies', () => {
  test('must match the signed SHA-256', async () => {
    expect(await put('sha', 'abc', {}, sha256('abc'))).toMatchObject({ status: 200 });
    const other = await put('sha-wrong', 'abd', {}, sha256('abc'));
    expect(other).toMatchObject({ status: 400, code: 'XAmzContentSHA256Mismatch' });
    expect(await head('sha-wrong')).toBe('404 NotFound');
    expect(await put('sha-odd', 'abc', {}, 'nonsense')).toMatchObject({
      status: 400,
      code: 'InvalidArgument',
    });
  });

  test('must match Content-MD5', async () => {
    const md5 = (text: string) => hash('md5', text, 'base64');
    expect(await put('md5', 'abc', { 'content-md5': md5('abc') })).toMatchObject({ status: 200 });
    expect(await put('md5-wrong', 'abc', { 'content-md5': md5('abd') })).toMatchObject({ code: 'BadDigest' });
    expect(await put('md5-odd', 'abc', { 'content-md5': 'c2hvcnQ=' })).toMatchObject({
      code: 'InvalidDigest',
    });
    expect(await head('md5-wrong')).toBe('404 NotFound');
  });

  // Known values for "123456789": https://reveng.sourceforge.io/crc-catalogue/
  const KNOWN = {
    crc32: Buffer.from('cbf43926', 'hex').toString('base64'),
    crc32c: Buffer.from('e3069283', 'hex').toString('base64'),
    crc64nvme: Buffer.from('ae8b14860a799888', 'hex').toString('base64'),
    sha1: hash('sha1', '123456789', 'base64'),
    sha256: hash('sha256', '123456789', 'base64'),
  };

  test.each(Object.entries(KNOWN))(
    'must match x-amz-checksum-%s, which is stored and returned',
    async (name, value) => {
      const header = `x-amz-checksum-${name}`;
      const response = await put(`sum-${name}`, '123456789', { [header]: value });
      expect(response).toMatchObject({
        status: 200,
        headers: { [header]: value, 'x-amz-checksum-type': 'FULL_OBJECT' },
      });
      const read = (headers: Record<string, string>) =>
        s3.sendSigned({ path: `/${BUCKET}/sum-${name}`, headers });
      const mode = { 'x-amz-checksum-mode': 'ENABLED' };
      expect((await read(mode)).headers).toMatchObject({
        [header]: value,
        'x-amz-checksum-type': 'FULL_OBJECT',
      });
      expect((await read({ ...mode, range: 'bytes=0-8' })).headers).toMatchObject({ [header]: value });
      expect((await read({ ...mode, range: 'bytes=0-7' })).headers).not.toHaveProperty([header]);
      expect((await read({})).headers).not.toHaveProperty([header]);

      expect(await put('sum-wrong', '12345678x', { [header]: value })).toMatchObject({ code: 'BadDigest' });
      expect(await put('sum-odd', '123456789', { [header]: 'AAAA' })).toMatchObject({
        code: 'InvalidRequest',
      });
      expect(await head('sum-wrong')).toBe('404 NotFound');
    },
  );

  test('may have only one checksum', async () => {
    const headers = { 'x-amz-checksum-sha1': KNOWN.sha1, 'x-amz-checksum-sha256': KNOWN.sha256 };
    expect(await put('two-sums', '123456789', headers)).toMatchObject({ code: 'InvalidRequest' });
  });

  test.each(
    Object.values(ChecksumAlgorithm).filter((name) => ['CRC32', 'CRC32C', 'SHA1', 'SHA256'].includes(name)),
  )('may have a trailing %s, as the SDK sends for a stream', async (algorithm) => {
    const Body = Readable.from([Buffer.from('streamed '), Buffer.from('body')], { objectMode: false });
    const target = { Bucket: BUCKET, Key: `stream-${algorithm}` };
    const output = await s3.client.putObject({
      ...target,
      Body,
      ContentLength: 13,
      ChecksumAlgorithm: algorithm,
    });
    expect(output.ChecksumType).toBe('FULL_OBJECT');
    const got = await s3.client.getObject({ ...target, ChecksumMode: 'ENABLED' });
    expect(await readText(got)).toBe('streamed body');
    expect(got.ContentEncoding).toBe(undefined);
  });

  const SIGNED = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
  const SIGNED_TRAILER = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER';
  const UNSIGNED_TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
  const chunkSignature = `chunk-signature=${'0'.repeat(64)}`;

  test('may be aws-chunked in any of its three forms', async () => {
    const encoding = { 'content-encoding': 'aws-chunked,gzip', 'x-amz-decoded-content-length': '9' };
    const trailer = { ...encoding, 'x-amz-trailer': 'x-amz-checksum-sha1' };
    const signed = `5;${chunkSignature}\r\n12345\r\n4;${chunkSignature}\r\n6789\r\n0;${chunkSignature}\r\n\r\n`;
    expect(await put('chunked', signed, encoding, SIGNED)).toMatchObject({ status: 200 });
    const lines = `x-amz-checksum-sha1:${KNOWN.sha1}\r\nx-amz-trailer-signature:00\r\n\r\n`;
    const withTrailer = `9;${chunkSignature}\r\n123456789\r\n0;${chunkSignature}\r\n${lines}`;
    expect(await put('chunked', withTrailer, trailer, SIGNED_TRAILER)).toMatchObject({ status: 200 });
    const unsigned = `9\r\n123456789\r\n0\r\nx-amz-checksum-sha1:${KNOWN.sha1}\r\n\r\n`;
    expect(await put('chunked', unsigned, trailer, UNSIGNED_TRAILER)).toMatchObject({ status: 200 });
    const response = await s3.sendSigned({ path: `/${BUCKET}/chunked` });
    expect(response).toMatchObject({ body: '123456789', headers: { 'content-encoding': 'gzip' } });
  });

  test.each([
    [
      'a wrong trailing checksum',
      `9\r\n123456789\r\n0\r\nx-amz-checksum-sha1:${'A'.repeat(27)}=\r\n\r\n`,
      'BadDigest',
    ],
    ['no trailer where one was announced', '9\r\n123456789\r\n0\r\n\r\n', 'InvalidRequest'],
    ['no last chunk', '9\r\n123456789\r\n', 'IncompleteBody'],
    ['fewer bytes than announced', '8\r\n12345678\r\n0\r\n\r\n', 'IncompleteBody'],
    ['more bytes than announced', 'a\r\n1234567890\r\n0\r\n\r\n', 'IncompleteBody'],
    ['a size that is none', 'nine\r\n123456789\r\n0\r\n\r\n', 'InvalidRequest'],
    ['a chunk longer than its size', '5\r\n123456789\r\n0\r\n\r\n', 'InvalidRequest'],
  ])('are rejected if aws-chunked has %s', async (_name, body, code) => {
    const headers = { 'x-amz-decoded-content-length': '9', 'x-amz-trailer': 'x-amz-checksum-sha1' };
    expect(await put('chunked-bad', body, headers, UNSIGNED_TRAILER)).toMatchObject({ status: 400, code });
    expect(await head('chunked-bad')).toBe('404 NotFound');
  });

  test('must have a length', async () => {
    const response = await s3.sendSigned({
      method: 'PUT',
      path: `/${BUCKET}/endless`,
      headers: { 'transfer-encoding': 'chunked' },
      body: 'abc',
    });
    expect(response).toMatchObject({ status: 411, code: 'MissingContentLength' });
  });

  test('of more than 5 GiB are rejected before they are sent', async () => {
    const headers = { 'content-length': String(5 * 1024 ** 3 + 1), expect: '100-continue' };
    const response = await s3.sendSigned({ method: 'PUT', path: `/${BUCKET}/huge`, headers });
    expect(response).toMatchObject({ status: 400, code: 'EntityTooLarge' });
  });

  test('are discarded when the client disconnects', async () => {
    const before = await s3.countBlobs();
    const wanted = {
      port: s3.server.port,
      method: 'PUT',
      path: `/${BUCKET}/cut-off`,
      headers: { 'content-length': '1000000' },
      body: Buffer.alloc(300_000),
    };
    await expect(send({ ...wanted, headers: sign(wanted), cutOff: true })).rejects.toThrow();
    await s3.waitForBlobs(before);
    expect(await head('cut-off')).toBe('404 NotFound');
  });

  test('are not requested with 100 Continue when the request is rejected', async () => {
    const wanted = {
      port: s3.server.port,
      method: 'PUT',
      path: '/no-such-bucket/key',
      headers: { 'content-length': '4', expect: '100-continue' },
      body: 'body',
    };
    expect(await sendSigned(wanted)).toMatchObject({ status: 404, code: 'NoSuchBucket' });
    expect(await sendSigned({ ...wanted, path: `/${BUCKET}/waited` })).toMatchObject({ status: 200 });
  });
});
