import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Params, sign, signedText } from '../../../lib/vod/v2/signature.ts';
import { VodError } from './vod-error.ts';

/** A call as received, but with the host that the client must sign. */
export type SignedCall = Readonly<{ method: string; host: string; path: string; params: Params }>;

/**
 * Verifies that `key` made the signature of a call. If the client has the key but signed something else, the message names
 * the mistake. This reveals nothing, because only a holder of the key can make such a signature.
 * @throws {VodError} `signature`
 */
export function checkSignature(key: string, call: SignedCall, hostHeader: string, clockOffMs: number): void {
  const { Signature: signature = '' } = call.params;
  const expected = signCall(key, call);
  if (isEqual(signature, expected)) return;
  const mistake = listMistakes(key, call, hostHeader).find(([candidate]) => isEqual(signature, candidate));
  const hasLostPlus = isEqual(signature.replaceAll(' ', '+'), expected);
  const message =
    mistake?.[1] ??
    (hasLostPlus ? "a '+' in it came as a space; send it as %2B" : describeMismatch(call, clockOffMs));
  throw new VodError('signature', `Signature: ${message}`);
}

const signCall = (key: string, { method, host, path, params }: SignedCall): string =>
  sign(key, method, host, path, params);

function isEqual(signature: string, expected: string): boolean {
  const [a, b] = [Buffer.from(signature), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The signatures that common mistakes produce, with the message for each. */
function listMistakes(key: string, call: SignedCall, hostHeader: string): (readonly [string, string])[] {
  const { method, host, path, params } = call;
  const otherMethod = method === 'GET' ? 'POST' : 'GET';
  const otherPath = path === '/v2/index.php' ? '/v3/index.php' : '/v2/index.php';
  const usesSha256 = params.SignatureMethod === 'HmacSHA256';
  const otherHash = createHmac(usesSha256 ? 'sha1' : 'sha256', key)
    .update(signedText(method, host, path, params))
    .digest('base64');
  const encoded = Object.entries(params).map(([name, value]) => [name, encodeURIComponent(value)]);
  return [
    [
      signCall(key, { ...call, host: hostHeader }),
      `signed for the host ${hostHeader}; sign for ${host}, whatever address the request is sent to`,
    ],
    [signCall(key, { ...call, method: otherMethod }), `signed as ${otherMethod}, but sent as ${method}`],
    [signCall(key, { ...call, path: otherPath }), `signed for the path ${otherPath}, but sent to ${path}`],
    [
      otherHash,
      usesSha256
        ? 'made with HMAC-SHA1, but SignatureMethod says HmacSHA256'
        : 'made with HMAC-SHA256, but SignatureMethod does not say HmacSHA256',
    ],
    [
      signCall(key, { ...call, params: Object.fromEntries(encoded) }),
      'the values were URL-encoded before signing; sign them raw and encode them afterwards',
    ],
  ];
}

function describeMismatch({ method, host, path }: SignedCall, clockOffMs: number): string {
  const seconds = Math.round(Math.abs(clockOffMs) / 1000);
  const clock = seconds > 60 ? `. Also, Timestamp is ${seconds} s off this service's clock` : '';
  return (
    'does not match. Either the secret key is not the one of this SecretId, or another text was signed: ' +
    `expected ${method}${host}${path}? and all parameters but Signature, in byte order of their names, ` +
    `values not URL-encoded${clock}`
  );
}
