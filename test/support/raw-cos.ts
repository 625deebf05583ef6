import { createHash, createHmac } from 'node:crypto';
import { type IncomingHttpHeaders, request } from 'node:http';
import { encode } from '../../local/s3/wire/target.ts';
import { type Applied, targetOf } from './vod-2018.ts';

export type Sent = Readonly<{
  method?: string;
  /** The key of the object. Default: that of the session. */
  key?: string;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string | undefined>>;
  body?: Buffer | string;
  /** `start;end` in seconds. */
  keyTime?: string;
  keys?: Partial<{ id: string; key: string; token: string }>;
  /** Changes the `Authorization` header. */
  authorize?: (authorization: string) => string | undefined;
  /** Query parameters that are not signed. */
  unsigned?: string;
}>;

export type Received = Readonly<{ status: number; headers: IncomingHttpHeaders; text: string; code: string }>;

/** A client that sends any request, and signs it as the documentation says. */
export function createRawCos(cosEndpoint: string, applied: Applied, now = () => Date.now()) {
  const { Bucket, Region, Key } = targetOf(applied);
  const { TempCertificate: temporary } = applied;
  const host = `${Bucket}.cos.${Region}.myqcloud.com`;

  return async function send(options: Sent): Promise<Received> {
    const { method = 'GET', key = Key, query = {}, body = '' } = options;
    const seconds = Math.floor(now() / 1000);
    const keyTime = options.keyTime ?? `${seconds};${seconds + 600}`;
    const keys = {
      id: temporary?.SecretId ?? '',
      key: temporary?.SecretKey ?? '',
      token: temporary?.Token ?? '',
      ...options.keys,
    };
    const bytes = Buffer.from(body);
    const sent = { host, 'content-length': String(bytes.length), ...options.headers };
    const headers = Object.fromEntries(
      Object.entries(sent).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    );
    const pairs = (all: Readonly<Record<string, string>>) =>
      Object.entries(all)
        .map(([name, value]) => [encode(name).toLowerCase(), encode(value)] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1));
    const join = (all: ReturnType<typeof pairs>) => all.map((pair) => pair.join('=')).join('&');
    const names = (all: ReturnType<typeof pairs>) => all.map(([name]) => name).join(';');
    const [queryPairs, headerPairs] = [pairs(query), pairs(headers)];
    const http = `${method.toLowerCase()}\n/${key}\n${join(queryPairs)}\n${join(headerPairs)}\n`;
    const signKey = createHmac('sha1', keys.key).update(keyTime).digest('hex');
    const text = `sha1\n${keyTime}\n${createHash('sha1').update(http).digest('hex')}\n`;
    const signature = createHmac('sha1', signKey).update(text).digest('hex');
    const plain = `q-sign-algorithm=sha1&q-ak=${keys.id}&q-sign-time=${keyTime}&q-key-time=${keyTime}&q-header-list=${names(headerPairs)}&q-url-param-list=${names(queryPairs)}&q-signature=${signature}`;
    const authorization = options.authorize ? options.authorize(plain) : plain;
    const search = [
      ...Object.entries(query).map(([name, value]) => (value === '' ? name : `${name}=${encode(value)}`)),
      ...(options.unsigned === undefined ? [] : [options.unsigned]),
    ].join('&');
    return new Promise((resolve, reject) => {
      const all = {
        ...headers,
        ...(authorization !== undefined && { authorization }),
        ...(keys.token && { 'x-cos-security-token': keys.token }),
      };
      const path = `/${encode(key).replaceAll('%2F', '/')}${search ? `?${search}` : ''}`;
      request(cosEndpoint + path, { method, headers: all, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? '';
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, code });
        });
        response.on('error', reject);
      })
        .on('error', reject)
        .end(bytes);
    });
  };
}
