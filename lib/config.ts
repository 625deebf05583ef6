import * as v from 'valibot';
import { isPermanent, readParameter } from './aws/parameter-store.ts';
import { errorMessage, InvalidInput, InvalidSetting, SettingUnavailable } from './errors.ts';
import type { QuotaOptions } from './quota/quota.ts';
import { formatIssues, type UploadOptions } from './schemas.ts';
import { optionsFromEnvironment } from './upload/upload-options.ts';
import type { VodSettings } from './vod/client.ts';
import { WRITE_BACK, type WriteBackSettings } from './write-back/write-back.ts';

/** The settings of the functions, from their environment. README, "Settings", lists them. */

export type Environment = Readonly<Record<string, string | undefined>>;

export type UploadSettings = Readonly<{
  s3Endpoint: string | undefined;
  vod: Omit<VodSettings, 'secrets'>;
  defaults: UploadOptions;
  writeBack: WriteBackSettings;
  quota: Omit<QuotaOptions, 'account'>;
}>;

const HttpUrl = v.pipe(
  v.string(),
  v.check((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''), 'Expected an http or https address'),
);

/** Not a name that a resolver may send elsewhere, but for `localhost`. A URL has all spellings of an address in one form. */
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * What is sent to a far end without TLS can be read and changed on the way: the video, a session token, the `fileId`. The
 * keys themselves are never sent.
 */
function requireHttps(setting: 'S3_ENDPOINT' | 'VOD_ENDPOINT', address: URL, allowed: string): void {
  const { protocol, hostname, host, username, password } = address;
  if (username || password) {
    throw new InvalidSetting(`setting ${setting}: expected an address without a user and a password in it`);
  }
  if (protocol === 'https:' || LOOPBACK.test(hostname) || allowed === 'true') return;
  throw new InvalidSetting(
    `setting ${setting}: expected an https address, got http://${host}: where nobody else can listen on the way to it, set ` +
      `${setting.replace('ENDPOINT', 'ALLOW_HTTP')}=true`,
  );
}

/** Parts of a copy are at least this large, but for the last. */
const MIN_COPY_LIMIT_BYTES = 5 * 1024 ** 2;

const integerBetween = (least: number, most: number) =>
  v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(least), v.maxValue(most));

const UploadEnvironment = v.object({
  S3_ENDPOINT: v.optional(HttpUrl),
  S3_ALLOW_HTTP: v.optional(v.picklist(['true', 'false']), 'false'),
  VOD_ENDPOINT: v.optional(HttpUrl, 'https://vod2.qcloud.com/v2/index.php'),
  VOD_ALLOW_HTTP: v.optional(v.picklist(['true', 'false']), 'false'),
  VOD_HOST: v.optional(v.pipe(v.string(), v.regex(/^[a-z0-9.-]+$/i)), 'vod2.qcloud.com'),
  WRITE_BACK: v.optional(v.picklist(['metadata', 'tags']), WRITE_BACK.mode),
  COPY_LIMIT_BYTES: v.optional(
    integerBetween(MIN_COPY_LIMIT_BYTES, WRITE_BACK.maxCopyBytes),
    String(WRITE_BACK.maxCopyBytes),
  ),
  QUOTA_TABLE: v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]{3,255}$/))),
  AWS_REGION: v.optional(v.string()),
  AWS_ENDPOINT_URL_DYNAMODB: v.optional(HttpUrl),
  QUOTA_CALLS_PER_MINUTE: v.optional(integerBetween(100, 1_000_000), '100'),
  QUOTA_PARTS_PER_MINUTE: v.optional(integerBetween(100, 1_000_000), '10000'),
  QUOTA_MINUTE_MS: v.optional(integerBetween(100, 60_000), '60000'),
  VOD_REGION: v.optional(v.pipe(v.string(), v.regex(/^[a-z0-9-]+$/i)), 'gz'),
});

/** @throws {InvalidSetting} naming the variable */
export function uploadSettings(env: Environment): UploadSettings {
  const set = parseEnv(UploadEnvironment, env);
  const endpoint = new URL(set.VOD_ENDPOINT);
  requireHttps('VOD_ENDPOINT', endpoint, set.VOD_ALLOW_HTTP);
  if (set.S3_ENDPOINT) requireHttps('S3_ENDPOINT', new URL(set.S3_ENDPOINT), set.S3_ALLOW_HTTP);
  if (endpoint.pathname === '/') endpoint.pathname = '/v2/index.php';
  return {
    s3Endpoint: set.S3_ENDPOINT,
    vod: { endpoint, host: set.VOD_HOST, region: set.VOD_REGION },
    defaults: defaultOptions(env),
    writeBack: { mode: set.WRITE_BACK, maxCopyBytes: set.COPY_LIMIT_BYTES },
    quota: {
      table: set.QUOTA_TABLE,
      region: set.AWS_REGION,
      endpoint: set.AWS_ENDPOINT_URL_DYNAMODB,
      callsPerMinute: set.QUOTA_CALLS_PER_MINUTE,
      partsPerMinute: set.QUOTA_PARTS_PER_MINUTE,
      minuteMs: set.QUOTA_MINUTE_MS,
    },
  };
}

function defaultOptions(env: Environment): UploadOptions {
  try {
    return optionsFromEnvironment(env);
  } catch (error) {
    throw error instanceof InvalidInput ? new InvalidSetting(error.message, { cause: error }) : error;
  }
}

/** Of which stage of the deployment this is: a dimension of all metrics. */
export const stageOf = (env: Environment): string => env.STAGE || 'dev';

const SECRETS = ['VOD_SECRET_ID', 'VOD_SECRET_KEY', 'VOD_TOKEN'] as const;

/**
 * What VOD calls are signed with: from the parameter store (SecureString) by the names in `VOD_SECRET_ID_PARAMETER` and
 * `VOD_SECRET_KEY_PARAMETER` (and `VOD_TOKEN_PARAMETER`), or, away from the cloud, from the same without `_PARAMETER`.
 * @throws {InvalidSetting} {SettingUnavailable} naming the variable or the parameter, never its value
 */
export async function vodSecrets(env: Environment): Promise<VodSettings['secrets']> {
  const [secretId, secretKey, token] = await Promise.all(SECRETS.map((name) => secret(env, name)));
  if (!secretId) throw missingSetting('VOD_SECRET_ID');
  if (!secretKey) throw missingSetting('VOD_SECRET_KEY');
  return { secretId, secretKey, ...(token && { token }) };
}

const isSecureUrl = (text: string): boolean => {
  const url = URL.parse(text);
  return url?.protocol === 'https:' || LOOPBACK.test(url?.hostname ?? '');
};

const StoreEnvironment = v.object({
  AWS_REGION: v.optional(v.string()),
  AWS_ENDPOINT_URL_SSM: v.optional(
    v.pipe(HttpUrl, v.check(isSecureUrl, 'Expected an https address: what it answers are secrets')),
  ),
});

async function secret(env: Environment, name: (typeof SECRETS)[number]): Promise<string | undefined> {
  const parameter = env[`${name}_PARAMETER`];
  if (!parameter) return env[name];
  const { AWS_REGION: region, AWS_ENDPOINT_URL_SSM: endpoint } = parseEnv(StoreEnvironment, env);
  if (!region)
    throw new InvalidSetting(`setting AWS_REGION is missing: ${name}_PARAMETER names a parameter there`);
  try {
    return await readParameter(parameter, { region, endpoint });
  } catch (error) {
    throw parameterError(name, parameter, error);
  }
}

function parameterError(
  name: string,
  parameter: string,
  cause: unknown,
): InvalidSetting | SettingUnavailable {
  const what = `parameter ${parameter} (setting ${name}_PARAMETER) cannot be read: ${errorMessage(cause)}`;
  return isPermanent(cause)
    ? new InvalidSetting(`${what}: check its name and the function's policy`, { cause })
    : new SettingUnavailable(what, { cause });
}

const missingSetting = (name: string): InvalidSetting =>
  new InvalidSetting(
    `setting ${name} is missing: set it, or ${name}_PARAMETER to the name of a parameter that holds it`,
  );

const TriggerEnvironment = v.object({ STATE_MACHINE_ARN: v.pipe(v.string(), v.startsWith('arn:')) });

/** @throws {InvalidSetting} naming the variable */
export const triggerSettings = (env: Environment): { stateMachineArn: string } => ({
  stateMachineArn: parseEnv(TriggerEnvironment, env).STATE_MACHINE_ARN,
});

function parseEnv<const S extends v.GenericSchema>(schema: S, env: Environment): v.InferOutput<S> {
  // A variable that is set to nothing counts as not set.
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const result = v.safeParse(schema, set);
  if (result.success) return result.output;
  throw new InvalidSetting(`setting ${formatIssues(result.issues)}`);
}
