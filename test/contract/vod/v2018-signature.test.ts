import { describe, expect, test } from 'vitest';
import { signTc3 } from '../../../local/vod/v2018/signature.ts';
import { apiErrorOf, apply, type callApi } from '../../support/vod-2018.ts';
import { SECRETS } from '../../support/vod-client.ts';
import { startService } from '../../support/vod-service.ts';

const TYPE = { MediaType: 'mp4' };
const MINUTE = 60_000;

test('the signature is the one that the vendor publishes as an example', () => {
  // The documentation signs the escapes as they are sent.
  const body = Buffer.from(
    String.raw`{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`,
  );
  const call = {
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body,
    names: ['content-type', 'host'],
    timestamp: 1_551_113_065,
    service: 'cvm',
    host: 'cvm.tencentcloudapi.com',
  };
  expect(signTc3('Gu5t9xGARNpq86cd98joQYCN3EXAMPLE', call)).toBe(
    '72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168',
  );
});

describe('API 2018-07-17', () => {
  const rejections: [string, string, Parameters<typeof callApi>[3]][] = [
    ['an unknown SecretId', 'AuthFailure.SecretIdNotFound', { key: { secretId: 'unknown' } }],
    ['another secret key', 'AuthFailure.SignatureFailure', { key: { secretKey: 'other' } }],
    ['another service', 'AuthFailure.SignatureFailure', { service: 'cvm' }],
    ['an unsigned host', 'AuthFailure.SignatureFailure', { names: ['content-type'] }],
    ['an unsigned content type', 'AuthFailure.SignatureFailure', { names: ['host'] }],
    ['no signature', 'AuthFailure.InvalidAuthorization', { headers: { authorization: '' } }],
    [
      'a signature of API 2.0',
      'AuthFailure.InvalidAuthorization',
      { headers: { authorization: 'Basic YQ==' } },
    ],
    ['a token without temporary keys', 'AuthFailure.TokenFailure', { headers: { 'x-tc-token': 'token' } }],
    ['no action', 'MissingParameter', { headers: { 'x-tc-action': undefined } }],
    ['no version', 'MissingParameter', { headers: { 'x-tc-version': undefined } }],
    ['no timestamp', 'MissingParameter', { headers: { 'x-tc-timestamp': undefined } }],
    ['another version', 'NoSuchVersion', { headers: { 'x-tc-version': '2017-03-12' } }],
    ['a form', 'UnsupportedProtocol', { headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
    ['a body that is not JSON', 'InvalidParameter', { body: '{' }],
    ['a body that is not UTF-8', 'InvalidParameter', { body: Buffer.from('7b22ff22', 'hex') }],
    ['a body that is not an object', 'InvalidParameter', { body: '[]' }],
    [
      'a body of more than 10 MiB',
      'RequestSizeLimitExceeded',
      { body: Buffer.alloc(10 * 1024 ** 2 + 1, 32) },
    ],
  ];
  test.each(rejections)('rejects %s', async (_, code, options) => {
    const { vod } = await startService();
    expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE, options)).toBe(code);
    await apply(vod.endpoint);
  });

  test('rejects a clock that is more than five minutes off', async () => {
    const now = Date.UTC(2026, 0, 1);
    const { vod } = await startService({ now: () => now });
    const errorAt = (time: number) => apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE, { time });
    expect(await errorAt(now - 5 * MINUTE)).toBe('');
    expect(await errorAt(now + 5 * MINUTE)).toBe('');
    expect(await errorAt(now - 5 * MINUTE - 1000)).toBe('AuthFailure.SignatureExpire');
    expect(await errorAt(now + 5 * MINUTE + 1000)).toBe('AuthFailure.SignatureExpire');
  });

  test('rejects a changed body', async () => {
    const { vod } = await startService();
    const signed = Buffer.from(JSON.stringify(TYPE));
    const names = ['content-type', 'host'];
    const { host } = new URL(vod.endpoint);
    const timestamp = Math.floor(Date.now() / 1000);
    const headers = { 'content-type': 'application/json' };
    const signature = signTc3(SECRETS.secretKey, {
      headers,
      body: signed,
      names,
      timestamp,
      service: 'vod',
      host,
    });
    const date = new Date(timestamp * 1000).toISOString().slice(0, 10);
    const authorization = `TC3-HMAC-SHA256 Credential=${SECRETS.secretId}/${date}/vod/tc3_request, SignedHeaders=content-type;host, Signature=${signature}`;
    const changes = { headers: { ...headers, authorization, 'x-tc-timestamp': String(timestamp) } };
    expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE, changes)).toBe('');
    expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', { MediaType: 'mp3' }, changes)).toBe(
      'AuthFailure.SignatureFailure',
    );
  });

  test('requires the token of temporary keys of the account', async () => {
    const { vod } = await startService({ secrets: { ...SECRETS, token: 'the-token' } });
    const errorWith = (token?: string) =>
      apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE, { headers: { 'x-tc-token': token } });
    expect(await errorWith()).toBe('AuthFailure.TokenFailure');
    expect(await errorWith('another')).toBe('AuthFailure.TokenFailure');
    expect(await errorWith('the-token')).toBe('');
  });

  test('accepts signed headers in any selection that contains the host and the content type', async () => {
    const { vod } = await startService();
    const names = ['content-type', 'host', 'x-tc-action', 'x-tc-timestamp'];
    expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE, { names })).toBe('');
  });

  test('rejects every other action', async () => {
    const { vod } = await startService();
    for (const action of ['ApplyUploadUGC', 'DeleteMedia', 'toString', '']) {
      expect(await apiErrorOf(vod.endpoint, action, {})).toBe('InvalidAction');
    }
  });

  test('counts the calls of each action, 100 within a second, and none that are unsigned', async () => {
    let time = Date.UTC(2026, 0, 1);
    const { vod } = await startService({ now: () => time });
    const describeTask = (key = {}) =>
      apiErrorOf(vod.endpoint, 'DescribeTaskDetail', { TaskId: 'none' }, { time, key });
    for (let n = 0; n < 5; n++)
      expect(await describeTask({ secretKey: 'other' })).toBe('AuthFailure.SignatureFailure');
    for (let n = 0; n < 100; n++) expect(await describeTask()).toBe('ResourceNotFound');
    expect(await describeTask()).toBe('RequestLimitExceeded');
    expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE, { time })).toBe('');
    time += 1000;
    expect(await describeTask()).toBe('ResourceNotFound');
  });

  test('has no limit when the quota is switched off', async () => {
    const { vod } = await startService({ quota: false });
    for (let n = 0; n < 102; n++) expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE)).toBe('');
  });
});
