import pRetry from 'p-retry';
import * as v from 'valibot';
import { JsonClient, type Place, Refusal } from './json-client.ts';

/**
 * The parameter store, of which one operation is needed.
 * https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html
 */

const SSM = { name: 'ssm', target: 'AmazonSSM', json: '1.1' } as const;

/** A changed parameter is seen after at most this long. */
const KEPT_MS = 300_000;

/** Milliseconds for one request until its answer begins; and until it has ended, with all repeats. */
const TIMES = { connectionTimeout: 3_000, requestTimeout: 5_000, throwOnRequestTimeout: true };
const ANSWER_MS = 15_000;
const REPEATS = { retries: 2, minTimeout: 200, randomize: true };

/** The store's refusals where another try would go the same way. */
const FINAL = new Set(['ParameterNotFound', 'AccessDeniedException', 'InvalidKeyId', 'ValidationException']);
export const isFinal = (error: unknown): boolean => error instanceof Refusal && FINAL.has(error.name);

const kept = new Map<string, { value: Promise<string | undefined>; until: number }>();

/**
 * The decrypted value of a parameter, at most five minutes old.
 * @throws {Refusal} {Error} of the connection, the credentials, or the time
 */
export function readParameter(name: string, store: Place): Promise<string | undefined> {
  const known = kept.get(name);
  if (known && Date.now() < known.until) return known.value;
  const signal = AbortSignal.timeout(ANSWER_MS);
  const value = pRetry(() => getParameter(name, store, signal), {
    ...REPEATS,
    signal,
    shouldRetry: ({ error }) => !isFinal(error),
  });
  kept.set(name, { value, until: Date.now() + KEPT_MS });
  value.catch(() => kept.delete(name)); // the next to ask asks again
  return value;
}

const Answer = v.object({ Parameter: v.object({ Value: v.optional(v.string()) }) });

async function getParameter(name: string, store: Place, signal: AbortSignal): Promise<string | undefined> {
  const client = new JsonClient(SSM, store, TIMES);
  try {
    const answer = await client.call('GetParameter', { Name: name, WithDecryption: true }, signal);
    return v.parse(Answer, answer).Parameter.Value;
  } finally {
    client.close();
  }
}
