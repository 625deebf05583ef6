import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { S3Error } from './errors.ts';
import type { RequestHeaders } from './headers.ts';
import { encode, encodePath, type Query, queryValue, type Target } from './target.ts';

export type Credentials = Readonly<{ accessKeyId: string; secretAccessKey: string }>;

/** The signed part of a request: the request line and the headers. */
export type SignedRequest = Readonly<{ method: string; target: Target; headers: RequestHeaders }>;

/** The fields of a signature, as the request states them. */
type Claim = Readonly<{
  credential: string;
  /** `YYYYMMDDTHHMMSSZ` */
  date: string;
  signedHeaders: readonly string[];
  signature: string;
  payload: string;
}>;

const MAX_SKEW_MS = 15 * 60 * 1000;
const MAX_EXPIRES_S = 7 * 24 * 60 * 60;
const ALGORITHM = 'AWS4-HMAC-SHA256';

/**
 * Verifies the Signature Version 4 of a request, in its `Authorization` header or its presigned query.
 * Returns `x-amz-content-sha256`, which describes the body.
 * @throws {S3Error}
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
 */
export function authenticate(request: SignedRequest, credentials: Credentials, now: Date): string {
  const { authorization } = request.headers;
  const presigned = queryValue(request.target.query, 'X-Amz-Algorithm') !== undefined;
  if (authorization !== undefined && presigned) {
    throw new S3Error('InvalidArgument', 'Only one auth mechanism allowed');
  }
  if (queryValue(request.target.query, 'AWSAccessKeyId') !== undefined) throw createSignatureV2Error();
  if (authorization === undefined && !presigned) throw new S3Error('AccessDenied');
  const claim =
    authorization === undefined
      ? readPresigned(request, now)
      : readAuthorization(request, authorization, now);
  checkSignedHeaders(claim, request.headers);
  const scope = readScope(claim, credentials);
  const text = [ALGORITHM, claim.date, scope.join('/'), sha256(buildCanonicalRequest(request, claim))].join(
    '\n',
  );
  checkSignature(text, claim.signature, scope, credentials);
  return claim.payload;
}

/** The response to Signature Version 2, which S3 accepts only in its oldest regions. */
export const createSignatureV2Error = (): S3Error =>
  new S3Error(
    'InvalidRequest',
    `The authorization mechanism you have provided is not supported. Please use ${ALGORITHM} (Signature Version 4).`,
  );

/** Verifies the signature of `text` with the key of `scope`. A form signs its policy this way. @throws {S3Error} */
export function checkSignature(
  text: string,
  signature: string,
  scope: readonly string[],
  { secretAccessKey }: Credentials,
): void {
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const expected = hmac(key, text);
  // `Buffer.from` stops at the first character that is not a hex digit, so it would accept a signature with a tail.
  const actual = /^[0-9a-f]{64}$/i.test(signature) ? Buffer.from(signature, 'hex') : Buffer.alloc(0);
  if (actual.length !== expected.length || !timingSafeEqual(actual, expected)) {
    throw new S3Error('SignatureDoesNotMatch');
  }
}

/** Checks `key id/day/region/s3/aws4_request` and returns it without the key ID: the scope of the signing key. */
export function readScope(
  { credential, date }: Pick<Claim, 'credential' | 'date'>,
  { accessKeyId }: Credentials,
): readonly string[] {
  const parts = credential.split('/');
  const [day = '', region = '', service, terminator] = parts.slice(-4);
  if (parts.length < 5 || service !== 's3' || terminator !== 'aws4_request' || region === '') {
    throw new S3Error(
      'AuthorizationHeaderMalformed',
      'The credential must be <key id>/<day>/<region>/s3/aws4_request',
    );
  }
  if (day !== date.slice(0, 8)) {
    throw new S3Error(
      'AuthorizationHeaderMalformed',
      `The credential is for ${day}, the request for ${date}`,
    );
  }
  // The key ID is not secret, but a comparison in constant time costs nothing.
  if (!timingSafeEqual(digest(parts.slice(0, -4).join('/')), digest(accessKeyId))) {
    throw new S3Error('InvalidAccessKeyId');
  }
  return [day, region, 's3', 'aws4_request'];
}

function readAuthorization({ headers }: SignedRequest, authorization: string, now: Date): Claim {
  if (!authorization.startsWith(ALGORITHM)) {
    throw createSignatureV2Error();
  }
  const fields = new Map(
    authorization
      .slice(ALGORITHM.length)
      .split(',')
      .map((field) => {
        const [name = '', ...value] = field.trim().split('=');
        return [name, value.join('=')] as const;
      }),
  );
  const credential = fields.get('Credential');
  const signedHeaders = fields.get('SignedHeaders');
  const signature = fields.get('Signature');
  if (!credential || !signedHeaders || !signature) throw new S3Error('AuthorizationHeaderMalformed');
  const payload = headers['x-amz-content-sha256'];
  if (payload === undefined) {
    throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  }
  const date = headers['x-amz-date'] ?? toBasicDate(headers.date);
  const sent = readBasicDate(date);
  if (sent === undefined) {
    throw new S3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  }
  if (Math.abs(sent - now.getTime()) > MAX_SKEW_MS) {
    const details = {
      RequestTime: date,
      ServerTime: now.toISOString(),
      MaxAllowedSkewMilliseconds: MAX_SKEW_MS,
    };
    throw new S3Error('RequestTimeTooSkewed', { details });
  }
  return { credential, date, signedHeaders: signedHeaders.split(';'), signature, payload };
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html */
function readPresigned({ target, headers }: SignedRequest, now: Date): Claim {
  const field = (name: string): string => {
    const value = queryValue(target.query, name);
    if (!value)
      throw new S3Error('AuthorizationQueryParametersError', `The query parameter ${name} is missing`);
    return value;
  };
  const credential = field('X-Amz-Credential');
  const date = field('X-Amz-Date');
  const expires = Number(field('X-Amz-Expires'));
  const sent = readBasicDate(date);
  if (field('X-Amz-Algorithm') !== ALGORITHM || sent === undefined) {
    throw new S3Error('AuthorizationQueryParametersError');
  }
  if (!Number.isInteger(expires) || expires < 1 || expires > MAX_EXPIRES_S) {
    throw new S3Error(
      'AuthorizationQueryParametersError',
      `X-Amz-Expires must be 1 to ${MAX_EXPIRES_S} seconds`,
    );
  }
  if (now.getTime() > sent + expires * 1000) throw new S3Error('AccessDenied', 'Request has expired');
  if (sent > now.getTime() + MAX_SKEW_MS) throw new S3Error('AccessDenied', 'Request is not yet valid');
  return {
    credential,
    date,
    signedHeaders: field('X-Amz-SignedHeaders').split(';'),
    signature: field('X-Amz-Signature'),
    payload:
      queryValue(target.query, 'X-Amz-Content-Sha256') ??
      headers['x-amz-content-sha256'] ??
      'UNSIGNED-PAYLOAD',
  };
}

/** The signature must cover the host and every header that changes what S3 does. */
function checkSignedHeaders({ signedHeaders }: Claim, headers: SignedRequest['headers']): void {
  const unsigned = Object.keys(headers).filter(
    (name) => (name === 'host' || name.startsWith('x-amz-')) && !signedHeaders.includes(name),
  );
  if (unsigned.length > 0) {
    throw new S3Error('AccessDenied', {
      message: 'There were headers present in the request which were not signed',
      details: { HeadersNotSigned: unsigned.join(', ') },
    });
  }
}

/** Latin-1, because Node decodes header bytes as Latin-1 and the client signed the bytes. */
function buildCanonicalRequest({ method, target, headers }: SignedRequest, claim: Claim): Buffer {
  const lines = [
    method,
    encodePath(target.path),
    buildCanonicalQuery(target.query),
    // `trim` would also remove the byte 0xA0, which ends many characters in UTF-8.
    ...claim.signedHeaders.map(
      (name) => `${name}:${(headers[name] ?? '').replace(/^[ \t]+|[ \t]+$/g, '').replace(/ +/g, ' ')}`,
    ),
    '',
    claim.signedHeaders.join(';'),
    claim.payload,
  ];
  return Buffer.from(lines.join('\n'), 'latin1');
}

/** Sorted by name, then by value, in byte order. A space sorts before every encoded character; `=` would not. */
const buildCanonicalQuery = (query: Query): string =>
  query
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encode(name)} ${encode(value)}`)
    .sort()
    .join('&')
    .replaceAll(' ', '=');

/** Reads `YYYYMMDDTHHMMSSZ` as ms since 1970. */
export function readBasicDate(date: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time) ? undefined : time;
}

function toBasicDate(date: string | undefined): string {
  const time = Date.parse(date ?? '');
  return Number.isNaN(time) ? '' : new Date(time).toISOString().replace(/[-:]|\.\d+/g, '');
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const digest = (text: string | Buffer): Buffer => createHash('sha256').update(text).digest();
const sha256 = (text: string | Buffer): string => digest(text).toString('hex');
