import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { SignedRequest } from '../s3/wire/auth.ts';
import { S3Error } from '../s3/wire/errors.ts';
import { encode } from '../s3/wire/target.ts';
import type { CosAccount, CosKeys } from './account.ts';

/** A key time may begin this much later than the clock of the service. */
const MAX_SKEW_S = 15 * 60;

const FIELDS = [
  'q-sign-algorithm',
  'q-ak',
  'q-sign-time',
  'q-key-time',
  'q-header-list',
  'q-url-param-list',
  'q-signature',
] as const;

/** The fields of an `Authorization` header of COS. */
type Claim = Readonly<Record<(typeof FIELDS)[number], string>>;

/**
 * Verifies the signature, the key time, and the token of a request. Returns the keys that signed it, and their ID.
 * @throws {S3Error}
 * https://www.tencentcloud.com/document/product/436/7778
 */
export function authenticate(
  request: SignedRequest,
  account: CosAccount,
  nowMs: number,
): Readonly<{ secretId: string; keys: CosKeys }> {
  const claim = readClaim(request);
  const secretId = claim['q-ak'];
  const keys = account.findKeys(secretId);
  if (!keys) throw new S3Error('InvalidAccessKeyId', 'The SecretId does not exist.');
  checkKeyTime(claim, nowMs / 1000);
  checkSignedNames(request, claim);
  const actual = Buffer.from(claim['q-signature']);
  const expected = Buffer.from(sign(request, claim, keys.secretKey));
  if (actual.length !== expected.length || !timingSafeEqual(actual, expected)) {
    throw new S3Error('SignatureDoesNotMatch');
  }
  if (request.headers['x-cos-security-token'] !== keys.token) {
    throw new S3Error('AccessDenied', 'x-cos-security-token: expected the token of the keys');
  }
  if (keys.expiresAt !== undefined && keys.expiresAt <= nowMs) throw new S3Error('ExpiredToken');
  return { secretId, keys };
}

function readClaim({ headers, target }: SignedRequest): Claim {
  const { authorization } = headers;
  if (authorization === undefined) {
    if (target.query.some(([name]) => name === 'q-signature' || name === 'X-Amz-Signature')) {
      throw new S3Error('NotImplemented', 'A signature in the URL is not supported by this local COS');
    }
    throw new S3Error('AccessDenied');
  }
  if (authorization.startsWith('AWS')) {
    throw new S3Error('NotImplemented', 'The signatures of S3 are not supported by this local COS');
  }
  const pairs = authorization.split('&').map((pair) => {
    const [name = '', ...value] = pair.split('=');
    return [name, value.join('=')] as const;
  });
  const fields = new Map(pairs);
  const isComplete = pairs.length === FIELDS.length && FIELDS.every((name) => fields.has(name));
  if (!isComplete || fields.get('q-sign-algorithm') !== 'sha1') {
    throw new S3Error(
      'InvalidArgument',
      `Authorization: expected q-sign-algorithm=sha1 and ${FIELDS.slice(1)}`,
    );
  }
  const field = (name: (typeof FIELDS)[number]): string => fields.get(name) ?? '';
  return {
    'q-sign-algorithm': field('q-sign-algorithm'),
    'q-ak': field('q-ak'),
    'q-sign-time': field('q-sign-time'),
    'q-key-time': field('q-key-time'),
    'q-header-list': field('q-header-list'),
    'q-url-param-list': field('q-url-param-list'),
    'q-signature': field('q-signature'),
  };
}

function checkKeyTime(claim: Claim, now: number): void {
  for (const name of ['q-sign-time', 'q-key-time'] as const) {
    const [, start, end] = /^(\d{1,12});(\d{1,12})$/.exec(claim[name]) ?? [];
    if (start === undefined || Number(end) < Number(start)) {
      throw new S3Error('InvalidArgument', `${name}: expected start;end in seconds, got ${claim[name]}`);
    }
    if (Number(start) > now + MAX_SKEW_S) throw new S3Error('RequestTimeTooSkewed');
    if (Number(end) < now) throw new S3Error('AccessDenied', 'Request has expired');
  }
}

/** COS does not require it, but a signature that leaves out the bucket or a parameter would be valid for another request. */
function checkSignedNames({ target }: SignedRequest, claim: Claim): void {
  if (!claim['q-header-list'].split(';').includes('host')) {
    throw new S3Error('AccessDenied', 'q-header-list: expected host in it');
  }
  const signed = new Set(claim['q-url-param-list'].split(';'));
  const unsigned = target.query.find(([name]) => !signed.has(encodeName(name)));
  if (unsigned) throw new S3Error('AccessDenied', `q-url-param-list: expected ${unsigned[0]} in it`);
}

/** Computes `q-signature` for the lists and times of a claim. */
export function sign({ method, target, headers }: SignedRequest, claim: Claim, secretKey: string): string {
  const query = new Map(target.query.map(([name, value]) => [encodeName(name), value]));
  // Node decodes header bytes as Latin-1.
  const header = (name: string): string => Buffer.from(headers[name] ?? '', 'latin1').toString('utf8');
  const http = [
    method.toLowerCase(),
    target.path,
    describePairs(claim['q-url-param-list'], (name) => query.get(name) ?? ''),
    describePairs(claim['q-header-list'], (name) => header(decodeURIComponent(name))),
    '',
  ].join('\n');
  const signKey = hmac(secretKey, claim['q-key-time']);
  const text = `sha1\n${claim['q-sign-time']}\n${createHash('sha1').update(http).digest('hex')}\n`;
  return hmac(signKey, text);
}

/** Writes the pairs of a list of names, in the order of the names. */
const describePairs = (list: string, readValue: (name: string) => string): string =>
  list
    .split(';')
    .filter(Boolean)
    .sort()
    .map((name) => `${name}=${encode(readValue(name))}`)
    .join('&');

const encodeName = (name: string): string => encode(name).toLowerCase();

const hmac = (key: string, text: string): string => createHmac('sha1', key).update(text).digest('hex');
