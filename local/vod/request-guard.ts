import type { VodSecrets } from '../../lib/config.ts';
import type { Params } from '../../lib/vod/signature.ts';
import { type Action, checkCommon } from './checks.ts';
import { CLOCK_TOLERANCE_MS, Nonces } from './nonces.ts';
import { readQuery } from './query.ts';
import { Quota, type QuotaOptions } from './quota.ts';
import { checkSignature } from './signature.ts';
import { VodError } from './vod-error.ts';

const API_PATHS = ['/v2/index.php', '/v3/index.php'];

const METHODS: Readonly<Record<Action, readonly string[]>> = {
  InitUpload: ['GET', 'POST'],
  UploadPart: ['POST'],
  FinishUpload: ['GET', 'POST'],
  SmallFileUpload: ['POST'],
};

type Keys = Readonly<{
  secrets: VodSecrets;
  signedHost: string;
  quota: QuotaOptions | false;
  now: () => number;
}>;

/** What is asked of every call before it is looked at: who makes it, is it fresh, is there room for it. */
export class RequestGuard {
  readonly #keys: Keys;
  readonly #nonces = new Nonces();
  readonly #quota: Quota | undefined;

  constructor(keys: Keys) {
    this.#keys = keys;
    this.#quota = keys.quota ? new Quota(keys.quota) : undefined;
  }

  /** The call's action and parameters, the latter not yet checked. */
  admit(method: string, path: string, query: string, hostHeader: string): { action: Action; params: Params } {
    if (!API_PATHS.includes(path)) {
      throw new VodError('noSuchCall', `no such path: expected ${API_PATHS.join(' or ')}`, { status: 404 });
    }
    checkMethod(method, ['GET', 'POST'], path);
    const params = readQuery(query);
    const { Action: action, SecretId, Timestamp, Nonce } = checkCommon(params);
    checkMethod(method, METHODS[action], action);

    const { secrets, signedHost, now } = this.#keys;
    if (SecretId !== secrets.secretId) throw new VodError('unknownSecretId', 'SecretId: no such account');
    const time = now();
    const behindMs = time - Number(Timestamp) * 1000;
    checkSignature(secrets.secretKey, { method, host: signedHost, path, params }, hostHeader, behindMs);
    checkClock(behindMs);
    // Only now: what is not signed must not use up nonces or quota.
    if (!this.#nonces.use(SecretId, Nonce, time)) {
      throw new VodError('replayed', `Nonce: ${Nonce} was used before; each request needs a new one`);
    }
    const waitMs = this.#quota?.take(action, time) ?? 0;
    if (waitMs > 0) {
      throw new VodError('quota', `${action}: over the calls of a minute; room in ${Math.ceil(waitMs)} ms`);
    }
    return { action, params };
  }
}

export function checkMethod(method: string, allowed: readonly string[], what: string): void {
  if (allowed.includes(method)) return;
  const allow = allowed.join(', ');
  throw new VodError('noSuchCall', `${what}: expected ${allow}, got ${method}`, { allow });
}

function checkClock(behindMs: number): void {
  if (Math.abs(behindMs) <= CLOCK_TOLERANCE_MS) return;
  const seconds = Math.round(Math.abs(behindMs) / 1000);
  const side = behindMs > 0 ? 'behind' : 'ahead of';
  throw new VodError(
    'replayed',
    `Timestamp: ${seconds} s ${side} this service's clock, at most ${CLOCK_TOLERANCE_MS / 1000} s are accepted`,
  );
}
