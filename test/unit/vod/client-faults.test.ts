import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import type { VodClient } from '../../../lib/vod/client.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import type { Answer } from '../../support/scripted-server.ts';
import { failureOf, fileId, never, sha1 } from '../../support/values.ts';
import { against, connect, cut, FILE, http, KEY, reset, says, TOKEN } from '../../support/vod-account.ts';

const BYTES = Buffer.from('the bytes of a part');
const part = (vod: VodClient, signal = never) =>
  vod.uploadPart(FILE.sha1, { offset: 0, size: BYTES.length }, BYTES, signal);
const PART = `UploadPart part at 0, 19 bytes, of SHA-1 ${FILE.sha1}`;

/** Tries of one call, the first and the repeats. */
const TRIES = 5;

const PASSING: [string, Answer, told: string][] = [
  ['HTTP 500', http(500, '{"code":0}'), 'HTTP 500: "{\\"code\\":0}"'],
  ['HTTP 503', http(503, '<h1>busy</h1>'), 'HTTP 503: "<h1>busy</h1>"'],
  ['HTTP 429', http(429, ''), 'HTTP 429: ""'],
  ['a reply that is not JSON', http(200, '<html>'), 'HTTP 200: expected JSON, got "<html>"'],
  ['an empty reply', http(200, ''), 'HTTP 200: expected JSON, got ""'],
  ['a reply without a code', http(200, '{}'), 'HTTP 200: expected a reply, got "{}"'],
  ['a reply that breaks off', cut, 'cannot be reached: '],
  ['a connection that is reset', reset, 'cannot be reached: '],
  ['code 1, which no part gets', says({ code: 1 }), 'unexpected reply'],
  ...[4200, 4500, 6000, 6100, 6200].map((code): [string, Answer, string] => [
    `code ${code}`,
    says({ code, message: 'oh' }),
    `code ${code} (oh)`,
  ]),
  ['an unknown code that can be repeated', says({ code: -10099, canRetry: 1 }), 'code -10099'],
];

describe('a passing fault', () => {
  test.each(PASSING)('%s: repeated as a new request', async (_, fault) => {
    accelerateTimers();
    const { vod, asked } = await against(fault, fault, says({ code: 0 }));
    await part(vod);
    expect(asked).toHaveLength(3);
    expect(asked.every(({ body }) => body.equals(BYTES))).toBe(true);
    const said = (name: string) => asked.map(({ query }) => query.get(name));
    expect(new Set(said('Nonce')).size).toBe(3);
    expect(new Set(said('Signature')).size).toBe(3);
    expect(new Set(said('offset')).size).toBe(1);
  });

  test('a repeat has the time at which it is made', async () => {
    accelerateTimers();
    const { vod, asked } = await against((response, call) => {
      // An hour passes before each reply.
      vi.spyOn(Date, 'now').mockReturnValue((Number(call.query.get('Timestamp')) + 3600) * 1000);
      (asked.length < 3 ? http(500, '') : says({ code: 0 }))(response, call);
    });
    await part(vod);
    const [first = 0, ...later] = asked.map(({ query }) => Number(query.get('Timestamp')));
    expect(later).toEqual([first + 3600, first + 7200]);
  });

  test('that does not pass: VodUnavailable, saying what was tried, where, and what came', async () => {
    accelerateTimers();
    await Promise.all(
      PASSING.map(async ([, fault, told]) => {
        const { vod, asked } = await against(fault);
        const { name, message } = await failureOf(part(vod));
        expect([name, message]).toEqual(['VodUnavailable', expect.stringContaining(told)]);
        expect(message.startsWith(`${PART}: `)).toBe(true);
        expect(asked).toHaveLength(TRIES);
      }),
    );
  });

  test.each([-10004, -10005, 5100])(
    'code %i that can be repeated: when that does not help, the upload is begun again',
    async (code) => {
      accelerateTimers();
      const answer = says({ code, canRetry: 1 });
      const passing = await against(answer, says({ code: 0 }));
      await part(passing.vod);
      expect(passing.asked).toHaveLength(2);
      const { vod, asked } = await against(answer);
      expect((await failureOf(part(vod))).name).toBe('UploadNotFound');
      expect(asked).toHaveLength(TRIES);
      // There is nothing before InitUpload to go back to.
      expect((await failureOf(vod.initUpload(FILE, never))).name).toBe('VodUnavailable');
    },
  );

  test.each([-10004, -10005, 5100])('code %i of a cover: there is nothing to begin again', async (code) => {
    accelerateTimers();
    const { vod, asked } = await against(says({ code }));
    const bytes = Buffer.from('an image');
    const cover = { sha1: sha1(bytes), bytes, fileName: 'ep1', fileType: 'jpg', coverOf: fileId('12345') };
    expect(await failureOf(vod.uploadSmallFile(cover, never))).toMatchObject({
      name: 'VodUnavailable',
      message: expect.stringContaining('SmallFileUpload ep1.jpg, 8 bytes, as the cover of 12345'),
    });
    expect(asked).toHaveLength(TRIES);
  });

  test('nobody there: the address is named', async () => {
    accelerateTimers();
    expect(await failureOf(part(connect('http://127.0.0.1:1/v2/index.php')))).toMatchObject({
      name: 'VodUnavailable',
      message: expect.stringMatching(/127.0.0.1:1 cannot be reached: .*ECONNREFUSED/),
    });
  });

  test('a reply that stands still in the middle is given up, long before the call is', async () => {
    accelerateTimers();
    const { vod, asked } = await against(
      (response) => void response.writeHead(200, { 'content-length': '100' }).write('{"code":'),
      says({ code: 0 }),
    );
    await part(vod);
    expect(asked).toHaveLength(2);
    const { vod: stuck } = await against((response) => void response.writeHead(200).write('{"code":'));
    expect(await failureOf(part(stuck))).toMatchObject({
      name: 'VodUnavailable',
      message: expect.stringContaining('the reply stood still for 10000 ms'),
    });
  });

  test('a service that never answers is given up', async () => {
    accelerateTimers();
    const real = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => real(ms / 400));
    const { vod, asked } = await against(() => {});
    expect(await failureOf(part(vod))).toMatchObject({
      name: 'VodUnavailable',
      message: expect.stringContaining('no reply within 60000 ms'),
    });
    expect(asked.length).toBeGreaterThan(1);
  });
});

describe('a refusal', () => {
  test.each([-10001, -10002, -10003, 4000, 4100, 4300, 5000, -77])(
    'code %i: VodRejected, not repeated',
    async (code) => {
      const { vod, asked } = await against(says({ code, message: 'no', codeDesc: 'Never' }));
      expect(await failureOf(part(vod))).toMatchObject({
        name: 'VodRejected',
        message: expect.stringMatching(`^${PART}: code ${code} \\(no, Never\\)`),
      });
      expect(asked).toHaveLength(1);
    },
  );

  test.each([
    ['-10006: the bytes are to be read again', says({ code: -10006, canRetry: 1 }), 'PartRejected'],
    ['-10004: the upload is to be opened again', says({ code: -10004 }), 'UploadNotFound'],
    ['-10005: the upload is to be opened again', says({ code: -10005 }), 'UploadNotFound'],
    ['a page that is not the service’s', http(404, '<h1>Not found</h1>'), 'VodRejected'],
  ])('%s, not repeated', async (_, answer, name) => {
    const { vod, asked } = await against(answer);
    expect((await failureOf(part(vod))).name).toBe(name);
    expect(asked).toHaveLength(1);
  });

  test('5100 of Finish: UploadNotFound, since sending what it lacks mends it', async () => {
    const { vod, asked } = await against(says({ code: 5100, message: '2 parts are missing' }));
    expect(await failureOf(vod.finishUpload(FILE.sha1, never))).toMatchObject({
      name: 'UploadNotFound',
      message: `FinishUpload SHA-1 ${FILE.sha1}: code 5100 (2 parts are missing)`,
    });
    expect(asked).toHaveLength(1);
  });

  test('4400: QuotaExceeded, after repeats', async () => {
    accelerateTimers();
    const { vod, asked } = await against(says({ code: 4400 }));
    expect((await failureOf(part(vod))).name).toBe('QuotaExceeded');
    expect(asked).toHaveLength(TRIES);
    const passing = await against(says({ code: 4400 }), says({ code: 0 }));
    await part(passing.vod);
    expect(passing.asked).toHaveLength(2);
  });

  test.each([301, 302, 307, 308])(
    'HTTP %i: not followed, a signed request goes nowhere else',
    async (status) => {
      const elsewhere = await against(says({ code: 0 }));
      const { vod, asked } = await against(
        http(status, '', { location: `${elsewhere.endpoint}/v2/index.php` }),
      );
      expect(await failureOf(part(vod))).toMatchObject({
        name: 'VodRejected',
        message: expect.stringMatching(/a redirect, which is not followed.*VOD_ENDPOINT/),
      });
      expect([asked.length, elsewhere.asked.length]).toEqual([1, 0]);
    },
  );
});

describe('the signal', () => {
  const reason = new Error('time is over');

  test('before a call: nothing is sent', async () => {
    const { vod, asked } = await against(says({ code: 0 }));
    expect(await failureOf(part(vod, AbortSignal.abort(reason)))).toBe(reason);
    expect(asked).toEqual([]);
  });

  test('during a call: it ends at once', async () => {
    const controller = new AbortController();
    const { vod, asked, arrived } = await against(() => {});
    const sending = failureOf(part(vod, controller.signal));
    await arrived;
    controller.abort(reason);
    expect(await sending).toBe(reason);
    expect(asked).toHaveLength(1);
  });

  test('between two tries: there is no other', async () => {
    const controller = new AbortController();
    const { vod, asked } = await against((response) => {
      response.on('close', () => setImmediate(() => controller.abort(reason)));
      response.writeHead(500).end();
    });
    // What went wrong before may be told instead of the end.
    const { message } = await failureOf(part(vod, controller.signal));
    expect(message).toMatch(/^time is over$|HTTP 500/);
    expect(asked).toHaveLength(1);
  });
});

/** A service, or a proxy before it, that tells what it was asked: here the parts of it that no log shall hold. */
const REPEATING: Answer[] = [
  (said: string[]) => says({ code: -10001, message: said.join(' '), codeDesc: said.toReversed().join(' ') }),
  (said: string[]) => says({ code: said.join(' '), message: said }),
  (said: string[]) => http(500, said.join(' ')),
  (said: string[]) => http(404, said.join(' ')),
  (said: string[]) => http(200, said.toReversed().join(' ')),
].map((answer) => (response, call) => {
  const secrets = [call.query.get('Signature') ?? '', call.query.get('Token') ?? '', KEY];
  answer([...secrets.map(encodeURIComponent), ...secrets])(response, call);
});

test('no error tells the secret key, the token, or a signature, whatever goes wrong', async () => {
  accelerateTimers();
  const echo: Answer = (response, { query }) => response.writeHead(404).end(`no such page: ${query}`);
  const codes = [-10001, -10002, -10003, -10004, -10005, -10006, 4000, 4100, 4300, 4400, 5000, 5100, -77];
  const answers = [
    ...PASSING.map(([, answer]) => answer),
    ...codes.map((code) => says({ code })),
    echo,
    ...REPEATING,
  ];
  const secrets = { secretId: 'the-id', secretKey: KEY, token: TOKEN };
  const told = await Promise.all(
    answers.map(async (answer) => {
      const { endpoint, asked } = await against(answer);
      const vod = connect(`${endpoint}/v2/index.php`, { secrets });
      const errors = await Promise.all([
        failureOf(vod.initUpload(FILE, never)),
        failureOf(part(vod)),
        failureOf(vod.finishUpload(FILE.sha1, never)),
      ]);
      const signatures = asked.map(({ query }) => query.get('Signature') ?? '');
      const hidden = [KEY, TOKEN, ...signatures, ...signatures.map(encodeURIComponent)];
      return errors
        .filter(({ name }) => name !== 'no error')
        .map((error) => inspect(error, { depth: 9 }))
        .map((text) => hidden.filter((secret) => text.includes(secret)));
    }),
  );
  const all = told.flat();
  expect(all.length).toBeGreaterThan(answers.length * 2);
  expect(all.flat()).toEqual([]);
});
