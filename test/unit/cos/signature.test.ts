import { describe, expect, test } from 'vitest';
import { authorizationOf, type SignableRequest, signKey } from '../../../lib/cos/signature.ts';

const KEYS = { secretId: 'the-id', secretKey: 'the-key' };
const TIME = { start: 1_557_989_151, end: 1_557_996_351 };
const REQUEST: SignableRequest = { method: 'GET', path: '/a.mp4', query: {}, headers: { host: 'b' } };

const fieldsOf = (authorization: string): Record<string, string> =>
  Object.fromEntries(authorization.split('&').map((pair) => pair.split('=')));
const sign = (request: Partial<SignableRequest> = {}): Record<string, string> =>
  fieldsOf(authorizationOf({ ...REQUEST, ...request }, KEYS, TIME));

describe('the example in the documentation', () => {
  const secretKey = 'BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz';

  test('has this SignKey', () => {
    expect(signKey(secretKey, '1557989151;1557996351')).toBe('eb2519b498b02ac213cb1f3d1a3d27a3b3c9bc5f');
  });

  test('has this authorization', () => {
    const authorization = authorizationOf(
      {
        method: 'PUT',
        path: '/exampleobject(腾讯云)',
        query: {},
        headers: {
          Date: 'Thu, 16 May 2019 06:45:51 GMT',
          Host: 'examplebucket-1250000000.cos.ap-beijing.myqcloud.com',
          'Content-Type': 'text/plain',
          'Content-Length': '13',
          'Content-MD5': 'mQ/fVh815F3k6TAUm8m0eg==',
          'x-cos-acl': 'private',
          'x-cos-grant-read': 'uin="100000000011"',
        },
      },
      { secretId: 'AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q', secretKey },
      TIME,
    );
    expect(authorization).toBe(
      'q-sign-algorithm=sha1&q-ak=AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q&q-sign-time=1557989151;1557996351' +
        '&q-key-time=1557989151;1557996351' +
        '&q-header-list=content-length;content-md5;content-type;date;host;x-cos-acl;x-cos-grant-read' +
        '&q-url-param-list=&q-signature=3b8851a11a569213c17ba8fa7dcf2abec6935172',
    );
  });
});

test('names are encoded, lower-case, and sorted in that form', () => {
  const query = { uploads: '', 'Max-Uploads': '1000', 'a b': '1', a_b: '2', é: '3' };
  expect(sign({ query })['q-url-param-list']).toBe('%c3%a9;a%20b;a_b;max-uploads;uploads');
  const reversed = Object.fromEntries(Object.entries(query).reverse());
  expect(sign({ query })).toEqual(sign({ query: reversed }));
});

test('a parameter without a value is signed', () => {
  const signed = sign({ query: { uploads: '' } });
  expect(signed['q-url-param-list']).toBe('uploads');
  expect(signed['q-signature']).not.toBe(sign()['q-signature']);
});

test('a request without parameters and headers can be signed', () => {
  const signed = sign({ headers: {} });
  expect(signed).toMatchObject({ 'q-header-list': '', 'q-url-param-list': '' });
  expect(signed['q-signature']).toMatch(/^[0-9a-f]{40}$/);
});

test.each([
  ['method', { method: 'PUT' }],
  ['path', { path: '/b.mp4' }],
  ['path in its encoded form', { path: '/a%2Emp4' }],
  ['value of a header', { headers: { host: 'c' } }],
  ['value of a parameter', { query: { partNumber: '1' } }],
])('another %s changes the signature', (_, change) => {
  expect(sign(change)['q-signature']).not.toBe(sign()['q-signature']);
});

test('the method may have any case', () => {
  expect(sign({ method: 'get' })).toEqual(sign());
});
