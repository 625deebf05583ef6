import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeError, errorActionFor, isCode, parseResponse } from '../../../../lib/vod/v2018/responses.ts';

const unchanged = (text: string): string => text;

describe('parseResponse', () => {
  test('returns the fields of a success, and the parts of an error', () => {
    const success = { RequestId: 'r', FileId: '1' };
    expect(parseResponse(JSON.stringify({ Response: success }), unchanged)).toEqual({ response: success });
    const failure = { RequestId: 'r', Error: { Code: 'InternalError', Message: null } };
    expect(parseResponse(JSON.stringify({ Response: failure }), unchanged)).toEqual({
      error: { code: 'InternalError', message: '', requestId: 'r' },
    });
  });

  test('recognizes a response of API 2.0', () => {
    expect(parseResponse('{"code":4100,"message":"no"}', unchanged)).toMatchObject({ isOlderApi: true });
  });

  test.each(['__proto__', 'constructor', 'toString'])('treats a field named %s as any other', (name) => {
    const problem = expect.stringContaining('unexpected response');
    const text = `{"${name}":{"Response":{"RequestId":"r"}}}`;
    expect(parseResponse(text, unchanged)).toEqual({ problem });
    expect('Response' in {}).toBe(false);
  });

  test('never throws, and never quotes what it does not know', () => {
    const SECRET = 'temp-secret-key';
    const value = fc.oneof(fc.jsonValue(), fc.constant(SECRET));
    const error = fc.record({ Code: value, Message: value }, { requiredKeys: [] });
    const envelope = fc
      .record({ RequestId: value, Error: fc.oneof(value, error) }, { requiredKeys: [] })
      .map((Response) => JSON.stringify({ Response }));
    const truncated = fc.tuple(envelope, fc.nat(80)).map(([text, length]) => text.slice(0, length));
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json(), envelope, truncated), (text) => {
        const parsed = parseResponse(text, unchanged);
        if ('problem' in parsed) {
          expect(parsed.problem).not.toContain(SECRET);
          expect(parsed.problem.length).toBeLessThan(1_000);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('reports deeply nested JSON, and does not fail on it', () => {
    expect(parseResponse('['.repeat(100_000), unchanged)).toEqual({
      problem: 'expected JSON, got other text of 100000 characters',
    });
  });
});

describe('errorActionFor', () => {
  test.each([
    ['wait', ['RequestLimitExceeded', 'RequestLimitExceeded.UinLimitExceeded']],
    ['repeat', ['InternalError', 'InternalError.DBError', 'FailedOperation.NetWorkError']],
    ['stop', ['InternalErrors', 'FailedOperation', 'ResourceNotFound', 'AuthFailure.SignatureExpire', '']],
  ])('returns %s for %j', (action, codes) => {
    for (const code of codes) expect([code, errorActionFor(code)]).toEqual([code, action]);
  });
});

test('isCode accepts a code and its cases', () => {
  const codes = ['ResourceNotFound', 'ResourceNotFound.File', 'ResourceNotFoundX', 'Resource'];
  expect(codes.filter((code) => isCode(code, 'ResourceNotFound'))).toEqual(codes.slice(0, 2));
});

test('describeError returns the code, the message, the request, and what to check', () => {
  const error = { code: 'AuthFailure.SecretIdNotFound', message: 'not found', requestId: 'r-1' };
  expect(describeError(error)).toBe(
    'AuthFailure.SecretIdNotFound (not found), request r-1: the key is unknown. Check VOD_SECRET_ID',
  );
  expect(describeError({ code: 'Odd', message: '', requestId: 'r-1' })).toBe('Odd, request r-1');
});
