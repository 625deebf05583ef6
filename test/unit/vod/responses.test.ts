import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import {
  errorActionFor,
  FinishUploadResponse,
  InitUploadResponse,
  describeError as inWords,
  parseResponse,
  UploadPartResponse,
  type VodReply,
} from '../../../lib/vod/responses.ts';

const reply = (code: number, canRetry = 0): VodReply => ({ code, canRetry, message: '', codeDesc: '' });

function read(text: string): VodReply {
  const result = parseResponse(text);
  if ('reply' in result) return result.reply;
  throw new Error(result.fault);
}
const open = (fields: object) => v.parse(InitUploadResponse, read(JSON.stringify(fields)));

describe('the verdict', () => {
  test.each([
    [-10001, 'stop'],
    [-10002, 'stop'],
    [-10003, 'stop'],
    [-10006, 'resend'],
    [4000, 'stop'],
    [4100, 'stop'],
    [4200, 'repeat'],
    [4300, 'stop'],
    [4400, 'wait'],
    [4500, 'repeat'],
    [5000, 'stop'],
    [6000, 'repeat'],
    [6100, 'repeat'],
    [6200, 'repeat'],
  ])('on code %i is %s, whatever canRetry says', (code, verdict) => {
    expect([errorActionFor(reply(code)), errorActionFor(reply(code, 1))]).toEqual([verdict, verdict]);
  });

  test.each([-10004, -10005, 5100])(
    'on code %i of the upload: as canRetry says, else begin again',
    (code) => {
      expect([errorActionFor(reply(code, 1)), errorActionFor(reply(code))]).toEqual(['repeat', 'lost']);
    },
  );

  test('on any other code is as canRetry says', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.integer({ max: -10007 }),
          fc.integer({ min: -10000, max: -1 }),
          fc.integer({ min: 7000 }),
        ),
        (code) => {
          expect([
            errorActionFor(reply(code, 1)),
            errorActionFor(reply(code)),
            errorActionFor(reply(code, 2)),
          ]).toEqual(['repeat', 'stop', 'stop']);
        },
      ),
    );
  });
});

describe('in words', () => {
  test('the code, the service’s texts once each, and what to check', () => {
    const said = { code: -10002, canRetry: 0, message: 'bad signature', codeDesc: 'AuthFailure' };
    expect(inWords(said)).toBe(
      'code -10002 (bad signature, AuthFailure): the signature is wrong: check VOD_SECRET_KEY, VOD_HOST (the signed host), and the clock',
    );
    expect(inWords({ ...said, code: -1, codeDesc: 'bad signature' })).toBe('code -1 (bad signature)');
    expect(inWords(reply(5000))).toBe('code 5000');
  });
});

describe('reading', () => {
  test('a fileId that is a number keeps all its digits', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 40n - 1n }), (fileId) => {
        const finished = v.parse(FinishUploadResponse, read(`{"code":0,"fileId":${fileId},"url":"u"}`));
        expect(finished.fileId).toBe(String(fileId));
        expect(v.parse(FinishUploadResponse, read(`{"code":0,"fileId":"${fileId}"}`))).toEqual({
          code: 0,
          fileId: String(fileId),
          url: '',
        });
      }),
    );
  });

  test.each(['-1', '1.5', '1e20', 'true', '"x"', 'null', '[1]'])('a fileId of %s is none', (fileId) => {
    const result = parseResponse(`{"code":0,"fileId":${fileId}}`);
    expect('reply' in result && v.is(FinishUploadResponse, result.reply)).toBe(false);
  });

  test('text that speaks of a fileId is left as it is', () => {
    const message = 'no "fileId": 12 and no \\"fileId\\":34';
    expect(read(JSON.stringify({ code: -1, message })).message).toBe(message);
  });

  test('the texts and canRetry may be missing', () => {
    expect(read('{"code":-1}')).toEqual({ code: -1, message: '', codeDesc: '', canRetry: 0 });
  });

  test.each([
    ['not JSON', '<html>busy</html>', 'expected JSON, got "<html>busy</html>"'],
    ['nothing', '', 'expected JSON, got ""'],
    ['JSON that breaks off', '{"code":0', 'expected JSON, got "{\\"code\\":0"'],
    ['a list', '[{"code":0}]', 'expected a reply, got "[{\\"code\\":0}]"'],
    ['a number', '0', 'expected a reply, got "0"'],
    ['null', 'null', 'expected a reply, got "null"'],
    ['no code', '{"message":"ok"}', 'expected a reply, got "{\\"message\\":\\"ok\\"}": code'],
    ['a code that is text', '{"code":"0"}', 'expected a reply, got "{\\"code\\":\\"0\\"}": code'],
    ['a code between codes', '{"code":0.5}', 'expected a reply, got "{\\"code\\":0.5}": code'],
    ['far too deep', '['.repeat(100_000), 'expected JSON, got "['],
  ])('%s is no reply', (_, text, fault) => {
    expect(parseResponse(text)).toEqual({ fault: expect.stringContaining(fault) });
    expect(JSON.stringify(parseResponse(text)).length).toBeLessThan(400);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    'a field named %s is just a field',
    (name) => {
      const got = read(`{"code":-1,"${name}":{"code":0,"canRetry":1}}`);
      expect([got.code, got.canRetry, errorActionFor(got)]).toEqual([-1, 0, 'stop']);
      expect('canRetry' in {}).toBe(false);
      expect(parseResponse(`{"${name}":{"code":0}}`)).toEqual({
        fault: expect.stringContaining('expected a reply'),
      });
    },
  );

  test('never throws, and gives a whole code or says what came', () => {
    const nearly = fc
      .record(
        { code: fc.jsonValue(), message: fc.jsonValue(), canRetry: fc.jsonValue(), fileId: fc.jsonValue() },
        { requiredKeys: [] },
      )
      .map((fields) => JSON.stringify(fields));
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json(), nearly), (text) => {
        const result = parseResponse(text);
        if ('reply' in result) expect(Number.isInteger(result.reply.code)).toBe(true);
        else expect(result.fault).toMatch(/^expected /);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the reply to InitUpload', () => {
  test('code 0: nothing is held', () => {
    expect(open({ code: 0, listParts: 'whatever' })).toEqual({ code: 0 });
  });

  test('code 1: the part size to go on with, where the reply tells it', () => {
    expect(open({ code: 1, dataSize: 524_288, listParts: [] })).toMatchObject({ code: 1, dataSize: 524_288 });
    expect(open({ code: 1 })).toEqual({ code: 1 });
  });

  test('code 2: the file', () => {
    expect(open({ code: 2, fileId: '123', url: 'u' })).toEqual({ code: 2, fileId: '123', url: 'u' });
    expect(open({ code: 2, fileId: 123 })).toEqual({ code: 2, fileId: '123', url: '' });
  });

  test.each([
    ['http://vod.example/a%20b.mp4?x=1#y', 'http://vod.example/a%20b.mp4?x=1#y'],
    ['http://vod.example/片 1.mp4', 'http://vod.example/%E7%89%87%201.mp4'],
    ['http://vod.example/a\r\nx-evil: 1', 'http://vod.example/ax-evil:%201'],
    ['no address, and \u0000', ''],
    [`http://vod.example/${'a'.repeat(2000)}`, ''],
    [`http://vod.example/${'片'.repeat(300)}`, ''],
  ])('a url becomes one that metadata can hold (%#)', (url, expected) => {
    expect(open({ code: 2, fileId: '123', url })).toMatchObject({ url: expected });
  });

  test.each([
    ['code 2 without a file', { code: 2 }],
    ['a list that is none', { code: 1, listParts: {} }],
    ['a part size that is text', { code: 1, dataSize: '524288' }],
    ['a code that means something else', { code: 3 }],
  ])('%s is not such a reply', (_, fields) => {
    expect(v.is(InitUploadResponse, read(JSON.stringify(fields)))).toBe(false);
  });
});

test('a part is sent only where its reply says 0', () => {
  expect([0, 1, 2, -10006, 4400].map((code) => v.is(UploadPartResponse, reply(code)))).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});
