import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { signedText } from '../../../lib/vod/v2/signature.ts';
import { createBytes, MIB } from '../../support/values.ts';
import {
  type CallOptions,
  type Changes,
  HOST,
  readResponse,
  SECRETS,
  video,
} from '../../support/vod-client.ts';
import { createClient, rejectedWith, startService } from '../../support/vod-service.ts';

const file = video(600_000);
describe('common parameters', () => {
  test.each<[Changes, RegExp]>([
    [{ Action: undefined }, /^Action: missing$/],
    [{ Action: '' }, /^Action: expected one of InitUpload/],
    [{ Action: 'initUpload' }, /Action/],
    [{ Action: '__proto__' }, /Action/],
    [{ Action: 'constructor' }, /Action/],
    [{ Region: undefined }, /^Region: missing$/],
    [{ Region: '' }, /Region/],
    [{ Region: 'G Z' }, /Region/],
    [{ Timestamp: undefined }, /^Timestamp: missing$/],
    [{ Timestamp: 'now' }, /Timestamp: expected whole seconds/],
    [{ Timestamp: '1465185768.5' }, /Timestamp/],
    [{ Timestamp: Date.now() }, /Timestamp: expected whole seconds/],
    [{ Timestamp: -1 }, /Timestamp/],
    [{ Nonce: undefined }, /^Nonce: missing$/],
    [{ Nonce: 0 }, /Nonce: expected a positive whole number/],
    [{ Nonce: -5 }, /Nonce/],
    [{ Nonce: '1e5' }, /Nonce/],
    [{ Nonce: '007' }, /Nonce/],
    [{ SecretId: undefined }, /^SecretId: missing$/],
    [{ SecretId: '' }, /SecretId/],
    [{ SignatureMethod: 'HmacMD5' }, /SignatureMethod: expected HmacSHA256, HmacSHA1 or nothing/],
    [{ SignatureMethod: '' }, /SignatureMethod/],
  ])('%j are rejected', async (changes, message) => {
    const { client } = await startService();
    expect(await client.init(file, changes)).toMatchObject(rejectedWith(-10001, message));
  });

  test('a missing or empty Signature is rejected', async () => {
    const { client } = await startService();
    const without = (query: string) => query.replace(/&Signature=.*/, '');
    const empty = (query: string) => query.replace(/&Signature=.*/, '&Signature=');
    expect(await client.init(file, {}, { query: without })).toMatchObject(
      rejectedWith(-10001, /^Signature: missing$/),
    );
    expect(await client.init(file, {}, { query: empty })).toMatchObject(rejectedWith(-10001, /Signature/));
  });

  test.each<[string, (query: string) => string, RegExp]>([
    ['a parameter given twice', (query) => `${query}&Region=gz`, /^Region: given more than once$/],
    ['a value without a name', (query) => `${query}&=gz`, /without a name/],
    ['a broken percent sign', (query) => `${query}&x=%zz`, /"%zz" is not percent-encoded UTF-8/],
    ['bytes that are not UTF-8', (query) => `${query}&x=%ff%fe`, /not percent-encoded UTF-8/],
    ['a query over 8 KiB', (query) => `${query}&x=${'x'.repeat(8192)}`, /at most 8192 bytes/],
    ['no query at all', () => '', /Action: missing/],
  ])('%s is rejected', async (_, query, message) => {
    const { client } = await startService();
    expect(await client.init(file, {}, { query })).toMatchObject(rejectedWith(-10001, message));
  });

  test('an unknown SecretId is rejected', async () => {
    const { client } = await startService();
    expect(await client.init(file, { SecretId: 'another' })).toMatchObject(rejectedWith(4100, /SecretId/));
  });

  test('unknown parameters are ignored, whatever their names', async () => {
    const { client } = await startService();
    const odd = { Token: 'a+b/c=', hasOwnProperty: '1', toString: '2', constructor: '3', more: '' };
    const params = Object.fromEntries([...Object.entries(odd), ['__proto__', 'x']]);
    expect(await client.init(file, params)).toMatchObject({ status: 200, code: 0 });
  });

  test('a plus is read as a space, as form encoders write it', async () => {
    const { client } = await startService();
    const query = (text: string) => text.replaceAll('%20', '+');
    expect(await client.init(file, { fileName: 'a b c' }, { query })).toMatchObject({ code: 0 });
  });
});

describe('signature', () => {
  test.each<[string, Changes, CallOptions]>([
    ['HMAC-SHA1 without SignatureMethod', {}, {}],
    ['HMAC-SHA1 by name', { SignatureMethod: 'HmacSHA1' }, {}],
    ['HMAC-SHA256', { SignatureMethod: 'HmacSHA256' }, {}],
    ['v3', {}, { path: '/v3/index.php' }],
    ['POST', {}, { method: 'POST' }],
    ['v3 by POST', {}, { method: 'POST', path: '/v3/index.php' }],
    ['any Host header', {}, { headers: { Host: 'localhost:8080' } }],
    ['text that needs encoding', { fileName: "it's 100% (möglich) + 视频!" }, {}],
  ])('accepts %s', async (_, changes, options) => {
    const { client } = await startService();
    expect(await client.init(file, changes, options)).toMatchObject({ status: 200, code: 0, message: '' });
  });

  test.each<[string, Changes, CallOptions, RegExp]>([
    ['another key', {}, { signed: { key: 'wrong' } }, /key is not the one of this SecretId, or another text/],
    [
      'the Host header signed',
      {},
      { signed: { host: 'localhost:1' }, headers: { Host: 'localhost:1' } },
      /signed for the host localhost:1; sign for vod2.qcloud.com/,
    ],
    ['another host', {}, { signed: { host: 'vod.api.qcloud.com' } }, /expected GETvod2\.qcloud\.com\/v2/],
    ['another method', {}, { signed: { method: 'POST' } }, /signed as POST, but sent as GET/],
    ['another path', {}, { signed: { path: '/v3/index.php' } }, /signed for the path \/v3\/index.php/],
    [
      'values changed after signing',
      {},
      { query: (q) => q.replace('fileName=name', 'fileName=eman') },
      /another text was signed/,
    ],
    [
      'values encoded before signing',
      { fileName: 'a%20b' },
      { query: (query) => query.replace('a%2520b', 'a%20b') },
      /URL-encoded before signing; sign them raw/,
    ],
    ['a signature of another length', {}, { query: (query) => `${query}AAAA` }, /another text was signed/],
  ])('rejects %s', async (_, changes, options, message) => {
    const { client } = await startService();
    const response = await client.init(file, changes, options);
    expect(response).toMatchObject(rejectedWith(-10002, message));
    expect(response.message).not.toContain(SECRETS.secretKey);
  });

  test('names the mistake when the HMAC differs from SignatureMethod', async () => {
    const { client } = await startService();
    const resigned = (algorithm: string) => (query: string) => {
      const params = Object.fromEntries(new URLSearchParams(query));
      const text = signedText('GET', HOST, '/v2/index.php', params);
      const signature = createHmac(algorithm, SECRETS.secretKey).update(text).digest('base64');
      return query.replace(/&Signature=.*/, `&Signature=${encodeURIComponent(signature)}`);
    };
    expect(await client.init(file, {}, { query: resigned('sha256') })).toMatchObject(
      rejectedWith(-10002, /made with HMAC-SHA256, but SignatureMethod does not say/),
    );
    expect(
      await client.init(file, { SignatureMethod: 'HmacSHA256' }, { query: resigned('sha1') }),
    ).toMatchObject(rejectedWith(-10002, /made with HMAC-SHA1, but SignatureMethod says HmacSHA256/));
  });

  test('names the mistake when a plus in the signature is not encoded', async () => {
    const { client } = await startService();
    let target: string;
    do target = client.target({ Action: 'FinishUpload', fileSha: file.sha1 });
    while (!/Signature=.*%2B/.test(target));
    const response = await client.http('GET', target.replaceAll('%2B', '+'));
    expect(readResponse(response)).toMatchObject({
      code: -10002,
      message: expect.stringContaining('as %2B'),
    });
  });

  test('never reveals the expected signature', async () => {
    const { client } = await startService();
    const target = client.target({ Action: 'FinishUpload', fileSha: file.sha1 });
    const expected = new URLSearchParams(target.slice(target.indexOf('?'))).get('Signature') ?? '';
    const response = await client.http('GET', target.replace(/&Signature=.*/, '&Signature=AAAA'));
    expect(readResponse(response)).toMatchObject({ code: -10002 });
    expect(expected).toMatch(/=$/);
    expect(response.bytes.toString()).not.toContain(expected);
  });

  test('mentions a wrong clock when the key is wrong', async () => {
    const { client } = await startService();
    const Timestamp = Math.floor(Date.now() / 1000) - 3600;
    expect(await client.init(file, { Timestamp }, { signed: { key: 'wrong' } })).toMatchObject(
      rejectedWith(-10002, /Timestamp is 3\d\d\d s off this service's clock/),
    );
  });
});

describe('paths and methods', () => {
  test.each<[string, string, number, string | undefined]>([
    ['GET', '/', 404, undefined],
    ['GET', '/v1/index.php', 404, undefined],
    ['GET', '/v2/index.php/', 404, undefined],
    ['POST', '/index.php', 404, undefined],
    ['GET', '//', 404, undefined],
    ['GET', '/files/../index.json', 404, undefined],
    ['GET', '/files/__proto__', 404, undefined],
    ['GET', '/files/', 404, undefined],
    ['PUT', '/v2/index.php', 405, 'GET, POST'],
    ['DELETE', '/v3/index.php', 405, 'GET, POST'],
    ['POST', '/files/1.mp4', 405, 'GET, HEAD'],
  ])('%s %s returns HTTP %i', async (method, path, status, allow) => {
    const { client } = await startService();
    const response = await client.http(method, path);
    expect(response).toMatchObject({ status, headers: allow ? { allow } : {} });
    expect(readResponse(response)).toMatchObject({ code: 4000, canRetry: 0 });
  });

  test.each(['UploadPart', 'SmallFileUpload'])('%s requires POST', async (Action) => {
    const { client } = await startService();
    const response = await client.call({ Action, fileSha: file.sha1 });
    expect(response).toMatchObject({ status: 405, code: 4000, message: `${Action}: expected POST, got GET` });
  });

  test.each(['GET', 'POST'])('FinishUpload accepts %s', async (method) => {
    const { client } = await startService();
    await client.upload(file);
    expect(await client.finish(file, {}, { method })).toMatchObject({ code: 0 });
  });
});

describe('bodies', () => {
  test('a small one is ignored if the call has none', async () => {
    const { client } = await startService();
    const body = Buffer.from('{}');
    expect(await client.init(file, {}, { method: 'POST', body })).toMatchObject({ code: 0 });
    expect(await client.init(file, {}, { method: 'GET', body })).toMatchObject({ code: 0 });
  });

  test('a large one is rejected if the call has none', async () => {
    const { client } = await startService();
    const body = Buffer.alloc(MIB + 1);
    expect(await client.init(file, {}, { method: 'POST', body })).toMatchObject(
      rejectedWith(-10006, /InitUpload has no body/),
    );
  });

  test('a rejected call reads its body, and the connection stays usable', async () => {
    const { client } = await startService();
    const options = { method: 'POST', body: createBytes(8 * MIB) };
    const wrong = { ...options, signed: { key: 'wrong' } };
    for (const _ of [1, 2]) expect(await client.part(file, 0, {}, wrong)).toMatchObject({ code: -10002 });
    expect(await client.http('POST', '/nowhere', options)).toMatchObject({ status: 404 });
    expect(await client.part(file, 0, {}, { ...wrong, body: Buffer.alloc(40 * MIB) })).toMatchObject({
      code: -10002,
    });
    expect(await client.init(file)).toMatchObject({ code: 0 });
  });
});

describe('robustness', () => {
  test('input that is not HTTP ends only its connection', async () => {
    const { vod, client } = await startService();
    for (const noise of [
      '\0\x01\x02\r\n\r\n',
      'GET\r\n\r\n',
      `GET /${'x'.repeat(80_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      const socket = connect(vod.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.end(noise).resume();
      await once(socket, 'close');
    }
    expect(await client.init(file)).toMatchObject({ code: 0 });
  });

  test('any query returns a documented code', async () => {
    const { client } = await startService();
    const scraps = '& = % %f %00 + # ? ; 1 Action InitUpload Nonce __proto__'.split(' ');
    const queries = fc.array(fc.constantFrom(...scraps)).map((some) => some.join(''));
    await fc.assert(
      fc.asyncProperty(queries, async (query) => {
        expect(readResponse(await client.http('GET', `/v2/index.php?${query}`))).toMatchObject({
          code: -10001,
        });
      }),
      { numRuns: 100 },
    );
  });

  test('an internal error returns 6000, allows a retry, and prints its details to the console', async () => {
    const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    onTestFinished(() => written.mockRestore());
    const now = () => {
      throw new Error('the clock fell from the wall');
    };
    const { vod } = await startService({ now });
    const response = await createClient(vod.endpoint).init(file);
    expect(response).toMatchObject(rejectedWith(6000, /^internal error/, 1));
    expect(response.message).not.toContain('wall');
    expect(written).toHaveBeenCalledWith(expect.stringContaining('the clock fell from the wall'));
  });

  test('latency delays a response', async () => {
    const { client } = await startService({ network: { latencyMs: 60 } });
    const began = performance.now();
    expect(await client.init(file)).toMatchObject({ code: 0 });
    expect(performance.now() - began).toBeGreaterThan(55);
  });
});
