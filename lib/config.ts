import * as v from 'valibot';
import { isPermanent } from './aws/json-client.ts';
import { readParameters } from './aws/parameter-store.ts';
import { errorMessage, InvalidSetting, SettingUnavailable } from './errors.ts';
import { formatIssues } from './schemas.ts';
import { optionsFromEnvironment } from './upload/upload-options.ts';

/** The settings of the functions, read from their environment. The README lists them under "Settings". */

export type Environment = Readonly<Record<string, string | undefined>>;

/** The account's API key. `token` comes with temporary credentials and travels as the parameter `Token`. */
export type VodSecrets = Readonly<{ secretId: string; secretKey: string; token?: string | undefined }>;

/** The APIs of VOD. Accounts opened since 2023 have only the newer one. */
export const VOD_APIS = ['2.0', '2018-07-17'] as const;
export type VodApiVersion = (typeof VOD_APIS)[number];

const DEFAULT_ENDPOINTS: Readonly<Record<VodApiVersion, string>> = {
  '2.0': 'https://vod2.qcloud.com/v2/index.php',
  '2018-07-17': 'https://vod.tencentcloudapi.com/',
};

/** The settings of API 2.0. */
export type VodSettings = Readonly<{
  /** The address of the requests: `https://vod2.qcloud.com/v2/index.php`. */
  endpoint: URL;
  /** The host name in the signature, which does not depend on the address. */
  host: string;
  region: string;
  secrets: VodSecrets;
}>;

/**
 * How the `fileId` is stored: `metadata` copies the object onto itself; `annotation` and `tags` do not change the object;
 * `auto` chooses for each object.
 */
export const WRITE_BACK_MODES = ['metadata', 'annotation', 'tags', 'auto'] as const;

export type WriteBackSettings = Readonly<{
  mode: (typeof WRITE_BACK_MODES)[number];
  /** Larger objects are copied in parts. */
  maxCopyBytes: number;
}>;

export type QuotaSettings = Readonly<{
  /** The API whose limits apply. */
  api: VodApiVersion;
  /** The DynamoDB table that all processes share. Without a table, the process counts its calls in memory. */
  table: string | undefined;
  /** The region of the table. */
  region: string | undefined;
  /** Replaces the endpoint of the region. */
  endpoint: string | undefined;
  /** Limit of `InitUpload`, and separately of `FinishUpload`. */
  callsPerMinute: number;
  /** Limit of `UploadPart`. */
  partsPerMinute: number;
  /** The length of a minute. Tests shorten it. */
  minuteMs: number;
  /** The functions that the stack may run concurrently. */
  maxFunctions: number;
}>;

/** The size limit of a single `CopyObject`: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html */
export const MAX_COPY_BYTES = 5 * 1024 ** 3;

/** The smallest part of a multipart copy, except for the last part. */
const MIN_COPY_PART_BYTES = 5 * 1024 ** 2;

export const DEFAULT_WRITE_BACK = {
  mode: 'metadata',
  maxCopyBytes: MAX_COPY_BYTES,
} as const satisfies WriteBackSettings;

const HttpUrl = v.pipe(
  v.string(),
  v.check((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''), 'Expected an http or https address'),
);
const AllowHttp = v.optional(v.picklist(['true', 'false']), 'false');

const integerBetween = (least: number, most: number) =>
  v.pipe(v.string(), v.digits(), v.transform(Number), v.minValue(least), v.maxValue(most));

const StorageEnvironment = v.object({ S3_ENDPOINT: v.optional(HttpUrl), S3_ALLOW_HTTP: AllowHttp });

const QuotaEnvironment = v.object({
  VOD_API: v.optional(v.picklist(VOD_APIS), '2.0'),
  QUOTA_TABLE: v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]{3,255}$/))),
  AWS_REGION: v.optional(v.string()),
  AWS_ENDPOINT_URL_DYNAMODB: v.optional(HttpUrl),
  QUOTA_CALLS_PER_MINUTE: v.optional(integerBetween(100, 1_000_000), '100'),
  QUOTA_PARTS_PER_MINUTE: v.optional(integerBetween(100, 1_000_000), '10000'),
  QUOTA_MINUTE_MS: v.optional(integerBetween(100, 60_000), '60000'),
  MAX_FUNCTIONS: v.optional(integerBetween(1, 100_000), '1000'),
});

const UploadEnvironment = v.object({
  ...StorageEnvironment.entries,
  ...QuotaEnvironment.entries,
  VOD_ENDPOINT: v.optional(HttpUrl),
  VOD_ALLOW_HTTP: AllowHttp,
  VOD_COS_ENDPOINT: v.optional(HttpUrl),
  VOD_SUB_APP_ID: v.optional(integerBetween(1, Number.MAX_SAFE_INTEGER)),
  VOD_STORAGE_REGION: v.optional(v.pipe(v.string(), v.regex(/^[a-z0-9-]+$/))),
  VOD_HOST: v.optional(v.pipe(v.string(), v.regex(/^[a-z0-9.-]+$/i)), 'vod2.qcloud.com'),
  VOD_REGION: v.optional(v.pipe(v.string(), v.regex(/^[a-z0-9-]+$/i)), 'gz'),
  WRITE_BACK: v.optional(v.picklist(WRITE_BACK_MODES), DEFAULT_WRITE_BACK.mode),
  COPY_LIMIT_BYTES: v.optional(integerBetween(MIN_COPY_PART_BYTES, MAX_COPY_BYTES), String(MAX_COPY_BYTES)),
});

/** The settings of all APIs. Each API reads its own. */
export type AnyVodSettings = ReturnType<typeof uploadSettings>['vod'];

/** @throws {InvalidSetting} with the name of the variable */
export function uploadSettings(env: Environment) {
  const set = parseEnv(UploadEnvironment, env);
  const defaultEndpoint = DEFAULT_ENDPOINTS[set.VOD_API];
  const isHttpAllowed = set.VOD_ALLOW_HTTP === 'true';
  const endpoint = new URL(set.VOD_ENDPOINT ?? defaultEndpoint);
  requireHttps('VOD_ENDPOINT', endpoint, isHttpAllowed, 'VOD_ALLOW_HTTP');
  if (endpoint.pathname === '/') endpoint.pathname = new URL(defaultEndpoint).pathname;
  const cosEndpoint = set.VOD_COS_ENDPOINT === undefined ? undefined : new URL(set.VOD_COS_ENDPOINT);
  if (cosEndpoint) requireHttps('VOD_COS_ENDPOINT', cosEndpoint, isHttpAllowed, 'VOD_ALLOW_HTTP');
  return {
    s3Endpoint: storageEndpoint(set),
    vod: {
      api: set.VOD_API,
      endpoint,
      host: set.VOD_HOST,
      region: set.VOD_REGION,
      subAppId: set.VOD_SUB_APP_ID,
      storageRegion: set.VOD_STORAGE_REGION,
      cosEndpoint,
    },
    defaults: optionsFromEnvironment(env),
    writeBack: { mode: set.WRITE_BACK, maxCopyBytes: set.COPY_LIMIT_BYTES },
    quota: quotaSettings(set),
  };
}

function storageEndpoint(set: v.InferOutput<typeof StorageEnvironment>): string | undefined {
  if (set.S3_ENDPOINT)
    requireHttps('S3_ENDPOINT', new URL(set.S3_ENDPOINT), set.S3_ALLOW_HTTP === 'true', 'S3_ALLOW_HTTP');
  return set.S3_ENDPOINT;
}

const quotaSettings = (set: v.InferOutput<typeof QuotaEnvironment>): QuotaSettings => ({
  api: set.VOD_API,
  table: set.QUOTA_TABLE,
  region: set.AWS_REGION,
  endpoint: set.AWS_ENDPOINT_URL_DYNAMODB,
  callsPerMinute: set.QUOTA_CALLS_PER_MINUTE,
  partsPerMinute: set.QUOTA_PARTS_PER_MINUTE,
  minuteMs: set.QUOTA_MINUTE_MS,
  maxFunctions: set.MAX_FUNCTIONS,
});

/** `localhost` is the only name: DNS can resolve any other one elsewhere. A parsed URL has one spelling per address. */
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

const isPrivate = (address: URL | null): boolean =>
  address?.protocol === 'https:' || LOOPBACK.test(address?.hostname ?? '');

/**
 * Without TLS, others can read and change the video, the session token, and the `fileId` on the network. The secret keys
 * are never part of a request.
 */
function requireHttps(name: string, address: URL, isHttpAllowed: boolean, switchName: string): void {
  const setting = `setting ${name}`;
  if (address.username || address.password)
    throw new InvalidSetting(`${setting}: expected an address without a user name and a password.`);
  if (isHttpAllowed || isPrivate(address)) return;
  throw new InvalidSetting(
    `${setting}: expected an https address, got http://${address.host}. ` +
      `If no one else can read that network, set ${switchName}=true.`,
  );
}

const SECRETS = ['VOD_SECRET_ID', 'VOD_SECRET_KEY', 'VOD_TOKEN'] as const;
type SecretName = (typeof SECRETS)[number];

/**
 * The secrets that sign VOD calls. `VOD_SECRET_ID_PARAMETER`, `VOD_SECRET_KEY_PARAMETER`, and `VOD_TOKEN_PARAMETER` name
 * SecureString parameters of Parameter Store. Outside AWS, the same variables without `_PARAMETER` hold the values.
 * @throws {InvalidSetting} {SettingUnavailable} with the name of the variable or the parameter, never its value
 */
export async function vodSecrets(env: Environment): Promise<VodSecrets> {
  const stored = await readStoredSecrets(env);
  const [secretId, secretKey, token] = SECRETS.map((name) => stored.get(name) ?? env[name]);
  if (!secretId) throw missingSecret('VOD_SECRET_ID');
  if (!secretKey) throw missingSecret('VOD_SECRET_KEY');
  return { secretId, secretKey, ...(token && { token }) };
}

const PrivateUrl = v.pipe(
  HttpUrl,
  v.check(
    (text) => isPrivate(URL.parse(text)),
    'Expected an https address, because the responses are secrets',
  ),
);
const StoreEnvironment = v.object({
  AWS_REGION: v.optional(v.string()),
  AWS_ENDPOINT_URL_SSM: v.optional(PrivateUrl),
});

/** The secrets whose parameter is set. */
async function readStoredSecrets(env: Environment): Promise<ReadonlyMap<SecretName, string>> {
  const stored = SECRETS.flatMap((name) => {
    const parameter = env[`${name}_PARAMETER`];
    return parameter
      ? [{ name, parameter, target: `parameter ${parameter} (setting ${name}_PARAMETER)` }]
      : [];
  });
  const [first] = stored;
  if (!first) return new Map();
  const { AWS_REGION: region, AWS_ENDPOINT_URL_SSM: endpoint } = parseEnv(StoreEnvironment, env);
  if (!region)
    throw new InvalidSetting(
      `setting AWS_REGION: expected the region of parameter ${first.parameter}, got nothing. Set it.`,
    );
  const names = stored.map(({ parameter }) => parameter);
  const parameters = await readParameters(names, { region, endpoint }).catch((cause: unknown) => {
    const message = `${stored.map(({ target }) => target).join(', ')}: the read failed: ${errorMessage(cause)}.`;
    if (!isPermanent(cause)) throw new SettingUnavailable(message, { cause });
    // A changed policy takes effect late, and a deployment changes the roles before the functions.
    if (cause.name === 'AccessDeniedException')
      throw new SettingUnavailable(`${message} If this persists, check the function's policy.`, { cause });
    throw new InvalidSetting(`${message} Check the names and the key that encrypts them.`, { cause });
  });
  return new Map(
    stored.map(({ name, parameter, target }) => {
      const value = parameters.get(parameter);
      if (value !== undefined) return [name, value];
      throw new InvalidSetting(`${target}: expected a parameter in ${region}, got none. Create it.`);
    }),
  );
}

const missingSecret = (name: string): InvalidSetting =>
  new InvalidSetting(
    `setting ${name}: expected a value, got nothing. Set it, or set ${name}_PARAMETER to the name of a parameter that holds it.`,
  );

/** The stage of the deployment: a dimension of every metric. */
export const stageOf = (env: Environment): string => env.STAGE || 'dev';

const TriggerEnvironment = v.object({
  ...StorageEnvironment.entries,
  ...v.omit(QuotaEnvironment, ['AWS_REGION']).entries,
  STATE_MACHINE_ARN: v.pipe(v.string(), v.startsWith('arn:')),
  QUEUE_URL: HttpUrl,
  DEAD_LETTER_QUEUE_URL: HttpUrl,
  AWS_REGION: v.string(),
});

/** @throws {InvalidSetting} with the name of the variable */
export function triggerSettings(env: Environment) {
  const set = parseEnv(TriggerEnvironment, env);
  return {
    s3Endpoint: storageEndpoint(set),
    stateMachineArn: set.STATE_MACHINE_ARN,
    queue: { url: set.QUEUE_URL, deadLetterUrl: set.DEAD_LETTER_QUEUE_URL, region: set.AWS_REGION },
    quota: quotaSettings(set),
  };
}

/** An empty variable counts as not set. */
function parseEnv<const S extends v.GenericSchema>(schema: S, env: Environment): v.InferOutput<S> {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value));
  const result = v.safeParse(schema, set);
  if (result.success) return result.output;
  throw new InvalidSetting(`setting ${formatIssues(result.issues)}`);
}
