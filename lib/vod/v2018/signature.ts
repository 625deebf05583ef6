import { createHash, createHmac } from 'node:crypto';

/** The signature TC3-HMAC-SHA256 of a POST to `/`, as the API 2018-07-17 expects it. */

/** A request to sign. The names of `headers` are lower case. `timestamp`: Unix time in seconds, as `X-TC-Timestamp` states it. */
export type RequestToSign = Readonly<{
  secretId: string;
  secretKey: string;
  service: string;
  timestamp: number;
  headers: Readonly<Record<string, string>>;
  body: string;
}>;

/** The text whose hash is signed: each header with its value, the names of the headers, and the hash of the body. */
export function canonicalRequest({ headers, body }: Pick<RequestToSign, 'headers' | 'body'>): string {
  const names = signedNames(headers);
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
  return `POST\n/\n\n${lines}\n${names.join(';')}\n${sha256Hex(body)}`;
}

/** The value of the header `Authorization`, with the signature in hex. */
export function authorization(request: RequestToSign): string {
  const { secretId, secretKey, service, timestamp, headers } = request;
  const date = new Date(timestamp * 1000).toISOString().slice(0, 10);
  const scope = `${date}/${service}/tc3_request`;
  const text = `TC3-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256Hex(canonicalRequest(request))}`;
  const key = [date, service, 'tc3_request'].reduce<string | Buffer>(hmac, `TC3${secretKey}`);
  const signature = createHmac('sha256', key).update(text).digest('hex');
  return `TC3-HMAC-SHA256 Credential=${secretId}/${scope}, SignedHeaders=${signedNames(headers).join(';')}, Signature=${signature}`;
}

const signedNames = (headers: RequestToSign['headers']): string[] => Object.keys(headers).sort();
const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
