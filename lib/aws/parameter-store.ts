import pRetry from 'p-retry';
import * as v from 'valibot';
import { type AwsEndpoint, AwsServiceError, JsonClient } from './json-client.ts';

/**
 * The parameter store, of which one operation is needed.
 * https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
 */

const SSM = { name: 'ssm', target: 'AmazonSSM', json: '1.1' } as const;

/** A changed parameter is seen after at most this long. */
const CACHE_TTL_MS = 300_000;

/** Milliseconds for one request until its answer begins; and until it has ended, with all repeats. */
const TIMEOUTS = { connectionTimeout: 3_000, requestTimeout: 5_000, throwOnRequestTimeout: true };
const ANSWER_MS = 15_000;
const RETRY = { retries: 2, minTimeout: 200, randomize: true };

/** The store's refusals where another try would go the same way. */
const PERMANENT_ERRORS = new Set([
  'ParameterNotFound',
  'AccessDeniedException',
  'InvalidKeyId',
  'ValidationException',
]);
export const isPermanent = (error: unknown): boolean =>
  error instanceof AwsServiceError && PERMANENT_ERRORS.has(error.name);

const cache = new Map<string, { value: Promise<string | undefined>; until: number }>();

/**
 * The decrypted value of a parameter, at most five minutes old.
 * @throws {AwsServiceError} {Error} of the connection, the credentials, or the time
 */
export function readParameter(name: string, store: AwsEndpoint): Promise<string | undefined> {
  const known = cache.get(name);
  if (known && Date.now() < known.until) return known.value;
  const signal = AbortSignal.timeout(ANSWER_MS);
  const value = pRetry(() => getParameter(name, store, signal), {
    ...RETRY,
    signal,
    shouldRetry: ({ error }) => !isPermanent(error),
  });
  cache.set(name, { value, until: Date.now() + CACHE_TTL_MS });
  value.catch(() => cache.delete(name)); // the next to ask asks again
  return value;
}

const Answer = v.object({ Parameter: v.object({ Value: v.optional(v.string()) }) });

async function getParameter(
  name: string,
  store: AwsEndpoint,
  signal: AbortSignal,
): Promise<string | undefined> {
  const client = new JsonClient(SSM, store, TIMEOUTS);
  try {
    const answer = await client.call('GetParameter', { Name: name, WithDecryption: true }, signal);
    return v.parse(Answer, answer).Parameter.Value;
  } finally {
    client.close();
  }
}
