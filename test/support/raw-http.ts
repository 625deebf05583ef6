import { createHmac } from 'node:crypto';
import { request } from 'node:http';
import { CREDENTIALS } from './credentials.ts';
import { hash } from './values.ts';

/** Requests that the SDK does not make. The signing is a second implementation, so that it can disagree with the server's. */

export type RawResponse = Readonly<{
  status: number;
  headers: Readonly<Record<string, unknown>>;
  body: string;
  code: string | undefined;
}>;

export type RawRequest = Readonly<{
  port: number;
  method?: string;
  /** The raw request target. */
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: string | Buffer;
  /** Closes the connection after the body instead of ending the request. */
  cutOff?: boolean;
}>;

export function send({
  port,
  method = 'GET',
  path,
  headers = {},
  body = '',
  cutOff = false,
}: RawRequest): Promise<RawResponse> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, method, path, headers, host: '127.0.0.1', agent: false }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const code = /<Code>(\w+)<\/Code>/.exec(text)?.[1];
        outgoing.destroy();
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text, code });
      });
    });
    outgoing.on('error', reject);
    if (headers.expect) {
      // Sends the body only if the server asks for it.
      outgoing.once('continue', () => outgoing.end(body));
      outgoing.flushHeaders();
    } else if (cutOff) outgoing.write(body, () => outgoing.destroy());
    else outgoing.end(body);
  });
}

type SigningRequest = RawRequest &
  Readonly<{
    payload?: string;
    secret?: string;
    keyId?: string;
    date?: Date;
    /** The path to sign, if it differs from `path`. */
    signedPath?: string;
  }>;

/** Returns the headers of `options` with an `Authorization` that signs all of them. */
export function sign(options: SigningRequest): Record<string, string> {
  const { method = 'GET', path, payload = 'UNSIGNED-PAYLOAD', signedPath = path } = options;
  const date = basic(options.date ?? new Date());
  const headers: Record<string, string> = {
    host: `127.0.0.1:${options.port}`,
    ...options.headers,
    'x-amz-date': date,
    'x-amz-content-sha256': payload,
  };
  const names = Object.keys(headers).sort();
  const [plain = '', query = ''] = signedPath.split('?');
  const canonical = [
    method,
    plain,
    canonicalQuery(query),
    ...names.map((name) => `${name}:${headers[name]}`),
    '',
    names.join(';'),
    payload,
  ].join('\n');
  const { scope, signature } = signText(canonical, date, options.secret);
  const credential = `${options.keyId ?? CREDENTIALS.accessKeyId}/${scope}`;
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
  };
}

export const sendSigned = (options: SigningRequest): Promise<RawResponse> =>
  send({ ...options, headers: sign(options) });

/** Returns a presigned path and query. */
export function presign(options: SigningRequest & { expires: number }): string {
  const { method = 'GET', path } = options;
  const date = basic(options.date ?? new Date());
  const [plain = '', query = ''] = path.split('?');
  const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`;
  const parameters = [
    ...query.split('&').filter(Boolean),
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Credential=${encodeURIComponent(`${CREDENTIALS.accessKeyId}/${scope}`)}`,
    `X-Amz-Date=${date}`,
    `X-Amz-Expires=${options.expires}`,
    'X-Amz-SignedHeaders=host',
  ].join('&');
  const host = `host:127.0.0.1:${options.port}`;
  const canonical = [method, plain, canonicalQuery(parameters), host, '', 'host', 'UNSIGNED-PAYLOAD'].join(
    '\n',
  );
  return `${plain}?${parameters}&X-Amz-Signature=${signText(canonical, date, options.secret).signature}`;
}

export function signingKey(day: string, secret = CREDENTIALS.secretAccessKey): Buffer {
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  return hmac(hmac(hmac(hmac(`AWS4${secret}`, day), 'us-east-1'), 's3'), 'aws4_request');
}

export const basic = (date: Date): string => date.toISOString().replace(/[-:]|\.\d+/g, '');
export const sha256 = (text: string | Buffer): string => hash('sha256', text);

function signText(canonical: string, date: string, secret?: string): { scope: string; signature: string } {
  const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`;
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`;
  const signature = createHmac('sha256', signingKey(date.slice(0, 8), secret))
    .update(text)
    .digest('hex');
  return { scope, signature };
}

const canonicalQuery = (query: string): string =>
  query
    .split('&')
    .filter(Boolean)
    // By name, then by value: a space sorts before every encoded character.
    .map((pair) => (pair.includes('=') ? pair.replace('=', ' ') : `${pair} `))
    .sort()
    .join('&')
    .replaceAll(' ', '=');
