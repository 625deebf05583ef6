import { createHash, createHmac } from 'node:crypto';
import { extendedEncodeURIComponent as encode } from '@smithy/core/protocols';

/** The signature of COS: https://www.tencentcloud.com/document/product/436/7778 */

type Pairs = Readonly<Record<string, string>>;

/** `path`, `query`, and `headers` are without URL encoding. All these headers are signed. */
export type SignableRequest = Readonly<{ method: string; path: string; query: Pairs; headers: Pairs }>;

/** When the signature is valid, in seconds since 1970. */
export type KeyTime = Readonly<{ start: number; end: number }>;

/** The value of the header `Authorization`. */
export function authorizationOf(
  request: SignableRequest,
  { secretId, secretKey }: Readonly<{ secretId: string; secretKey: string }>,
  { start, end }: KeyTime,
): string {
  const keyTime = `${start};${end}`;
  const query = canonicalPairs(request.query);
  const headers = canonicalPairs(request.headers);
  const http = `${request.method.toLowerCase()}\n${request.path}\n${query.text}\n${headers.text}\n`;
  const text = `sha1\n${keyTime}\n${createHash('sha1').update(http).digest('hex')}\n`;
  return [
    'q-sign-algorithm=sha1',
    `q-ak=${secretId}`,
    `q-sign-time=${keyTime}`,
    `q-key-time=${keyTime}`,
    `q-header-list=${headers.names}`,
    `q-url-param-list=${query.names}`,
    `q-signature=${hmac(signKey(secretKey, keyTime), text)}`,
  ].join('&');
}

/** The key of the signature, in hex. COS uses this text as the key, not the bytes that it describes. */
export const signKey = (secretKey: string, keyTime: string): string => hmac(secretKey, keyTime);

const hmac = (key: string, text: string): string => createHmac('sha1', key).update(text).digest('hex');

/** Names are sorted after they are encoded and lower-case, including the hex digits of the encoding. */
function canonicalPairs(pairs: Pairs): { names: string; text: string } {
  const encoded = Object.entries(pairs)
    .map(([name, value]) => ({ name: encode(name).toLowerCase(), value: encode(value) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    names: encoded.map(({ name }) => name).join(';'),
    text: encoded.map(({ name, value }) => `${name}=${value}`).join('&'),
  };
}
