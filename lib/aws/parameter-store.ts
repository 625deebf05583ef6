import * as v from 'valibot';
import { type AwsEndpoint, type AwsServiceDefinition, createJsonClient } from './json-client.ts';

/** Reads parameters. https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html */

const SSM: AwsServiceDefinition = {
  name: 'ssm',
  target: 'AmazonSSM',
  json: '1.1',
  timeouts: { connect: 3_000, response: 5_000, call: 15_000 },
  retryDelayMs: 200,
};

/** A changed parameter takes effect after at most this time. */
const CACHE_TTL_MS = 300_000;

const cache = new Map<string, { value: Promise<string | undefined>; until: number }>();

const GetParameterResponse = v.object({ Parameter: v.object({ Value: v.optional(v.string()) }) });

/**
 * The decrypted value of a parameter, at most five minutes old.
 * @throws {AwsServiceError} for an error response
 * @throws {Error} of the connection, the credentials, or the time limit
 */
export function readParameter(name: string, store: AwsEndpoint): Promise<string | undefined> {
  const cached = cache.get(name);
  if (cached && Date.now() < cached.until) return cached.value;
  const value = getParameter(name, store);
  cache.set(name, { value, until: Date.now() + CACHE_TTL_MS });
  value.catch(() => cache.delete(name)); // the next caller tries again
  return value;
}

async function getParameter(name: string, store: AwsEndpoint): Promise<string | undefined> {
  const client = createJsonClient(SSM, store);
  try {
    const input = { Name: name, WithDecryption: true };
    return (await client.call('GetParameter', input, GetParameterResponse)).Parameter.Value;
  } finally {
    client.close();
  }
}
