import { createHmac } from 'node:crypto';

/** The query parameters of a call, before URL encoding. */
export type Params = Readonly<Record<string, string>>;

/** The text to sign: method, host, path, `?`, and the pairs without URL encoding, sorted by the bytes of their names. */
export function signedText(method: string, host: string, path: string, params: Params): string {
  const pairs = Object.entries(params)
    .filter(([name]) => name !== 'Signature')
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([name, value]) => `${name}=${value}`);
  return `${method}${host}${path}?${pairs.join('&')}`;
}

/**
 * The `Signature` parameter in base64: HMAC-SHA256 when `SignatureMethod` is `HmacSHA256`, otherwise HMAC-SHA1. The vod2
 * protocol, "Signature", has the rule and an example.
 */
export function sign(secretKey: string, method: string, host: string, path: string, params: Params): string {
  const algorithm = params.SignatureMethod === 'HmacSHA256' ? 'sha256' : 'sha1';
  return createHmac(algorithm, secretKey)
    .update(signedText(method, host, path, params))
    .digest('base64');
}

/** The query string of a call with its signature, URL-encoded (RFC 3986). */
export function signedQuery(
  secretKey: string,
  method: string,
  host: string,
  path: string,
  params: Params,
): string {
  const signature = sign(secretKey, method, host, path, params);
  return Object.entries({ ...params, Signature: signature })
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .join('&');
}

/** `encodeURIComponent` does not encode `!'()*`, which RFC 3986 reserves. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
