import { once } from 'node:events';
import { connect } from 'node:net';
import { EventBridge } from '@aws-sdk/client-eventbridge';
import { Lambda } from '@aws-sdk/client-lambda';
import { type _Object, S3 } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { LOCAL_VOD_SECRETS } from '../../cli/running-file.ts';
import { type Environment, uploadSettings, vodSecrets } from '../../lib/config.ts';
import { errorMessage } from '../../lib/errors.ts';
import { type BucketFacts, type Fact, readBucketFacts, readFact } from '../../lib/s3/bucket-facts.ts';
import { whyKeysAreRejected } from '../../lib/vod/v2/check-keys.ts';
import type { Stack } from '../stack.ts';

/** Reads the facts that `findings.ts` judges. No call changes anything. */

export type Settings = ReturnType<typeof uploadSettings>;

export type Facts = BucketFacts &
  Readonly<{
    stack: string;
    region: string;
    settings: Fact<Settings>;
    /** Why VOD rejects the keys in the parameter store; undefined if it accepts them. */
    keys: Fact<string | undefined>;
    /** The error of the function Init, which reads the settings, the keys, and the object with its own role. */
    init: Fact<string | undefined>;
    /** The key of the object that Init reads; undefined in an empty bucket. */
    sample: string | undefined;
    encryption: Fact<Readonly<{ algorithm: string; keyId: string | undefined }>>;
    rule: Fact<Readonly<{ name: string; state: string | undefined }>>;
    /** Undefined if the trigger has no event source mapping. */
    mapping: Fact<Readonly<{ id: string | undefined; state: string | undefined }> | undefined>;
    /** Concurrent executions that the account has left for functions without a reservation. */
    concurrency: Fact<number>;
    /** Milliseconds that the clock of this machine is ahead of the clock of S3. */
    clockOffsetMs: Fact<number>;
    /** Milliseconds to connect to VOD. */
    connectMs: Fact<number>;
    /** Objects by storage class among the first thousand. */
    storageClasses: Fact<Readonly<Record<string, number>>>;
  }>;

/** @returns the facts; those that a call could not read are unknown @throws {Error} if the stack lacks an output */
export async function gatherFacts(stack: Stack, isLocal: boolean, signal: AbortSignal): Promise<Facts> {
  const bucket = stack.output('BucketName');
  const init = stack.output('InitFunctionName');
  const rule = stack.output('RuleArn').replace(/^.*\//, '');
  const trigger = stack.output('TriggerFunctionName');
  const queue = stack.output('QueueArn');
  const lambda = new Lambda();
  const events = new EventBridge();
  const { s3, clockOffsetMs } = createClockedS3(stack.s3Endpoint);
  const region = await s3.config.region();
  const read = <T>(permission: string, call: () => Promise<T>): Promise<Fact<T>> =>
    readFact(permission, call, signal);
  try {
    const environment = await read('lambda:GetFunctionConfiguration', async (): Promise<Environment> => {
      const { Environment } = await lambda.getFunctionConfiguration({ FunctionName: init });
      return { AWS_REGION: region, ...Environment?.Variables };
    });
    const settings = await derive(environment, uploadSettings);
    const listing = await read('s3:ListBucket', () => s3.listObjectsV2({ Bucket: bucket }));
    const sample = 'value' in listing ? listing.value.Contents?.find(isReadable)?.Key : undefined;
    const Bucket = bucket;
    return {
      ...(await readBucketFacts(s3, bucket, signal)),
      stack: stack.name,
      region,
      settings,
      keys:
        'unknown' in settings
          ? settings
          : await read('ssm:GetParameters and kms:Decrypt', async () => {
              const env = 'value' in environment ? environment.value : {};
              const local = isLocal ? { ...LOCAL_VOD_SECRETS, ...ownSecrets() } : {};
              const secrets = await vodSecrets({ ...local, ...env });
              return whyKeysAreRejected({ ...settings.value.vod, secrets }, signal);
            }),
      init: await read('lambda:InvokeFunction', () => runInit(lambda, init, bucket, sample)),
      sample,
      encryption: await read('s3:GetEncryptionConfiguration', async () => {
        const { ServerSideEncryptionConfiguration: configuration } = await s3.getBucketEncryption({ Bucket });
        const { SSEAlgorithm: algorithm = 'AES256', KMSMasterKeyID: keyId } =
          configuration?.Rules?.[0]?.ApplyServerSideEncryptionByDefault ?? {};
        return { algorithm, keyId };
      }),
      rule: await read('events:DescribeRule', async () => {
        const { State: state } = await events.describeRule({ Name: rule });
        return { name: rule, state };
      }),
      mapping: await read('lambda:ListEventSourceMappings', async () => {
        const input = { FunctionName: trigger, EventSourceArn: queue };
        const { EventSourceMappings: [mapping] = [] } = await lambda.listEventSourceMappings(input);
        return mapping && { id: mapping.UUID, state: mapping.State };
      }),
      concurrency: await read('lambda:GetAccountSettings', async () => {
        const { AccountLimit } = await lambda.getAccountSettings({});
        return AccountLimit?.UnreservedConcurrentExecutions ?? 0;
      }),
      clockOffsetMs: clockOffsetMs(),
      connectMs: await derive(settings, ({ vod }) => measureConnectMs(vod.endpoint, signal)),
      storageClasses: await derive(listing, async ({ Contents = [] }) =>
        Contents.reduce<Record<string, number>>((counts, { StorageClass = 'STANDARD' }) => {
          counts[StorageClass] = (counts[StorageClass] ?? 0) + 1;
          return counts;
        }, {}),
      ),
    };
  } finally {
    lambda.destroy();
    events.destroy();
    s3.destroy();
  }
}

/** A fact that follows from another one. */
async function derive<A, T>(fact: Fact<A>, convert: (value: A) => T | Promise<T>): Promise<Fact<T>> {
  if ('unknown' in fact) return fact;
  try {
    return { value: await convert(fact.value) };
  } catch (error) {
    return { unknown: errorMessage(error) };
  }
}

/** The keys of the process, which `npm start` reads too. The local engine returns none. */
const ownSecrets = (): Environment =>
  Object.fromEntries(
    Object.keys(LOCAL_VOD_SECRETS).flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
  );

const isReadable = ({ StorageClass = 'STANDARD' }: _Object): boolean =>
  !['GLACIER', 'DEEP_ARCHIVE'].includes(StorageClass);

const Failure = v.object({ errorType: v.optional(v.string(), ''), errorMessage: v.optional(v.string(), '') });

/**
 * Runs Init for a version that does not exist, so that it ends after its HEAD request. With `ChecksumMode`, that request
 * needs the KMS key of the object.
 */
async function runInit(
  lambda: Lambda,
  name: string,
  bucket: string,
  sample = 's3-vod-doctor',
): Promise<string | undefined> {
  const request = { bucket, key: sample, etag: 's3-vod-doctor' };
  const input = { request, round: 0, sent: { parts: 0, bytes: 0 } };
  const { FunctionError, Payload } = await lambda.invoke({
    FunctionName: name,
    Payload: JSON.stringify(input),
  });
  if (FunctionError === undefined) return undefined;
  const failure = v.safeParse(v.pipe(v.string(), v.parseJson(), Failure), Payload?.transformToString());
  if (!failure.success) return FunctionError;
  const { errorType, errorMessage: message } = failure.output;
  return [errorType, message].filter(Boolean).join(': ');
}

/** An S3 client that compares the clock of this machine with the time of each response. */
function createClockedS3(endpoint: string | undefined) {
  const s3 = new S3({ maxAttempts: 2, ...(endpoint !== undefined && { endpoint, forcePathStyle: true }) });
  let offset: Fact<number> = { unknown: 'expected a response of S3 with its time, got none' };
  const Response = v.object({ headers: v.object({ date: v.string() }) });
  s3.middlewareStack.add(
    (next) => async (args) => {
      const output = await next(args);
      const parsed = v.safeParse(Response, output.response);
      const time = parsed.success ? Date.parse(parsed.output.headers.date) : Number.NaN;
      if (!Number.isNaN(time)) offset = { value: Date.now() - time };
      return output;
    },
    { step: 'deserialize', priority: 'low', name: 'compareClocks' },
  );
  return { s3, clockOffsetMs: () => offset };
}

const CONNECTIONS = 3;
const CONNECT_TIMEOUT_MS = 5_000;

/** The shortest of some attempts, because the first one may include the name resolution. @throws {Error} */
async function measureConnectMs({ hostname, port, protocol }: URL, signal: AbortSignal): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < CONNECTIONS; n++) {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]);
    const startedAt = performance.now();
    const socket = connect(
      Number(port) || (protocol === 'https:' ? 443 : 80),
      hostname.replace(/^\[|\]$/g, ''),
    );
    try {
      await once(socket, 'connect', { signal: limit });
      times.push(performance.now() - startedAt);
    } finally {
      socket.destroy();
    }
  }
  return Math.min(...times);
}
