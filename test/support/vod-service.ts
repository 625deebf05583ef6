import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { startVod, type VodOptions } from '../../local/vod/server.ts';
import { Client, HOST, SECRETS } from './vod-client.ts';

/** A folder that is gone after the test. */
export async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'vod-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

export function clientOf(endpoint: string, now?: () => number): Client {
  const client = new Client(endpoint, now);
  onTestFinished(() => client.close());
  return client;
}

/** A service of its own for a test, and a client of it. Started again on the same `dir`, it goes on. */
export async function service(options: Partial<VodOptions> = {}) {
  const dir = options.dir ?? (await folder());
  const vod = await startVod({ port: 0, secrets: SECRETS, signedHost: HOST, ...options, dir });
  onTestFinished(() => vod.close());
  return { vod, dir, client: clientOf(vod.endpoint, options.now) };
}
