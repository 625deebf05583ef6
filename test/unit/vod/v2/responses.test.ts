import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import {
  describeError,
  errorActionFor,
  FinishUploadResponse,
  InitUploadResponse,
  parseResponse,
  UploadPartResponse,
  type VodResponse,
} from '../../../../lib/vod/v2/responses.ts';

const DEFAULTS = { canRetry: 0, message: '', codeDesc: '' };
const responseOf = (code: number, canRetry = 0): VodResponse => ({ ...DEFAULTS, code, canRetry });

function parseOrThrow(text: string): VodResponse {
  const result = parseResponse(text);
  if ('response' in result) return result.response;
  throw new Error(result.problem);
}
const parseInit = (fields: object) => v.parse(InitUploadResponse, parseOrThrow(JSON.stringify(fields)));

describe('errorActionFor', () => {
  const actionsFor = (code: number, ...canRetry: number[]) =>
    canRetry.map((value) => errorActionFor(responseOf(code, value)));

  test.each([
    ['stop', [-10001, -10002, -10003, 4000, 4100, 4300, 5000]],
    ['repeat', [4200, 4500, 6000, 6100, 6200]],
    ['resend', [-10006]],
    ['wait', [4400]],
  ])('returns %s for the codes %j, whatever canRetry is', (action, codes) => {
    for (const code of codes) expect([code, ...actionsFor(code, 0, 1)]).toEqual([code, action, action]);
  });

  test.each([-10004, -10005, 5100])('code %i: repeat with canRetry, otherwise lost', (code) => {
    expect(actionsFor(code, 1, 0)).toEqual(['repeat', 'lost']);
  });

  test('any other code: repeat with canRetry, otherwise stop', () => {
    const between = fc.integer({ min: -10000, max: -1 });
    const anyOther = fc.oneof(fc.integer({ max: -10007 }), between, fc.integer({ min: 7000 }));
    fc.assert(
      fc.property(anyOther, (code) => {
        expect(actionsFor(code, 1, 0, 2)).toEqual(['repeat', 'stop', 'stop']);
      }),
    );
  });
});

describe('describeError', () => {
  test('returns the code, each message once, and what to check', () => {
    const response = { code: -10002, canRetry: 0, message: 'bad signature', codeDesc: 'AuthFailure' };
    expect(describeError(response)).toBe(
      'code -10002 (bad signature, AuthFailure): the signature is wrong. Check VOD_SECRET_KEY, VOD_HOST (the signed host), and the clock',
    );
    const repeated = { ...response, code: -1, codeDesc: 'bad signature' };
    expect(describeError(repeated)).toBe('code -1 (bad signature)');
    expect(describeError(responseOf(5000))).toBe('code 5000');
  });
});

describe('describeError of an account that API 2.0 rejects', () => {
  test.each([
    ['is unknown', responseOf(4100)],
    ['is rejected as offline', { ...responseOf(4000), message: 'This action is offline' }],
    ['is rejected as offline in Chinese', { ...responseOf(-1), codeDesc: '接口已下线' }],
  ])('names the setting of the other API when the account %s', (_, response) => {
    expect(describeError(response)).toContain('VOD_API=2018-07-17');
  });
});

describe('parseResponse', () => {
  test('keeps all digits of a numeric fileId', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 40n - 1n }), (fileId) => {
        for (const json of [`${fileId}`, `"${fileId}"`]) {
          const finished = v.parse(FinishUploadResponse, parseOrThrow(`{"code":0,"fileId":${json}}`));
          expect(finished).toEqual({ code: 0, fileId: String(fileId), url: '' });
        }
      }),
    );
  });

  test.each(['-1', '1.5', '1e20', 'true', '"x"', 'null', '[1]'])('rejects the fileId %s', (fileId) => {
    const result = parseResponse(`{"code":0,"fileId":${fileId}}`);
    expect('response' in result && v.is(FinishUploadResponse, result.response)).toBe(false);
  });

  test('does not change text that mentions a fileId', () => {
    const message = 'no "fileId": 12 and no \\"fileId\\":34';
    expect(parseOrThrow(JSON.stringify({ code: -1, message })).message).toBe(message);
  });

  test('has defaults for the messages and canRetry', () => {
    expect(parseOrThrow('{"code":-1}')).toEqual({ ...DEFAULTS, code: -1 });
  });

  test.each([
    ['not JSON', '<html>busy</html>', 'expected JSON, got "<html>busy</html>"'],
    ['an empty text', '', 'expected JSON, got ""'],
    ['truncated JSON', '{"code":0', 'expected JSON, got "{\\"code\\":0"'],
    ['a list', '[{"code":0}]', 'expected a response, got "[{\\"code\\":0}]"'],
    ['a number', '0', 'expected a response, got "0"'],
    ['null', 'null', 'expected a response, got "null"'],
    ['no code', '{"message":"ok"}', 'expected a response, got "{\\"message\\":\\"ok\\"}": code'],
    ['a code that is text', '{"code":"0"}', 'expected a response, got "{\\"code\\":\\"0\\"}": code'],
    ['a fractional code', '{"code":0.5}', 'expected a response, got "{\\"code\\":0.5}": code'],
    ['deeply nested JSON', '['.repeat(100_000), 'expected JSON, got "['],
  ])('rejects %s', (_, text, problem) => {
    expect(parseResponse(text)).toEqual({ problem: expect.stringContaining(problem) });
    expect(JSON.stringify(parseResponse(text)).length).toBeLessThan(400);
  });

  const INHERITED = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
  test.each(INHERITED)('treats a field named %s as any other', (name) => {
    const parsed = parseOrThrow(`{"code":-1,"${name}":{"code":0,"canRetry":1}}`);
    expect([parsed.code, parsed.canRetry, errorActionFor(parsed)]).toEqual([-1, 0, 'stop']);
    expect('canRetry' in {}).toBe(false);
    const problem = expect.stringContaining('expected a response');
    expect(parseResponse(`{"${name}":{"code":0}}`)).toEqual({ problem });
  });

  test('returns an integer code or a problem, and never throws', () => {
    const nearly = fc
      .record(
        { code: fc.jsonValue(), message: fc.jsonValue(), canRetry: fc.jsonValue(), fileId: fc.jsonValue() },
        { requiredKeys: [] },
      )
      .map((fields) => JSON.stringify(fields));
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json(), nearly), (text) => {
        const result = parseResponse(text);
        if ('response' in result) expect(Number.isInteger(result.response.code)).toBe(true);
        else expect(result.problem).toMatch(/^expected /);
      }),
      { numRuns: 500 },
    );
  });
});

describe('InitUploadResponse', () => {
  test('has no other fields for code 0', () => {
    expect(parseInit({ code: 0, listParts: 'whatever' })).toEqual({ code: 0 });
  });

  test('has an optional part size for code 1', () => {
    const sized = { code: 1, dataSize: 524_288 };
    expect(parseInit({ ...sized, listParts: [] })).toMatchObject(sized);
    expect(parseInit({ code: 1 })).toEqual({ code: 1 });
  });

  test('has the file for code 2', () => {
    expect(parseInit({ code: 2, fileId: '123', url: 'u' })).toEqual({ code: 2, fileId: '123', url: 'u' });
    expect(parseInit({ code: 2, fileId: 123 })).toEqual({ code: 2, fileId: '123', url: '' });
  });

  test.each([
    ['http://vod.example/a%20b.mp4?x=1#y', 'http://vod.example/a%20b.mp4?x=1#y'],
    ['http://vod.example/片 1.mp4', 'http://vod.example/%E7%89%87%201.mp4'],
    ['http://vod.example/a\r\nx-evil: 1', 'http://vod.example/ax-evil:%201'],
    ['no address, and \u0000', ''],
    [`http://vod.example/${'a'.repeat(2000)}`, ''],
    [`http://vod.example/${'片'.repeat(300)}`, ''],
    ['a\r\nx-evil: 1', ''], // its normalized form, `ax-evil: 1`, still has a space
  ])('makes the URL fit for metadata (%#)', (url, expected) => {
    expect(parseInit({ code: 2, fileId: '123', url })).toMatchObject({ url: expected });
  });

  test.each([
    ['code 2 without a file', { code: 2 }],
    ['a list that is an object', { code: 1, listParts: {} }],
    ['a part size that is text', { code: 1, dataSize: '524288' }],
    ['an undocumented code', { code: 3 }],
  ])('rejects %s', (_, fields) => {
    expect(v.is(InitUploadResponse, parseOrThrow(JSON.stringify(fields)))).toBe(false);
  });
});

test('UploadPartResponse accepts code 0 only', () => {
  const accepted = [0, 1, 2, -10006, 4400].filter((code) => v.is(UploadPartResponse, responseOf(code)));
  expect(accepted).toEqual([0]);
});
