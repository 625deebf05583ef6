import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer, type Server } from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { CosClient, PartBody } from '../../../lib/cos/client.ts';
import { StorageUnavailable } from '../../../lib/errors.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import {
  AT,
  BYTES,
  confirm,
  connectToCos,
  crcsOf,
  inPieces,
  newPart,
  respondError,
  respondXml,
  SECRET_KEY,
  startScriptedCos,
  TOKEN,
} from '../../support/cos-client.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import type { Responder } from '../../support/scripted-server.ts';
import { failureOf, hash, MIB, never } from '../../support/values.ts';
import { resetConnection, respondHttp, truncateBody } from '../../support/vod-account.ts';

const STREAM: PartBody = () => inPieces(BYTES, MIB);
const PART = `UploadPart 7 of cos://${AT.bucket}/${AT.key}, ${BYTES.length} bytes: `;
const uploadPart = (cos: CosClient, body: PartBody = BYTES, signal = never) =>
  cos.uploadPart(AT, newPart({ body }), signal);

/** The first attempt and four retries. */
const MAX_ATTEMPTS = 5;

const TEMPORARY: [string, Responder, message: string][] = [
  ['InternalError', respondError(500, 'InternalError'), 'HTTP 500 InternalError (no).'],
  ['SlowDown', respondError(503, 'SlowDown', 'Reduce your request rate'), 'HTTP 503 SlowDown (Reduce'],
  ['RequestTimeout', respondError(400, 'RequestTimeout'), 'HTTP 400 RequestTimeout'],
  ['HTTP 429', respondHttp(429, ''), 'HTTP 429'],
  ['a page of a proxy', respondHttp(502, '<h1>busy</h1>'), 'HTTP 502 ("<h1>busy</h1>").'],
  ['a truncated response', truncateBody, 'cannot be reached: '],
  ['a reset connection', resetConnection, 'cannot be reached: '],
];

describe('a temporary error', () => {
  test.each(TEMPORARY)('is retried with the same bytes: %s', async (_, failure) => {
    accelerateTimers();
    for (const body of [BYTES, STREAM]) {
      const { cos, requests } = await startScriptedCos(failure, failure, confirm);
      expect(await uploadPart(cos, body)).toEqual(crcsOf(BYTES));
      expect(requests).toHaveLength(3);
      expect(requests.every((request) => request.body.equals(BYTES))).toBe(true);
    }
  });

  test.each(TEMPORARY)('becomes VodUnavailable after the last retry: %s', async (_, failure, expected) => {
    accelerateTimers();
    const { cos, requests } = await startScriptedCos(failure);
    const { message } = await expectFailure(uploadPart(cos), 'VodUnavailable', expected);
    expect(message.startsWith(PART)).toBe(true);
    expect(requests).toHaveLength(MAX_ATTEMPTS);
  });

  test('names the endpoint when there is no server', async () => {
    accelerateTimers();
    const message = /127.0.0.1:1 cannot be reached: .*ECONNREFUSED/;
    for (const body of [BYTES, STREAM])
      await expectFailure(uploadPart(connectToCos('http://127.0.0.1:1'), body), 'VodUnavailable', message);
  });

  test('ends a call without a response at its timeout', async () => {
    accelerateTimers(400);
    const real = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => real(ms / 400));
    for (const body of [BYTES, STREAM]) {
      const { cos, requests } = await startScriptedCos(() => {});
      await expectFailure(uploadPart(cos, body), 'VodUnavailable', 'no response within 60000 ms');
      expect(requests).toHaveLength(MAX_ATTEMPTS);
    }
  });

  test('ends a response that stalls', async () => {
    accelerateTimers(100);
    const { cos } = await startScriptedCos((response) => void response.write('<Init'));
    const call = cos.createMultipartUpload(AT, never);
    await expectFailure(call, 'VodUnavailable', 'the response stalled for 10000 ms');
  });

  const CREATE_RESPONSES: [string, Responder][] = [
    ['JSON', respondHttp(200, '{}')],
    ['nothing', respondHttp(200, '')],
    ['another element', respondXml('<ListPartsResult/>')],
    ['no ID', respondXml('<InitiateMultipartUploadResult><Key>k</Key></InitiateMultipartUploadResult>')],
    ['XML that ends early', respondHttp(200, '<InitiateMultipartUploadResult><UploadId>1')],
  ];
  test.each(CREATE_RESPONSES)('is a response that is not documented: %s', async (_, responder) => {
    accelerateTimers();
    const { cos } = await startScriptedCos(responder);
    const call = cos.createMultipartUpload(AT, never);
    await expectFailure(call, 'VodUnavailable', 'unexpected response');
  });

  test('is a part whose CRC is missing', async () => {
    accelerateTimers();
    const etag = `"${hash('md5', BYTES)}"`;
    const { cos } = await startScriptedCos((response) => response.writeHead(200, { etag }).end());
    await expectFailure(uploadPart(cos), 'VodUnavailable', 'expected x-cos-hash-crc64ecma, got none');
  });
});

describe('a permanent error', () => {
  test.each([
    [403, 'AccessDenied', 'VodRejected', 'Check the clock, and the permissions of the keys.'],
    [403, 'RequestTimeTooSkewed', 'VodRejected', 'Check the clock.'],
    [403, 'SignatureDoesNotMatch', 'VodRejected', 'Check VOD_SECRET_KEY'],
    [403, 'InvalidAccessKeyId', 'VodRejected', 'Check VOD_SECRET_ID'],
    [404, 'NoSuchBucket', 'VodRejected', 'Check VOD_STORAGE_REGION'],
    [400, 'EntityTooSmall', 'VodRejected', 'HTTP 400 EntityTooSmall (no).'],
    [400, 'BadDigest', 'PartRejected', 'HTTP 400 BadDigest (no).'],
    [400, 'InvalidDigest', 'PartRejected', ''],
    [404, 'NoSuchUpload', 'UploadNotFound', 'HTTP 404 NoSuchUpload (no).'],
    [403, 'ExpiredToken', 'UploadNotFound', ''],
  ])('is not retried: HTTP %i %s becomes %s', async (status, code, name, message) => {
    const { cos, requests } = await startScriptedCos(respondError(status, code));
    const error = await expectFailure(uploadPart(cos), name, message);
    expect(error.message.startsWith(`${PART}HTTP ${status} ${code}`)).toBe(true);
    expect(requests).toHaveLength(1);
  });

  test.each(['AccessDenied', 'InvalidAccessKeyId'])(
    'of keys that have expired becomes UploadNotFound: %s',
    async (code) => {
      const { cos } = await startScriptedCos(respondError(403, code));
      const expired = { ...AT, keys: { ...AT.keys, expires: Math.floor(Date.now() / 1000) } };
      const message = 'The keys have expired.';
      await expectFailure(cos.uploadPart(expired, newPart(), never), 'UploadNotFound', message);
    },
  );

  test('without a body names the status', async () => {
    const { cos } = await startScriptedCos(respondHttp(403, ''));
    await expectFailure(
      cos.headObject(AT, never),
      'VodRejected',
      `HEAD cos://${AT.bucket}/${AT.key}: HTTP 403. Check the clock`,
    );
  });

  // Otherwise a signed request could go to another host.
  test.each([301, 302, 307, 308])('a redirect is not followed: HTTP %i', async (status) => {
    const other = await startScriptedCos(confirm);
    const { cos, requests } = await startScriptedCos(
      respondHttp(status, '', { location: `${other.endpoint}/x` }),
    );
    await expectFailure(
      uploadPart(cos),
      'VodRejected',
      /a redirect, which is not followed.*VOD_COS_ENDPOINT/,
    );
    expect([requests.length, other.requests.length]).toEqual([1, 0]);
  });

  test('keeps the messages of COS short', async () => {
    const { cos } = await startScriptedCos(respondError(400, 'Odd', 'x'.repeat(9_000)));
    const { message } = await failureOf(uploadPart(cos));
    expect(message.length).toBeLessThan(700);
  });
});

/** Starts a server that does not read what it receives. */
async function startServer(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
}

describe('a stream', () => {
  /** A stream that records its ends. */
  function recording(read: () => AsyncIterable<Uint8Array>) {
    const ends: number[] = [];
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        yield* read();
      } finally {
        ends.push(ends.length);
      }
    }
    return { body, ends };
  }

  test('that fails ends the call with its error, and is not retried', async () => {
    const error = new StorageUnavailable('GET s3://b/k: no data');
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield BYTES.subarray(0, MIB);
      throw error;
    }
    const { body, ends } = recording(failing);
    const { cos } = await startScriptedCos(confirm);
    expect(await failureOf(uploadPart(cos, body))).toBe(error);
    expect(ends).toHaveLength(1);
  });

  test.each([
    ['fewer', BYTES.length + 1],
    ['more', BYTES.length - 1],
    ['more', 2 * MIB],
  ])('of %s bytes than announced fails', async (_, size) => {
    const { cos } = await startScriptedCos(confirm);
    const call = cos.uploadPart(AT, newPart({ body: STREAM, size }), never);
    await expectFailure(call, 'RangeError', `expected a body of ${size} bytes`);
  });

  test('that COS does not read is a stalled request, and is closed before each retry', async () => {
    accelerateTimers(100);
    const endpoint = await startServer(
      createTcpServer((socket) => void socket.pause().on('error', () => {})),
    );
    let open = 0;
    const endless: () => AsyncIterable<Uint8Array> = async function* () {
      open++;
      try {
        for (let n = 0; n < 64; n++) yield Buffer.alloc(MIB);
      } finally {
        open--;
      }
    };
    const cos = connectToCos(endpoint);
    const call = cos.uploadPart(AT, newPart({ body: endless, size: 64 * MIB }), never);
    await expectFailure(call, 'VodUnavailable', 'the request stalled for 10000 ms');
    expect(open).toBe(0);
  });

  test('that COS rejects early is closed', async () => {
    const endpoint = await startServer(createHttpServer((_, response) => response.writeHead(403).end()));
    const { body, ends } = recording(async function* () {
      for (let n = 0; n < 64; n++) yield Buffer.alloc(MIB);
    });
    const cos = connectToCos(endpoint);
    const { name } = await failureOf(cos.uploadPart(AT, newPart({ body, size: 64 * MIB }), never));
    expect(['VodRejected', 'VodUnavailable']).toContain(name);
    expect(ends.length).toBeGreaterThan(0);
  });
});

describe('the signal', () => {
  const reason = new Error('time limit');

  test('prevents a call that has not started', async () => {
    const { cos, requests } = await startScriptedCos(confirm);
    expect(await failureOf(uploadPart(cos, BYTES, AbortSignal.abort(reason)))).toBe(reason);
    expect(requests).toEqual([]);
  });

  test.each([
    ['bytes', BYTES],
    ['a stream', STREAM],
  ])('ends a call that waits for a response to %s', async (_, body) => {
    const controller = new AbortController();
    const { cos, requests, arrived } = await startScriptedCos(() => {});
    const sending = failureOf(uploadPart(cos, body, controller.signal));
    await arrived;
    controller.abort(reason);
    expect(await sending).toBe(reason);
    expect(requests).toHaveLength(1);
  });
});

test('no error contains the secret key, the token, or a signature', async () => {
  accelerateTimers();
  const signatures: string[] = [];
  const quote =
    (status: number, wrap: (text: string) => string): Responder =>
    (response, request) => {
      const { authorization = '' } = request.headers;
      const signature = authorization.slice(-40);
      signatures.push(signature);
      const texts = [signature, TOKEN, encodeURIComponent(TOKEN), SECRET_KEY, authorization];
      respondHttp(status, wrap(texts.join(' ')))(response, request);
    };
  const xml = (text: string) =>
    `<Error><Code>AccessDenied</Code><Message>${text.replaceAll('&', '&amp;')}</Message></Error>`;
  const answers = [200, 400, 403, 404, 500].flatMap((status) => [quote(status, xml), quote(status, String)]);
  const leaks = await Promise.all(
    [...answers, ...TEMPORARY.map(([, answer]) => answer)].map(async (answer) => {
      const { cos } = await startScriptedCos(answer);
      const errors = await Promise.all([
        failureOf(uploadPart(cos)),
        failureOf(uploadPart(cos, STREAM)),
        failureOf(cos.createMultipartUpload(AT, never)),
        failureOf(cos.listParts(AT, 'u', never)),
        failureOf(cos.completeMultipartUpload(AT, 'u', [{ number: 1, etag: 'e' }], never)),
      ]);
      return errors.map((error) => inspect(error, { depth: 9 }));
    }),
  );
  const hidden = [SECRET_KEY, TOKEN, encodeURIComponent(TOKEN), ...signatures];
  expect(leaks.flat()).toHaveLength((answers.length + TEMPORARY.length) * 5);
  expect(leaks.flat().filter((text) => hidden.some((secret) => text.includes(secret)))).toEqual([]);
});

test('a signature is made for each attempt, with the current time', async () => {
  accelerateTimers();
  const { cos, requests } = await startScriptedCos((response, request) => {
    const [, start = 0] = /q-key-time=(\d+)/.exec(request.headers.authorization ?? '') ?? [];
    // An hour passes before each response.
    vi.spyOn(Date, 'now').mockReturnValue((Number(start) + 300 + 3600) * 1000);
    (requests.length < 3 ? respondError(500, 'InternalError') : confirm)(response, request);
  });
  await uploadPart(cos);
  const starts = requests.map(({ headers }) =>
    Number(/q-key-time=(\d+)/.exec(headers.authorization ?? '')?.[1]),
  );
  const [first = 0] = starts;
  expect(starts).toEqual([first, first + 3600, first + 7200]);
});
