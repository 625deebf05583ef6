import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import type { VodClient } from '../../../../lib/vod/v2/client.ts';
import { accelerateTimers } from '../../../support/accelerate-timers.ts';
import { expectFailure } from '../../../support/expect-failure.ts';
import type { Responder } from '../../../support/scripted-server.ts';
import { failureOf, fileId, never, sha1 } from '../../../support/values.ts';
import {
  connectTo,
  FILE,
  KEY,
  resetConnection,
  respond,
  respondHttp,
  startScriptedVod,
  TOKEN,
  truncateBody,
} from '../../../support/vod-account.ts';

const BYTES = Buffer.from('the bytes of a part');
const uploadPart = (vod: VodClient, signal = never) =>
  vod.uploadPart(FILE.sha1, { offset: 0, size: BYTES.length }, BYTES, signal);
const PART = `UploadPart part at 0, 19 bytes, of SHA-1 ${FILE.sha1}`;

/** The first attempt and four retries. */
const MAX_ATTEMPTS = 5;

const TEMPORARY: [string, Responder, message: string][] = [
  ['HTTP 500', respondHttp(500, '{"code":0}'), 'HTTP 500: "{\\"code\\":0}"'],
  ['HTTP 503', respondHttp(503, '<h1>busy</h1>'), 'HTTP 503: "<h1>busy</h1>"'],
  ['HTTP 429', respondHttp(429, ''), 'HTTP 429: ""'],
  ['a response that is not JSON', respondHttp(200, '<html>'), 'HTTP 200: expected JSON, got "<html>"'],
  ['an empty response', respondHttp(200, ''), 'HTTP 200: expected JSON, got ""'],
  ['a response without a code', respondHttp(200, '{}'), 'HTTP 200: expected a response, got "{}"'],
  ['a truncated response', truncateBody, 'cannot be reached: '],
  ['a reset connection', resetConnection, 'cannot be reached: '],
  ['code 1, which UploadPart does not have', respond({ code: 1 }), 'unexpected response'],
  ...[4200, 4500, 6000, 6100, 6200].map((code): [string, Responder, string] => [
    `code ${code}`,
    respond({ code, message: 'oh' }),
    `code ${code} (oh)`,
  ]),
  ['an unknown code with canRetry', respond({ code: -10099, canRetry: 1 }), 'code -10099'],
];

describe('a temporary error', () => {
  test.each(TEMPORARY)('is retried as a new request: %s', async (_, failure) => {
    accelerateTimers();
    const { vod, requests } = await startScriptedVod(failure, failure, respond({ code: 0 }));
    await uploadPart(vod);
    expect(requests).toHaveLength(3);
    expect(requests.every(({ body }) => body.equals(BYTES))).toBe(true);
    const valuesOf = (name: string) => requests.map(({ query }) => query.get(name));
    expect(new Set(valuesOf('Nonce')).size).toBe(3);
    expect(new Set(valuesOf('Signature')).size).toBe(3);
    expect(new Set(valuesOf('offset')).size).toBe(1);
  });

  test('is retried with the current time', async () => {
    accelerateTimers();
    const { vod, requests } = await startScriptedVod((response, call) => {
      // An hour passes before each response.
      vi.spyOn(Date, 'now').mockReturnValue((Number(call.query.get('Timestamp')) + 3600) * 1000);
      (requests.length < 3 ? respondHttp(500, '') : respond({ code: 0 }))(response, call);
    });
    await uploadPart(vod);
    const [first = 0, ...later] = requests.map(({ query }) => Number(query.get('Timestamp')));
    expect(later).toEqual([first + 3600, first + 7200]);
  });

  test('becomes VodUnavailable after the last retry, with the call and the response', async () => {
    accelerateTimers();
    await Promise.all(
      TEMPORARY.map(async ([, failure, expected]) => {
        const { vod, requests } = await startScriptedVod(failure);
        const { message } = await expectFailure(uploadPart(vod), 'VodUnavailable', expected);
        expect(message.startsWith(`${PART}: `)).toBe(true);
        expect(requests).toHaveLength(MAX_ATTEMPTS);
      }),
    );
  });

  const UPLOAD_IS_GONE = [-10004, -10005, 5100];

  test('becomes UploadNotFound after the last retry if the code says that VOD lost the upload', async () => {
    accelerateTimers();
    await Promise.all(
      UPLOAD_IS_GONE.map(async (code) => {
        const answer = respond({ code, canRetry: 1 });
        const recovering = await startScriptedVod(answer, respond({ code: 0 }));
        await uploadPart(recovering.vod);
        expect(recovering.requests, `code ${code}`).toHaveLength(2);
        const { vod, requests } = await startScriptedVod(answer);
        await expectFailure(uploadPart(vod), 'UploadNotFound', `code ${code}`);
        expect(requests, `code ${code}`).toHaveLength(MAX_ATTEMPTS);
      }),
    );
  });

  // Neither InitUpload nor a cover has an earlier call to restart from.
  test('becomes VodUnavailable for InitUpload and for a cover, also with these codes', async () => {
    accelerateTimers();
    const bytes = Buffer.from('an image');
    const cover = { sha1: sha1(bytes), bytes, fileName: 'ep1', fileType: 'jpg', coverOf: fileId('12345') };
    const message = 'SmallFileUpload ep1.jpg, 8 bytes, as the cover of 12345';
    await Promise.all(
      UPLOAD_IS_GONE.flatMap((code) =>
        [
          (vod: VodClient) => expectFailure(vod.uploadSmallFile(cover, never), 'VodUnavailable', message),
          (vod: VodClient) => expectFailure(vod.initUpload(FILE, never), 'VodUnavailable', `code ${code}`),
        ].map(async (call) => {
          const { vod, requests } = await startScriptedVod(respond({ code, canRetry: 1 }));
          await call(vod);
          expect(requests, `code ${code}`).toHaveLength(MAX_ATTEMPTS);
        }),
      ),
    );
  });

  test('names the endpoint when there is no server', async () => {
    accelerateTimers();
    const message = /127.0.0.1:1 cannot be reached: .*ECONNREFUSED/;
    await expectFailure(uploadPart(connectTo('http://127.0.0.1:1/v2/index.php')), 'VodUnavailable', message);
  });

  test('ends a response that stalls, before the timeout of the call', async () => {
    accelerateTimers();
    const { vod, requests } = await startScriptedVod(
      (response) => void response.writeHead(200, { 'content-length': '100' }).write('{"code":'),
      respond({ code: 0 }),
    );
    const { vod: stalled } = await startScriptedVod((response) => void response.write('{"code":'));
    const message = 'the response stalled for 10000 ms';
    await Promise.all([uploadPart(vod), expectFailure(uploadPart(stalled), 'VodUnavailable', message)]);
    expect(requests).toHaveLength(2);
  });

  test('ends a call without a response at its timeout', async () => {
    accelerateTimers();
    const real = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => real(ms / 400));
    const { vod, requests } = await startScriptedVod(() => {});
    await expectFailure(uploadPart(vod), 'VodUnavailable', 'no response within 60000 ms');
    expect(requests.length).toBeGreaterThan(1);
  });
});

describe('a permanent error', () => {
  const PERMANENT = [-10001, -10002, -10003, 4000, 4100, 4300, 5000, -77];
  test.each(PERMANENT)('becomes VodRejected without a retry: code %i', async (code) => {
    const { vod, requests } = await startScriptedVod(respond({ code, message: 'no', codeDesc: 'Never' }));
    const message = new RegExp(`^${PART}: code ${code} \\(no, Never\\)`);
    await expectFailure(uploadPart(vod), 'VodRejected', message);
    expect(requests).toHaveLength(1);
  });

  test.each([
    ['code -10006 becomes PartRejected', respond({ code: -10006, canRetry: 1 }), 'PartRejected'],
    ['code -10004 becomes UploadNotFound', respond({ code: -10004 }), 'UploadNotFound'],
    ['code -10005 becomes UploadNotFound', respond({ code: -10005 }), 'UploadNotFound'],
    ['a page of another server becomes VodRejected', respondHttp(404, '<h1>Not found</h1>'), 'VodRejected'],
  ])('%s without a retry', async (_, answer, name) => {
    const { vod, requests } = await startScriptedVod(answer);
    await expectFailure(uploadPart(vod), name);
    expect(requests).toHaveLength(1);
  });

  test('code 5100 of FinishUpload becomes UploadNotFound, because sending the missing parts helps', async () => {
    const { vod, requests } = await startScriptedVod(respond({ code: 5100, message: '2 parts are missing' }));
    const message = `FinishUpload SHA-1 ${FILE.sha1}: code 5100 (2 parts are missing)`;
    await expectFailure(vod.finishUpload(FILE.sha1, never), 'UploadNotFound', message);
    expect(requests).toHaveLength(1);
  });

  test('code 4400 becomes QuotaExceeded after the last retry', async () => {
    accelerateTimers();
    const { vod, requests } = await startScriptedVod(respond({ code: 4400 }));
    await expectFailure(uploadPart(vod), 'QuotaExceeded');
    expect(requests).toHaveLength(MAX_ATTEMPTS);
    const recovering = await startScriptedVod(respond({ code: 4400 }), respond({ code: 0 }));
    await uploadPart(recovering.vod);
    expect(recovering.requests).toHaveLength(2);
  });

  // Otherwise a signed request could go to another host.
  test.each([301, 302, 307, 308])('a redirect is not followed: HTTP %i', async (status) => {
    const other = await startScriptedVod(respond({ code: 0 }));
    const location = `${other.endpoint}/v2/index.php`;
    const { vod, requests } = await startScriptedVod(respondHttp(status, '', { location }));
    await expectFailure(uploadPart(vod), 'VodRejected', /a redirect, which is not followed.*VOD_ENDPOINT/);
    expect([requests.length, other.requests.length]).toEqual([1, 0]);
  });
});

describe('the signal', () => {
  const reason = new Error('time limit');

  test('prevents a call that has not started', async () => {
    const { vod, requests } = await startScriptedVod(respond({ code: 0 }));
    expect(await failureOf(uploadPart(vod, AbortSignal.abort(reason)))).toBe(reason);
    expect(requests).toEqual([]);
  });

  test('ends a call that waits for a response', async () => {
    const controller = new AbortController();
    const { vod, requests, arrived } = await startScriptedVod(() => {});
    const sending = failureOf(uploadPart(vod, controller.signal));
    await arrived;
    controller.abort(reason);
    expect(await sending).toBe(reason);
    expect(requests).toHaveLength(1);
  });

  test('prevents a retry', async () => {
    const controller = new AbortController();
    const { vod, requests } = await startScriptedVod((response) => {
      response.on('close', () => setImmediate(() => controller.abort(reason)));
      response.writeHead(500).end();
    });
    // The error of the first attempt is also possible.
    const { message } = await failureOf(uploadPart(vod, controller.signal));
    expect(message).toMatch(/^time limit$|HTTP 500/);
    expect(requests).toHaveLength(1);
  });
});

/** Responses that quote the secrets of the request in different fields. */
const QUOTING: Responder[] = [
  (secrets: string[]) =>
    respond({ code: -10001, message: secrets.join(' '), codeDesc: secrets.toReversed().join(' ') }),
  (secrets: string[]) => respond({ code: secrets.join(' '), message: secrets }),
  (secrets: string[]) => respondHttp(500, secrets.join(' ')),
  (secrets: string[]) => respondHttp(404, secrets.join(' ')),
  (secrets: string[]) => respondHttp(200, secrets.toReversed().join(' ')),
].map((answer) => (response, call) => {
  const secrets = [call.query.get('Signature') ?? '', call.query.get('Token') ?? '', KEY];
  answer([...secrets.map(encodeURIComponent), ...secrets])(response, call);
});

test('no error contains the secret key, the token, or a signature', async () => {
  accelerateTimers();
  const echo: Responder = (response, { query }) => response.writeHead(404).end(`no such page: ${query}`);
  const codes = [-10001, -10002, -10003, -10004, -10005, -10006, 4000, 4100, 4300, 4400, 5000, 5100, -77];
  const rejections = codes.map((code) => respond({ code }));
  const answers = [...TEMPORARY.map(([, answer]) => answer), ...rejections, echo, ...QUOTING];
  const secrets = { secretId: 'the-id', secretKey: KEY, token: TOKEN };
  const leaks = await Promise.all(
    answers.map(async (answer) => {
      const { endpoint, requests } = await startScriptedVod(answer);
      const vod = connectTo(`${endpoint}/v2/index.php`, { secrets });
      const errors = await Promise.all([
        failureOf(vod.initUpload(FILE, never)),
        failureOf(uploadPart(vod)),
        failureOf(vod.finishUpload(FILE.sha1, never)),
      ]);
      const signatures = requests.map(({ query }) => query.get('Signature') ?? '');
      const hidden = [KEY, TOKEN, ...signatures, ...signatures.map(encodeURIComponent)];
      return errors
        .filter(({ name }) => name !== 'no error')
        .map((error) => inspect(error, { depth: 9 }))
        .map((text) => hidden.filter((secret) => text.includes(secret)));
    }),
  );
  const all = leaks.flat();
  expect(all.length).toBeGreaterThan(answers.length * 2);
  expect(all.flat()).toEqual([]);
});
