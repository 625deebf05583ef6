import * as v from 'valibot';
import { type AwsEndpoint, type AwsServiceDefinition, createJsonClient } from './json-client.ts';

/** Reads parameters. https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html */

const SSM: AwsServiceDefinition = {
  name: 'ssm',
  target: 'AmazonSSM',
  json: '1.1',
  timeouts: { connect: 3_000, response: 5_000, call: 15_000 },
  retryDelayMs: 200,
};

/** A changed parameter takes effect after at most this time. */
const CACHE_TTL_MS = 300_000;

/** The decrypted values by the names that were asked for. A name without a parameter is missing. */
export type Parameters = ReadonlyMap<string, string>;

const cache = new Map<string, { parameters: Promise<Parameters>; until: number }>();

/** `Selector`: the version or label in the requested name, with its colon. */
const GetParametersResponse = v.object({
  Parameters: v.array(
    v.object({
      Name: v.string(),
      ARN: v.optional(v.string(), ''),
      Selector: v.optional(v.string(), ''),
      Value: v.optional(v.string(), ''),
    }),
  ),
});

/**
 * Reads up to ten parameters with one request. The values are at most five minutes old and all of the same age.
 * @throws {AwsServiceError} for an error response
 * @throws {Error} of the connection, the credentials, or the time limit
 */
export async function readParameters(names: readonly string[], store: AwsEndpoint): Promise<Parameters> {
  const key = JSON.stringify(names);
  const cached = cache.get(key);
  if (cached && Date.now() < cached.until) return cached.parameters;
  const parameters = getParameters(names, store);
  cache.set(key, { parameters, until: Date.now() + CACHE_TTL_MS });
  const found = await parameters.catch(() => undefined);
  if (!names.every((name) => found?.has(name))) cache.delete(key); // the next caller tries again
  return parameters;
}

async function getParameters(names: readonly string[], store: AwsEndpoint): Promise<Parameters> {
  const client = createJsonClient(SSM, store);
  try {
    const input = { Names: [...new Set(names)], WithDecryption: true };
    const response = await client.call('GetParameters', input, GetParametersResponse);
    return new Map(
      response.Parameters.flatMap(({ Name, ARN, Selector, Value }): [string, string][] => [
        [Name + Selector, Value],
        [ARN + Selector, Value],
      ]),
    );
  } finally {
    client.close();
  }
}
