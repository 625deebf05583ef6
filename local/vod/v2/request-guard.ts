import type { VodSecrets } from '../../../lib/config.ts';
import { Quota, type QuotaOptions } from '../quota.ts';
import { type Action, readCommonParameters } from './checks.ts';
import { CLOCK_TOLERANCE_MS, Nonces } from './nonces.ts';
import { readQuery } from './query.ts';
import { checkSignature } from './signature.ts';
import { VodError, type VodErrorKind } from './vod-error.ts';

const API_PATHS = ['/v2/index.php', '/v3/index.php'];

const METHODS: Readonly<Record<Action, readonly string[]>> = {
  InitUpload: ['GET', 'POST'],
  UploadPart: ['POST'],
  FinishUpload: ['GET', 'POST'],
  SmallFileUpload: ['POST'],
};

type GuardOptions = Readonly<{
  /** The keys of the account. Read at each request. */
  secrets: VodSecrets | readonly VodSecrets[];
  signedHost: string;
  quota: QuotaOptions | false;
  now: () => number;
}>;

export type RequestGuard = ReturnType<typeof createRequestGuard>;

/** Checks every call before it is executed: the account, the signature, the time, the nonce, and the quota. */
export function createRequestGuard({ secrets, signedHost, quota, now }: GuardOptions) {
  const nonces = new Nonces();
  const limits = quota ? new Quota(quota) : undefined;

  /** Returns the action and the unchecked parameters of a call. @throws {VodError} */
  return (method: string, path: string, query: string, hostHeader: string) => {
    if (!API_PATHS.includes(path)) {
      throw new VodError('noSuchCall', `no such path: expected ${API_PATHS.join(' or ')}`, { status: 404 });
    }
    checkMethod(method, ['GET', 'POST'], path);
    const params = readQuery(query);
    const { Action: action, SecretId, Timestamp, Nonce } = readCommonParameters(params);
    checkMethod(method, METHODS[action], action);

    const key = [secrets].flat().find(({ secretId }) => secretId === SecretId);
    if (!key) throw new VodError('unknownSecretId', 'SecretId: no such account');
    const time = now();
    const behindMs = time - Number(Timestamp) * 1000;
    checkSignature(key.secretKey, { method, host: signedHost, path, params }, hostHeader, behindMs);
    const replayed = action === 'UploadPart' ? 'replayedPart' : 'replayed';
    checkClock(behindMs, replayed);
    // After the signature check, because an unsigned request must not use up nonces or quota.
    if (!nonces.use(SecretId, Nonce, time)) {
      throw new VodError(replayed, `Nonce: ${Nonce} was used before; each request needs a new one`);
    }
    const waitMs = limits?.take(action, time) ?? 0;
    if (waitMs > 0) {
      const message = `${action}: the calls per minute are used up; retry in ${Math.ceil(waitMs)} ms`;
      throw new VodError('quota', message);
    }
    return { action, params };
  };
}

export function checkMethod(method: string, allowed: readonly string[], target: string): void {
  if (allowed.includes(method)) return;
  const allow = allowed.join(', ');
  throw new VodError('noSuchCall', `${target}: expected ${allow}, got ${method}`, { allow });
}

function checkClock(behindMs: number, replayed: VodErrorKind): void {
  if (Math.abs(behindMs) <= CLOCK_TOLERANCE_MS) return;
  const offset = `${Math.round(Math.abs(behindMs) / 1000)} s ${behindMs > 0 ? 'behind' : 'ahead of'}`;
  const limit = CLOCK_TOLERANCE_MS / 1000;
  throw new VodError(replayed, `Timestamp: ${offset} this service's clock, at most ${limit} s are accepted`);
}
