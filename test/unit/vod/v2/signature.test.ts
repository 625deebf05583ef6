import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Params, sign, signedQuery, signedText } from '../../../../lib/vod/v2/signature.ts';

const HOST = 'vod2.qcloud.com';
const PATH = '/v2/index.php';

/** Parses a query string as a server does that does not decode `+`. */
const parseQuery = (query: string): Record<string, string> =>
  Object.fromEntries(
    query.split('&').map((pair): [string, string] => {
      const [name = '', value = ''] = pair.split('=');
      return [decodeURIComponent(name), decodeURIComponent(value)];
    }),
  );

/** Any well-formed text. */
const anyText = fc.string({ unit: 'binary' });
const anyParams: fc.Arbitrary<Params> = fc.dictionary(
  anyText.filter((name) => name !== '' && name !== 'Signature' && name !== '__proto__'),
  anyText,
);

describe('the example in the documentation', () => {
  const key = 'Gu5t9xGARNpq86cd98joQYCN3Cozk1qA';
  const params = {
    'instanceIds.0': 'ins-09dx96dg',
    SecretId: 'AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA',
    Action: 'DescribeInstances',
    limit: '20',
    Nonce: '11886',
    offset: '0',
    Region: 'gz',
    Timestamp: '1465185768',
  };

  test('has this text to sign', () => {
    expect(signedText('GET', 'cvm.api.qcloud.com', '/v2/index.php', params)).toBe(
      'GETcvm.api.qcloud.com/v2/index.php?Action=DescribeInstances&Nonce=11886&Region=gz' +
        '&SecretId=AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA&Timestamp=1465185768&instanceIds.0=ins-09dx96dg&limit=20&offset=0',
    );
  });

  test('has this signature', () => {
    expect(sign(key, 'GET', 'cvm.api.qcloud.com', '/v2/index.php', params)).toBe(
      'NSI3UqqD99b/UJb4tbG/xZpRW64=',
    );
  });

  test('uses the algorithm of SignatureMethod HmacSHA256', () => {
    const sha256Params = {
      'InstanceIds.0': 'ins-09dx96dg',
      SecretId: params.SecretId,
      Action: 'DescribeInstances',
      Nonce: '11886',
      Region: 'ap-guangzhou',
      SignatureMethod: 'HmacSHA256',
      Timestamp: '1465185768',
    };
    expect(sign(key, 'GET', 'cvm.api.qcloud.com', '/v2/index.php', sha256Params)).toBe(
      '0EEm/HtGRr/VJXTAD9tYMth1Bzm3lLHz5RCDv1GdM8s=',
    );
  });
});

test('the signature is valid for the parameters that a server parses', () => {
  fc.assert(
    fc.property(anyParams, anyText, (params, key) => {
      const query = signedQuery(key, 'GET', HOST, PATH, params);
      const { Signature, ...parsed } = parseQuery(query);
      expect(parsed).toEqual({ ...params });
      expect(sign(key, 'GET', HOST, PATH, parsed)).toBe(Signature);
      expect(query).toMatch(/^[A-Za-z0-9%=&._~-]+$/);
    }),
  );
});

test('names are sorted by their bytes', () => {
  fc.assert(
    fc.property(anyParams, (params) => {
      const reversed = Object.fromEntries(Object.entries(params).reverse());
      expect(signedText('GET', HOST, PATH, reversed)).toBe(signedText('GET', HOST, PATH, params));
    }),
  );
  const names = ['a.1', 'a.10', 'a.2', 'Z', 'a', '_', '\ufb01', '\u{1f3ac}', 'ü'];
  const text = signedText('GET', '', '', Object.fromEntries(names.map((name) => [name, ''])));
  // In UTF-16 order the emoji, a surrogate pair, would come before the ligature.
  expect(text).toBe('GET?Z=&_=&a=&a.1=&a.10=&a.2=&ü=&\ufb01=&\u{1f3ac}=');
});

test.each([
  { what: 'method', method: 'POST' },
  { what: 'host', host: 'other' },
  { what: 'path', path: '/v3/index.php' },
  { what: 'value', params: { a: '2' } },
  { what: 'name', params: { b: '1' } },
  { what: 'key', key: 'Key' },
])(
  'a different $what changes the signature',
  ({ key = 'key', method = 'GET', host = HOST, path = PATH, params = { a: '1' } }) => {
    expect(sign(key, method, host, path, params)).not.toBe(sign('key', 'GET', HOST, PATH, { a: '1' }));
  },
);

test('the parameter Signature is not signed', () => {
  expect(sign('key', 'GET', HOST, PATH, { a: '1', Signature: 'x' })).toBe(
    sign('key', 'GET', HOST, PATH, { a: '1' }),
  );
});

test('values are signed without and sent with URL encoding', () => {
  const params = { fileName: "a b+c&d=e/é!'()*" };
  expect(signedText('GET', HOST, PATH, params)).toBe(`GET${HOST}${PATH}?fileName=a b+c&d=e/é!'()*`);
  expect(signedQuery('key', 'GET', HOST, PATH, params)).toMatch(
    /^fileName=a%20b%2Bc%26d%3De%2F%C3%A9%21%27%28%29%2A&Signature=[A-Za-z0-9%]+$/,
  );
});
