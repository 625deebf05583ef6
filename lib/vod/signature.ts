import { createHmac } from 'node:crypto';

/** Values of a call's query string before URL-encoding, without `Signature`. */
export type Params = Readonly<Record<string, string>>;

const ALGORITHMS = { HmacSHA1: 'sha1', HmacSHA256: 'sha256' } as const;

/** The text that is signed: `METHOD` + host + path + `?` + the raw (not URL-encoded) pairs in byte order of their keys. */
export function signedText(method: string, host: string, path: string, params: Params): string {
  const pairs = Object.entries(params)
    .filter(([name]) => name !== 'Signature')
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([name, value]) => `${name}=${value}`);
  return `${method}${host}${path}?${pairs.join('&')}`;
}

/**
 * The `Signature` of a call, base64: HMAC-SHA256 where `SignatureMethod` is `HmacSHA256`, else HMAC-SHA1.
 * Rule and known answer: vod2 protocol, "Signature".
 */
export function sign(secretKey: string, method: string, host: string, path: string, params: Params): string {
  const algorithm = params.SignatureMethod === 'HmacSHA256' ? ALGORITHMS.HmacSHA256 : ALGORITHMS.HmacSHA1;
  return createHmac(algorithm, secretKey)
    .update(signedText(method, host, path, params))
    .digest('base64');
}

/** The query string of a signed call: every value, the signature too, URL-encoded (RFC 3986). */
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

/** `encodeURIComponent` leaves `!'()*` bare; services that decode strictly by RFC 3986 want them encoded. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
