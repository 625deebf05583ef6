import { afterAll, beforeAll } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../lib/config.ts';
import type { Services } from '../../lib/steps/services.ts';
import { createVodClient, type VodClient } from '../../lib/vod/v2/client.ts';
import { createTarget } from '../../lib/vod/v2/target.ts';
import { type Vod as Service, startVod } from '../../local/vod/server.ts';
import { useStore } from './fake-store.ts';
import { createAmpleQuota, createTestAdmission } from './quota.ts';
import { useFolder } from './temp-folder.ts';
import { Client, HOST, SECRETS } from './vod-client.ts';

/** S3 and VOD over HTTP for the tests of a file, called with the pipeline's clients. */
export function useServices(s3: Parameters<typeof useStore>[0] = {}) {
  const store = useStore(s3);
  const folder = useFolder();
  let running: { service: Service; vod: VodClient; other: Client } | undefined;
  beforeAll(async () => {
    const service = await startVod({
      dir: folder.path,
      port: 0,
      secrets: SECRETS,
      signedHost: HOST,
      quota: false,
    });
    const endpoint = new URL('/v2/index.php', service.endpoint);
    const vod = createVodClient({ endpoint, host: HOST, region: 'gz', secrets: SECRETS }, createAmpleQuota());
    running = { service, vod, other: new Client(service.endpoint) };
  });
  afterAll(async () => {
    if (!running) return;
    running.vod.close();
    running.other.close();
    await running.service.close();
  });
  const started = () => {
    if (!running) throw new Error('not started');
    return running;
  };
  return {
    store,
    /** Another client of the same account. */
    get other(): Client {
      return started().other;
    },
    files: () => started().service.files(),
    /** The services of the steps. `vod` replaces calls of the VOD client. */
    services: (vod: Partial<VodClient> = {}): Services => ({
      s3: store.client,
      vod: createTarget({ ...started().vod, ...vod }, createTestAdmission().limits.partFunctions),
      quota: createAmpleQuota(),
      admission: createTestAdmission(),
      defaults: {},
      writeBack: DEFAULT_WRITE_BACK,
    }),
  };
}

/** A call that the test expects not to be made. */
export const failIfCalled = (): never => {
  throw new Error('expected no call to VOD, got one');
};
