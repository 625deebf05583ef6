import { expect, test } from 'vitest';
import { authorization, canonicalRequest } from '../../../../lib/vod/v2018/signature.ts';
import { hash } from '../../../support/values.ts';

/** The example in the documentation of the signature. The escapes in the body are sent as they are. */
const EXAMPLE = {
  secretId: 'AKIDEXAMPLE',
  secretKey: 'Gu5t9xGARNpq86cd98joQYCN3EXAMPLE',
  service: 'cvm',
  timestamp: 1_551_113_065,
  headers: { host: 'cvm.tencentcloudapi.com', 'content-type': 'application/json; charset=utf-8' },
  body: '{"Limit": 1, "Filters": [{"Values": ["\\u672a\\u547d\\u540d"], "Name": "instance-name"}]}',
};

test('the example in the documentation has these hashes', () => {
  expect(hash('sha256', EXAMPLE.body)).toBe(
    '35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064',
  );
  expect(hash('sha256', canonicalRequest(EXAMPLE))).toBe(
    '5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031',
  );
});

test('the example in the documentation has this signature', () => {
  expect(authorization(EXAMPLE)).toBe(
    'TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host, ' +
      'Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168',
  );
});

test('the body is signed as UTF-8', () => {
  expect(canonicalRequest({ headers: {}, body: '{"MediaName":"电影"}' })).toBe(
    `POST\n/\n\n\n\n${hash('sha256', Buffer.from('{"MediaName":"电影"}'))}`,
  );
});
