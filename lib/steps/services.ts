import type { S3Client } from '@aws-sdk/client-s3';
import { cacheByKey } from '../aws/cached-resource.ts';
import { type Environment, uploadSettings, vodSecrets, type WriteBackSettings } from '../config.ts';
import { createQuota, type Quota } from '../quota/quota.ts';
import { createS3Client } from '../s3/client.ts';
import type { UploadOptions } from '../schemas.ts';
import { createVodClient, type VodClient } from '../vod/client.ts';

/**
 * What the steps work with, as the environment sets it. One set serves all invocations of a function, for its kept-alive
 * connections; a changed setting or secret makes a new one.
 */
export type Services = Readonly<{
  s3: S3Client;
  vod: VodClient;
  defaults: UploadOptions;
  writeBack: WriteBackSettings;
}>;

const upload = cacheByKey<Services & { quota: Quota }>(({ s3, vod, quota }) => {
  s3.destroy();
  vod.close();
  quota.close();
});

/** Both ends of the journey, and the stack's default options. @throws {InvalidSetting} */
export async function servicesFor(env: Environment): Promise<Services> {
  const settings = uploadSettings(env);
  const secrets = await vodSecrets(env);
  const key = JSON.stringify([settings, secrets, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY]);
  return upload.get(key, () => {
    const quota = createQuota({ ...settings.quota, account: secrets.secretId });
    return {
      s3: createS3Client({ endpoint: settings.s3Endpoint }),
      vod: createVodClient({ ...settings.vod, secrets }, quota),
      quota,
      defaults: settings.defaults,
      writeBack: settings.writeBack,
    };
  });
}

/** Closes the kept-alive connections. */
export const releaseServices = (): void => upload.release();
