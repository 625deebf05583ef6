import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { CommitUnconfirmed, type VodApi } from '../../../../lib/vod/v2018/api.ts';
import { accelerateTimers } from '../../../support/accelerate-timers.ts';
import { expectFailure } from '../../../support/expect-failure.ts';
import type { Responder } from '../../../support/scripted-server.ts';
import { failureOf, fileId, never } from '../../../support/values.ts';
import {
  KEY,
  resetConnection,
  respond,
  respondHttp,
  TOKEN,
  truncateBody,
} from '../../../support/vod-account.ts';
import { connectToApi, REQUEST_ID, reply, replyError, startScriptedApi } from '../../../support/vod-api.ts';

const ID = fileId('5285890781763144364');
const UPLOAD = { sessionKey: 'the-session-key', path: 'a/b/f0.mp4' };
const commit = (api: VodApi, signal = never) => api.commitUpload(UPLOAD, signal);
const apply = (api: VodApi, signal = never) =>
  api.applyUpload({ mediaType: 'mp4', mediaName: 'clip' }, signal);
const COMMITTED = reply({ FileId: ID, MediaUrl: 'http://v.example/1.mp4' });
const FILE = { fileId: ID, url: 'http://v.example/1.mp4' };

/** The first attempt and four retries. */
const MAX_ATTEMPTS = 5;

const TEMPORARY: [string, Responder, message: string][] = [
  ['HTTP 500', respondHttp(500, '{"Response":{}}'), 'HTTP 500'],
  ['HTTP 429', respondHttp(429, ''), 'HTTP 429'],
  ['InternalError', replyError('InternalError', 'oh'), `InternalError (oh), request ${REQUEST_ID}`],
  ['a case of InternalError', replyError('InternalError.DBError'), 'InternalError.DBError'],
  ['a response that is not JSON', respondHttp(200, '<html>'), 'HTTP 200: expected JSON, got other text of 6'],
  ['an empty response', respondHttp(200, ''), 'HTTP 200: expected JSON'],
  ['a response without Response', respondHttp(200, '{}'), 'Response: expected "Response", got nothing'],
  ['a response without RequestId', respondHttp(200, '{"Response":{}}'), 'Response.RequestId: expected'],
  ['a response that is a list', respondHttp(200, '[]'), 'unexpected response'],
  ['a success without a FileId', reply({ MediaUrl: '' }), 'FileId: expected "FileId", got nothing'],
  [
    'a FileId that is a number',
    reply({ FileId: 12 }),
    'FileId: expected string, got a number, which loses digits',
  ],
  [
    'a FileId of 64 bits',
    respondHttp(200, '{"Response":{"RequestId":"1","FileId":18446744073709551615}}'),
    'loses digits',
  ],
  [
    'a FileId that is other text',
    reply({ FileId: 'x' }),
    'FileId: expected /^[0-9]{1,40}$/, got another string',
  ],
  ['a truncated response', truncateBody, 'cannot be reached: '],
  ['a reset connection', resetConnection, 'cannot be reached: '],
];

describe('a temporary error', () => {
  test.each(TEMPORARY)('is retried: %s', async (_, failure) => {
    accelerateTimers();
    const { api, requests } = await startScriptedApi(failure, failure, COMMITTED);
    expect(await commit(api)).toEqual(FILE);
    expect(requests).toHaveLength(3);
    expect(new Set(requests.map(({ body }) => body.toString())).size).toBe(1);
  });

  test('becomes VodUnavailable after the last retry, with the call and the response', async () => {
    accelerateTimers();
    await Promise.all(
      TEMPORARY.map(async ([, failure, expected]) => {
        const { api, requests } = await startScriptedApi(failure);
        const { message } = await expectFailure(commit(api), 'VodUnavailable', expected);
        expect(message).toMatch(/^CommitUpload a\/b\/f0\.mp4: /);
        expect(requests).toHaveLength(MAX_ATTEMPTS);
      }),
    );
  });

  test('is retried with the current time and another signature', async () => {
    accelerateTimers();
    const { api, requests } = await startScriptedApi((response, call) => {
      // An hour passes before each response.
      vi.spyOn(Date, 'now').mockReturnValue((Number(call.headers['x-tc-timestamp']) + 3600) * 1000);
      (requests.length < 2 ? respondHttp(500, '') : COMMITTED)(response, call);
    });
    await commit(api);
    const [first = 0, second] = requests.map(({ headers }) => Number(headers['x-tc-timestamp']));
    expect(second).toBe(first + 3600);
    expect(new Set(requests.map(({ headers }) => headers.authorization)).size).toBe(2);
  });

  test('ends a call without a response at its timeout', async () => {
    accelerateTimers();
    const real = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => real(ms / 400));
    const { api } = await startScriptedApi(() => {});
    await expectFailure(apply(api), 'VodUnavailable', 'no response within 30000 ms');
  });

  test('is an endless response', async () => {
    accelerateTimers();
    const text = 'x'.repeat(5 * 1024 * 1024);
    const { api } = await startScriptedApi((response) => response.end(text).on('error', () => {}));
    await expectFailure(
      apply(api),
      'VodUnavailable',
      'expected a response of at most 4194304 bytes, got more',
    );
  });
});

describe('a permanent error', () => {
  test.each([
    ['AuthFailure.SecretIdNotFound', 'no', 'VOD_SECRET_ID'],
    ['AuthFailure.SignatureFailure', 'no', 'VOD_SECRET_KEY'],
    ['AuthFailure.SignatureExpire', 'no', 'Set the clock'],
    ['AuthFailure.TokenFailure', 'no', 'VOD_TOKEN'],
    ['AuthFailure', 'no', 'Check VOD_SECRET_ID, VOD_SECRET_KEY, and the clock'],
    ['UnauthorizedOperation', 'not for subAppId 1', 'Check its policy'],
    ['ActionOffline', 'no', 'VOD_API=2.0'],
    ['FailedOperation.InvalidVodUser', 'no', 'activate VOD'],
    ['InvalidParameterValue.SubAppId', 'no', 'VOD_SUB_APP_ID'],
    ['MissingParameter', 'The request is missing the parameter `SubAppId`.', 'VOD_SUB_APP_ID'],
    ['InvalidParameterValue.MediaType', 'no', 'Check the extension'],
    ['InvalidParameterValue.Procedure', 'no', 'VOD_PROCEDURE'],
    ['InvalidParameter.ProcedureNameNotExist', 'no', 'VOD_PROCEDURE'],
    [
      'InvalidParameterValue.StorageRegion',
      'no',
      'Open it once in the console, or choose another one in VOD_STORAGE_REGION',
    ],
    ['InvalidParameterValue.ExpireTime', 'no', 'VOD_EXPIRE_TIME'],
    ['InvalidParameterValue', 'SourceContext is too long', 'VOD_SOURCE_CONTEXT'],
    ['InvalidParameterValue.ClassId', 'no', 'VOD_CLASS_ID'],
  ])('becomes VodRejected without a retry, with what to check: %s', async (code, text, hint) => {
    const { api, requests } = await startScriptedApi(replyError(code, text));
    const { message } = await expectFailure(apply(api), 'VodRejected', hint);
    expect(message.startsWith(`ApplyUpload clip.mp4: ${code} (${text}), request ${REQUEST_ID}: `)).toBe(true);
    expect(requests).toHaveLength(1);
  });

  test('has no hint for an unknown code, and no endless message', async () => {
    const { api } = await startScriptedApi(replyError('Odd', 'x'.repeat(9_000)));
    const { message } = await expectFailure(apply(api), 'VodRejected');
    expect(message).toBe(`ApplyUpload clip.mp4: Odd (${'x'.repeat(400)}), request ${REQUEST_ID}`);
  });

  test('of an endpoint of API 2.0 names the settings', async () => {
    const { api, requests } = await startScriptedApi(respond({ code: 4000 }));
    await expectFailure(apply(api), 'VodRejected', /got one of API 2\.0\. Check VOD_API and VOD_ENDPOINT\.$/);
    expect(requests).toHaveLength(1);
  });

  test('of another server names the endpoint', async () => {
    const { api } = await startScriptedApi(respondHttp(404, '<h1>Not found</h1>'));
    await expectFailure(apply(api), 'VodRejected', /HTTP 404: expected JSON.* Check VOD_ENDPOINT\.$/);
    const success = await startScriptedApi(respondHttp(404, '{"Response":{"RequestId":"1","FileId":"1"}}'));
    await expectFailure(commit(success.api), 'VodRejected', 'expected HTTP 200 for a success');
  });

  // Otherwise a signed request could go to another host.
  test.each([301, 302, 307, 308])('is a redirect, which is not followed: HTTP %i', async (status) => {
    const other = await startScriptedApi(COMMITTED);
    const { api, requests } = await startScriptedApi(respondHttp(status, '', { location: other.endpoint }));
    await expectFailure(commit(api), 'VodRejected', /a redirect, which is not followed.*VOD_ENDPOINT/);
    expect([requests.length, other.requests.length]).toEqual([1, 0]);
  });
});

describe('RequestLimitExceeded', () => {
  test('is retried after a pause', async () => {
    accelerateTimers();
    const limited = replyError('RequestLimitExceeded');
    const { api, requests } = await startScriptedApi(limited, limited, COMMITTED);
    expect(await commit(api)).toEqual(FILE);
    expect(requests).toHaveLength(3);
  });

  test('becomes QuotaExceeded after five rejections', async () => {
    accelerateTimers();
    const { api, requests } = await startScriptedApi(replyError('RequestLimitExceeded.UinLimit'));
    await expectFailure(
      commit(api),
      'QuotaExceeded',
      'CommitUpload a/b/f0.mp4: RequestLimitExceeded.UinLimit',
    );
    expect(requests).toHaveLength(5);
  });
});

describe('commitUpload', () => {
  const GONE = ['ResourceNotFound', 'ResourceNotFound.X', 'InvalidParameterValue.VodSessionKey'];

  test.each(GONE)('throws UploadNotFound without a cause when the session was unknown: %s', async (code) => {
    const { api, requests } = await startScriptedApi(replyError(code));
    const error = await expectFailure(commit(api), 'UploadNotFound', `CommitUpload a/b/f0.mp4: ${code}`);
    expect(error.cause).toBeUndefined();
    expect(requests).toHaveLength(1);
  });

  test.each(GONE)(
    'names the lost response as the cause when the session is gone after it: %s',
    async (code) => {
      accelerateTimers();
      for (const lost of [resetConnection, respondHttp(502, ''), replyError('InternalError')]) {
        const { api, requests } = await startScriptedApi(lost, replyError(code));
        const error = await expectFailure(commit(api), 'UploadNotFound');
        expect(error.cause).toBeInstanceOf(CommitUnconfirmed);
        expect(requests).toHaveLength(2);
      }
    },
  );

  test('throws CommitUnconfirmed when no response arrives, and VodRejected when VOD rejects the call', async () => {
    accelerateTimers();
    const { api } = await startScriptedApi(resetConnection);
    expect(await failureOf(commit(api))).toBeInstanceOf(CommitUnconfirmed);
    const rejecting = await startScriptedApi(replyError('InvalidParameterValue.SubAppId'));
    expect(await failureOf(commit(rejecting.api))).not.toBeInstanceOf(CommitUnconfirmed);
  });

  test('does not count a rejection because of the limit as a lost response', async () => {
    accelerateTimers();
    const { api } = await startScriptedApi(
      replyError('RequestLimitExceeded'),
      replyError('ResourceNotFound'),
    );
    expect((await expectFailure(commit(api), 'UploadNotFound')).cause).toBeUndefined();
  });
});

test('the signal ends a call with its reason', async () => {
  const controller = new AbortController();
  const reason = new Error('time limit');
  const { api, requests, arrived } = await startScriptedApi(() => {});
  const sending = failureOf(commit(api, controller.signal));
  await arrived;
  controller.abort(reason);
  expect(await sending).toBe(reason);
  expect(await failureOf(commit(api, AbortSignal.abort(reason)))).toBe(reason);
  expect(requests).toHaveLength(1);
});

const MEDIA_URL = 'https://b.s3.example/k?X-Amz-Signature=abcdef0123&X-Amz-Security-Token=s3token';
const HIDDEN = [KEY, TOKEN, UPLOAD.sessionKey, 'abcdef0123', 's3token', 'temp-secret', 'temp-token'];

/** Responses that quote the secrets of the request or of the response. */
const QUOTING: Responder[] = [
  (quoted: string) => replyError('InvalidParameter', quoted),
  (quoted: string) => replyError(`Odd.${quoted}`),
  (quoted: string) => replyError(`InternalError.${quoted}`, quoted),
  (quoted: string) =>
    reply({ FileId: quoted, TaskId: [quoted], VodSessionKey: [quoted], StorageRegion: quoted }),
  (quoted: string) => respondHttp(200, quoted),
  (quoted: string) => respondHttp(404, quoted),
  (quoted: string) => respondHttp(500, quoted),
].map((answer) => (response, { headers, body }) => {
  const quoted = [headers.authorization, KEY, TOKEN, encodeURIComponent(TOKEN), body];
  answer(quoted.join(' '))(response, { method: '', path: '', query: new URLSearchParams(), headers, body });
});
/** A response with keys that is truncated, or lacks a field. */
const KEYS = { SecretId: 'i', SecretKey: 'temp-secret', Token: 'temp-token', ExpiredTime: '1' };
const WITH_KEYS = [
  reply({ TempCertificate: KEYS }),
  respondHttp(200, `{"Response":{"TempCertificate":${JSON.stringify(KEYS)}`),
];

test('no error contains a key, a token, a session key, a signature, or a presigned address', async () => {
  accelerateTimers();
  const secrets = { secretId: 'the-id', secretKey: KEY, token: TOKEN };
  const leaks = await Promise.all(
    [...QUOTING, ...WITH_KEYS].map(async (answer) => {
      const { endpoint, requests } = await startScriptedApi(answer);
      const api = connectToApi(endpoint, { secrets });
      const pull = { mediaType: 'mp4', mediaUrl: MEDIA_URL, sessionId: 's' };
      const errors = await Promise.all([
        failureOf(apply(api)),
        failureOf(commit(api)),
        failureOf(api.pullUpload(pull, never)),
      ]);
      const signatures = requests.map(({ headers }) => headers.authorization?.split('Signature=')[1] ?? '?');
      return errors.map((error) => {
        expect(error.name).not.toBe('no error');
        const text = inspect(error, { depth: 9 });
        return [...HIDDEN, ...signatures].filter((secret) => text.includes(secret));
      });
    }),
  );
  expect(leaks.flat(2)).toEqual([]);
});
