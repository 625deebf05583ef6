import type { S3Client } from '@aws-sdk/client-s3';
import { cacheByKey } from '../aws/cached-resource.ts';
import { type Environment, uploadSettings, vodSecrets, type WriteBackSettings } from '../config.ts';
import type { Admission } from '../quota/admission.ts';
import { openQuota } from '../quota/open-quota.ts';
import type { Quota } from '../quota/quota.ts';
import { createS3Client } from '../s3/client.ts';
import type { UploadOptions } from '../schemas.ts';
import { tuneGarbageCollector } from '../upload/gc-tuning.ts';
import { openTarget } from '../vod/open-target.ts';
import type { VodTarget } from '../vod/target.ts';

/**
 * The clients and settings of the steps. One set serves all invocations of a function, so connections stay open. A changed
 * setting or secret creates a new set.
 */
export type Services = Readonly<{
  s3: S3Client;
  vod: VodTarget;
  quota: Quota;
  admission: Admission;
  defaults: UploadOptions;
  writeBack: WriteBackSettings;
}>;

const cached = cacheByKey<Services & { close: () => void }>(({ close }) => close());

/** @throws {InvalidSetting} {SettingUnavailable} */
export async function servicesFor(env: Environment): Promise<Services> {
  const settings = uploadSettings(env);
  const secrets = await vodSecrets(env);
  const key = JSON.stringify([settings, secrets, env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY]);
  return cached.get(key, () => {
    tuneGarbageCollector();
    const { s3Endpoint, vod: vodSettings, quota: quotaSettings, ...rest } = settings;
    const { quota, admission, close: closeQuota } = openQuota(quotaSettings);
    const s3 = createS3Client({ endpoint: s3Endpoint });
    const maxFunctions = admission.limits.partFunctions;
    const vod = openTarget(vodSettings, { secrets, quota, maxFunctions });
    const close = (): void => {
      s3.destroy();
      vod.disconnect();
      closeQuota();
    };
    return { ...rest, s3, vod, quota, admission, close };
  });
}

/** Closes idle connections. */
export const releaseServices = (): void => cached.release();
