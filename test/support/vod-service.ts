import { onTestFinished } from 'vitest';
import { startVod, type VodOptions } from '../../local/vod/server.ts';
import { newFolder } from './temp-folder.ts';
import { Client, HOST, SECRETS } from './vod-client.ts';

export function clientOf(endpoint: string, now?: () => number): Client {
  const client = new Client(endpoint, now);
  onTestFinished(() => client.close());
  return client;
}

/** A service of its own for a test, and a client of it. Started again on the same `dir`, it goes on. */
export async function service(options: Partial<VodOptions> = {}) {
  const dir = options.dir ?? (await newFolder());
  const vod = await startVod({ port: 0, secrets: SECRETS, signedHost: HOST, ...options, dir });
  onTestFinished(() => vod.close());
  return { vod, dir, client: clientOf(vod.endpoint, options.now) };
}
