import { join } from 'node:path';
import { LOCAL_S3_CREDENTIALS, LOCAL_VOD_SECRETS } from '../cli/running-file.ts';
import { type Environment, uploadSettings, vodSecrets } from '../lib/config.ts';
import type { FaultSelector } from './fault-injection.ts';
import { type S3Options, startS3 } from './s3/server.ts';
import { startVod } from './vod/server.ts';

export type ServicesOptions = Readonly<{
  /** The data folder. */
  data: string;
  /** `S3_ENDPOINT` and `VOD_ENDPOINT` name a service that is not started here. */
  env: Environment;
  /** Default: any free port. */
  s3Port?: number;
  vodPort?: number;
  /** A shorter quota minute, or no quota, for tests. */
  quota?: Readonly<{ minuteMs: number }> | false;
  /** Selects the faults of the local S3 and VOD. */
  faults?: FaultSelector | undefined;
  /** The clock of the local S3 and VOD, in milliseconds since 1970. Default: `Date.now`. */
  now?: () => number;
  regardHeaders?: S3Options['regardHeaders'];
}>;

/** The settings of all functions, with the endpoints of both services. */
export type ServiceEnvironment = Environment &
  Readonly<{ AWS_REGION: string; S3_ENDPOINT: string; VOD_ENDPOINT: string }>;

/**
 * Starts the local S3 and the local VOD, except where the environment names an endpoint. `resources` closes them.
 * @returns the environment for the handlers
 * @throws {InvalidSetting} before anything is started
 */
export async function startServices(
  { data, env, s3Port = 0, vodPort = 0, quota, faults, now, regardHeaders }: ServicesOptions,
  resources: AsyncDisposableStack,
  onEvent: (event: unknown) => void,
): Promise<ServiceEnvironment> {
  const settings = Object.fromEntries(Object.entries(env).filter(([, value]) => value));
  const { vod } = uploadSettings(settings);
  const { secretId, secretKey } = await vodSecrets(
    settings.VOD_ENDPOINT ? settings : { ...LOCAL_VOD_SECRETS, ...settings },
  );
  const local: Record<string, string> = { VOD_SECRET_ID: secretId, VOD_SECRET_KEY: secretKey };
  if (quota) local.QUOTA_MINUTE_MS = String(quota.minuteMs);
  if (!settings.S3_ENDPOINT) {
    const s3 = await startS3({
      dir: join(data, 's3'),
      port: s3Port,
      credentials: LOCAL_S3_CREDENTIALS,
      onObjectCreated: async (event) => onEvent(event),
      faults,
      ...(now && { now: () => new Date(now()) }),
      ...(regardHeaders && { regardHeaders }),
    });
    resources.defer(s3.close);
    Object.assign(local, {
      S3_ENDPOINT: s3.endpoint,
      AWS_ACCESS_KEY_ID: LOCAL_S3_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: LOCAL_S3_CREDENTIALS.secretAccessKey,
      AWS_SESSION_TOKEN: '',
    });
  }
  if (!settings.VOD_ENDPOINT) {
    const isVod2018 = settings.VOD_API === '2018-07-17';
    const service = await startVod({
      dir: join(data, 'vod'),
      port: vodPort,
      secrets: { secretId, secretKey },
      signedHost: vod.host,
      ...(settings.VOD_SUB_APP_ID && { subAppId: Number(settings.VOD_SUB_APP_ID) }),
      ...(settings.VOD_STORAGE_REGION && { regions: [settings.VOD_STORAGE_REGION] }),
      ...(settings.VOD_PROCEDURE && { procedures: [settings.VOD_PROCEDURE] }),
      ...(quota !== undefined && { quota }),
      faults,
      ...(now && { now }),
    });
    resources.defer(service.close);
    local.VOD_ENDPOINT = `${service.endpoint}${isVod2018 ? '/' : '/v2/index.php'}`;
    local.VOD_COS_ENDPOINT = service.cosEndpoint;
  }
  return { AWS_REGION: 'us-east-1', S3_ENDPOINT: '', VOD_ENDPOINT: '', ...settings, ...local };
}
