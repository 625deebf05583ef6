import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Params, sign, signedText } from '../../lib/vod/signature.ts';
import { VodError } from './vod-error.ts';

/** A call as it came, but with the host that its sender must have signed. */
export type Call = Readonly<{ method: string; host: string; path: string; params: Params }>;

/**
 * Refuses a call whose signature is not made with `key`. A sender who holds the key but signed something else is told
 * what it was; that gives nothing away, since only the holder of the key can make such a signature.
 */
export function checkSignature(key: string, call: Call, hostHeader: string, clockOffMs: number): void {
  const { Signature: got = '' } = call.params;
  const expected = signed(key, call);
  if (same(got, expected)) return;
  const mistake =
    mistakes(key, call, hostHeader).find(([signature]) => same(got, signature)) ??
    (got.includes(' ') && same(got.replaceAll(' ', '+'), expected) ? PLUS : undefined);
  throw new VodError('signature', `Signature: ${mistake?.[1] ?? guesses(call, clockOffMs)}`);
}

const signed = (key: string, { method, host, path, params }: Call) => sign(key, method, host, path, params);

function same(got: string, expected: string): boolean {
  const [a, b] = [Buffer.from(got), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** A signature as a mistaken client would make it, and what to tell that client. */
type Mistake = readonly [signature: string, told: string];

const PLUS: Mistake = ['', "a '+' in it came as a space; send it as %2B"];

function mistakes(key: string, call: Call, hostHeader: string): Mistake[] {
  const { method, host, path, params } = call;
  const otherMethod = method === 'GET' ? 'POST' : 'GET';
  const otherPath = path === '/v2/index.php' ? '/v3/index.php' : '/v2/index.php';
  const usesSha256 = params.SignatureMethod === 'HmacSHA256';
  const otherHash = createHmac(usesSha256 ? 'sha1' : 'sha256', key).update(
    signedText(method, host, path, params),
  );
  const encoded = Object.entries(params).map(([name, value]) => [name, encodeURIComponent(value)]);
  return [
    [
      signed(key, { ...call, host: hostHeader }),
      `signed for the host ${hostHeader}; sign for ${host}, whatever address the request is sent to`,
    ],
    [signed(key, { ...call, method: otherMethod }), `signed as ${otherMethod}, but sent as ${method}`],
    [signed(key, { ...call, path: otherPath }), `signed for the path ${otherPath}, but sent to ${path}`],
    [
      otherHash.digest('base64'),
      usesSha256
        ? 'made with HMAC-SHA1, but SignatureMethod says HmacSHA256'
        : 'made with HMAC-SHA256, but SignatureMethod does not say HmacSHA256',
    ],
    [
      signed(key, { ...call, params: Object.fromEntries(encoded) }),
      'the values were URL-encoded before signing; sign them raw and encode them afterwards',
    ],
  ];
}

function guesses({ method, host, path }: Call, clockOffMs: number): string {
  const seconds = Math.round(Math.abs(clockOffMs) / 1000);
  const clock = seconds > 60 ? `; besides, Timestamp is ${seconds} s off this service's clock` : '';
  return (
    'does not match. Either the secret key is not the one of this SecretId, or another text was signed: ' +
    `expected ${method}${host}${path}? and all parameters but Signature, in byte order of their names, ` +
    `values not URL-encoded${clock}`
  );
}
