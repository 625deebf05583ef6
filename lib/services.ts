import type { S3Client } from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import { type Environment, uploadSettings, vodSecrets } from './config.ts';
import type { Options } from './job.ts';
import { createQuota, type Quota } from './quota.ts';
import { createS3Client } from './source.ts';
import { createVod, type Vod } from './vod/client.ts';
import type { WriteBackSettings } from './writeback.ts';

/**
 * What the steps work with, as the environment sets it. One set serves all invocations of a function, for its kept-alive
 * connections; a changed setting or secret makes a new one.
 */
export type Services = Readonly<{ s3: S3Client; vod: Vod; defaults: Options; writeBack: WriteBackSettings }>;

const upload = keptAs<Services & { quota: Quota }>(({ s3, vod, quota }) => {
  s3.destroy();
  vod.close();
  quota.close();
});
const states = keptAs<SFNClient>((client) => client.destroy());

/** Both ends of the journey, and the stack's default options. @throws {InvalidSetting} */
export async function servicesFor(env: Environment): Promise<Services> {
  const settings = uploadSettings(env);
  const secrets = await vodSecrets(env);
  const key = JSON.stringify([settings, secrets, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY]);
  return upload.get(key, () => {
    const quota = createQuota({ ...settings.quota, account: secrets.secretId });
    return {
      s3: createS3Client({ endpoint: settings.s3Endpoint }),
      vod: createVod({ ...settings.vod, secrets }, quota),
      quota,
      defaults: settings.defaults,
      writeBack: settings.writeBack,
    };
  });
}

/** Milliseconds to connect, and to an answer. */
const TIMES = {
  connectionTimeout: 3_000,
  requestTimeout: 10_000,
  socketTimeout: 10_000,
  throwOnRequestTimeout: true,
};

/** Step Functions, where the SDK's own settings say. */
export const statesFor = (env: Environment): SFNClient =>
  states.get(env.AWS_ENDPOINT_URL_SFN ?? '', () => new SFNClient({ requestHandler: TIMES }));

/** Closes the kept-alive connections. */
export function releaseServices(): void {
  upload.release();
  states.release();
}

function keptAs<T>(close: (value: T) => void) {
  let kept: { key: string; value: T } | undefined;
  const release = (): void => {
    if (kept) close(kept.value);
    kept = undefined;
  };
  const get = (key: string, make: () => T): T => {
    if (kept?.key !== key) {
      release();
      kept = { key, value: make() };
    }
    return kept.value;
  };
  return { get, release };
}
