import { expect, onTestFinished } from 'vitest';
import { startVod, type VodOptions } from '../../local/vod/server.ts';
import { newFolder } from './temp-folder.ts';
import { Client, HOST, SECRETS } from './vod-client.ts';

export function createClient(endpoint: string, now?: () => number): Client {
  const client = new Client(endpoint, now);
  onTestFinished(() => client.close());
  return client;
}

/** Starts a service and a client for the current test. The same `dir` continues the service of an earlier call. */
export async function startService(options: Partial<VodOptions> = {}) {
  const dir = options.dir ?? (await newFolder());
  const vod = await startVod({ port: 0, secrets: SECRETS, signedHost: HOST, ...options, dir });
  onTestFinished(() => vod.close());
  return { vod, dir, client: createClient(vod.endpoint, options.now) };
}

/** The settings of a stack that uses this service. */
export const settingsOf = ({ endpoint }: { endpoint: string }) => ({
  VOD_ENDPOINT: endpoint,
  VOD_SECRET_ID: SECRETS.secretId,
  VOD_SECRET_KEY: SECRETS.secretKey,
});

/** Matches an error response. */
export const rejectedWith = (code: number, message: RegExp, canRetry = 0) => ({
  status: 200,
  code,
  canRetry,
  message: expect.stringMatching(message),
});
