import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { VodSecrets } from '../../../lib/config.ts';
import { ApiError } from './api-error.ts';

const ALGORITHM = 'TC3-HMAC-SHA256';
const SERVICE = 'vod';
const MAX_SKEW_S = 5 * 60;

const AUTHORIZATION =
  /^TC3-HMAC-SHA256 Credential=([^/\s,]+)\/(\d{4}-\d\d-\d\d)\/([a-z0-9]+)\/tc3_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/;

type SignedCall = Readonly<{ headers: IncomingHttpHeaders; body: Buffer }>;

/**
 * Verifies the TC3-HMAC-SHA256 signature of a call, its timestamp, and its token.
 * @throws {ApiError}
 * https://www.tencentcloud.com/document/product/266/34123
 */
export function authenticate(call: SignedCall, accountKeys: readonly VodSecrets[], nowMs: number): void {
  const { headers } = call;
  const timestamp = readTimestamp(headers, nowMs / 1000);
  const [, secretId, date, service = '', signedNames = '', signature = ''] =
    AUTHORIZATION.exec(headers.authorization ?? '') ?? [];
  if (secretId === undefined) {
    throw new ApiError(
      'AuthFailure.InvalidAuthorization',
      `Authorization: expected ${ALGORITHM} Credential=<id>/<date>/${SERVICE}/tc3_request, SignedHeaders=…, Signature=…`,
    );
  }
  const keys = accountKeys.find((candidate) => candidate.secretId === secretId);
  if (!keys) throw new ApiError('AuthFailure.SecretIdNotFound', 'The SecretId is not found.');
  const names = signedNames.split(';');
  const missing = ['content-type', 'host'].find((name) => !names.includes(name));
  const expectedDate = new Date(timestamp * 1000).toISOString().slice(0, 10);
  if (missing) throw rejectSignature(`SignedHeaders: expected ${missing} in it`);
  if (date !== expectedDate) throw rejectSignature(`the credential: expected ${expectedDate}, got ${date}`);
  const host = headers.host ?? '';
  // The vendor's SDKs take the first label of the host.
  if (service !== SERVICE && service !== host.split('.', 1)[0]) {
    throw rejectSignature(`the credential: expected the service ${SERVICE}, got ${service}`);
  }
  // The vendor's SDK signs the host without its port.
  const isValid = [host, host.replace(/:\d+$/, '')].some((signedHost) => {
    const expected = signTc3(keys.secretKey, { ...call, names, timestamp, service, host: signedHost });
    return timingSafeEqual(Buffer.from(expected), Buffer.from(signature));
  });
  if (!isValid) throw rejectSignature('does not match. Check the secret key and the signed text');
  if (headers['x-tc-token'] !== keys.token) {
    throw new ApiError(
      'AuthFailure.TokenFailure',
      'X-TC-Token: expected the token of temporary keys, else none',
    );
  }
}

function readTimestamp(headers: IncomingHttpHeaders, now: number): number {
  const text = headers['x-tc-timestamp'];
  if (text === undefined) throw new ApiError('MissingParameter', 'X-TC-Timestamp: missing');
  if (!/^\d{1,11}$/.test(text.toString())) {
    throw new ApiError('InvalidParameter', 'X-TC-Timestamp: expected whole seconds since 1970');
  }
  const offBy = Math.abs(now - Number(text));
  if (offBy <= MAX_SKEW_S) return Number(text);
  throw new ApiError(
    'AuthFailure.SignatureExpire',
    `X-TC-Timestamp: ${Math.round(offBy)} s from the clock of the service, at most ${MAX_SKEW_S} s are accepted`,
  );
}

type SignedText = SignedCall &
  Readonly<{ names: readonly string[]; timestamp: number; service: string; host: string }>;

/** Computes the signature of a POST in hex. */
export function signTc3(
  secretKey: string,
  { headers, body, names, timestamp, service, host }: SignedText,
): string {
  const readValue = (name: string): string =>
    (name === 'host' ? host : (headers[name] ?? '').toString()).trim().toLowerCase();
  const lines = names.map((name) => `${name}:${readValue(name)}\n`).join('');
  const canonical = ['POST', '/', '', lines, names.join(';'), sha256(body)].join('\n');
  const date = new Date(timestamp * 1000).toISOString().slice(0, 10);
  const scope = `${date}/${service}/tc3_request`;
  const key = [date, service, 'tc3_request'].reduce<string | Buffer>(hmac, `TC3${secretKey}`);
  return hmac(key, [ALGORITHM, timestamp, scope, sha256(canonical)].join('\n')).toString('hex');
}

const rejectSignature = (problem: string): ApiError =>
  new ApiError('AuthFailure.SignatureFailure', `The signature: ${problem}.`);

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');
