import { join } from 'node:path';
import type { S3Client } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { lock } from '../cli/data-lock.ts';
import { LOCAL_S3_CREDENTIALS, LOCAL_STACK, writeRunningFile } from '../cli/running-file.ts';
import { type Environment, uploadSettings, vodSecrets } from '../lib/config.ts';
import { createS3Client } from '../lib/s3/client.ts';
import { releaseServices } from '../lib/steps/services.ts';
import { releaseStepFunctionsClient } from '../lib/trigger/executions.ts';
import { ApiError } from './aws/api-error.ts';
import { EventArchive } from './aws/event-archive.ts';
import { ARCHIVE_ARN, EVENT_BUS_ARN, eventBridgeOperations, RULE_ARN } from './aws/eventbridge.ts';
import { ExecutionStore } from './aws/execution-store.ts';
import { createLambda, type Lambda } from './aws/lambda.ts';
import { Queue } from './aws/queue.ts';
import { type AwsServices as EngineServices, startAwsServer } from './aws/server.ts';
import { DEAD_LETTER_QUEUE_ARN, QUEUE_ARN, queueUrl, sqsOperations } from './aws/sqs.ts';
import { createStateMachineRunner } from './aws/state-machine.ts';
import { stepFunctionsOperations } from './aws/step-functions.ts';
import { bypassFaults, type FaultSelector } from './fault-injection.ts';
import { loadBundle } from './load-bundle.ts';
import { startS3 } from './s3/server.ts';
import { startVod } from './vod/server.ts';

/** The whole chain on one machine: S3, queue, trigger, state machine, handlers, VOD. What `env` names is real instead. */

export type StackOptions = Readonly<{
  data: string;
  env: Environment;
  /** The bucket that it is said to serve; it takes what arrives in any. */
  bucket?: string;
  s3Port?: number;
  vodPort?: number;
  /** Of each handler's invocation; Lambda's own limit is 900,000. */
  timeLimitMs?: number;
  /** Folder of the functions' code as it is deployed, which then runs in place of the sources. */
  bundleDir?: string | undefined;
  /** A VOD minute made shorter, or no quota at all, for tests. */
  quota?: Readonly<{ minuteMs: number }> | false;
  /** What goes wrong in the local S3 and VOD. */
  faults?: FaultSelector | undefined;
  /** The clock of the local S3 and VOD, where it is not this machine's. */
  now?: () => number;
}>;

export type Stack = Readonly<{
  s3: S3Client;
  s3Endpoint: string;
  vodEndpoint: string;
  /** Where the local VOD service keeps what it has accepted. */
  vodFilesDir: string | undefined;
  lambda: Lambda;
  /** Whether objects announce themselves: the local S3 does, another store is not set up to. */
  emitsEvents: boolean;
  executions: ExecutionStore;
  queue: Queue;
  /** Invokes the trigger, as a console would. */
  invokeTrigger(event: unknown): Promise<unknown>;
  /** Goes on with what was not finished, and begins to take what arrives. */
  start(): void;
  /** Settles when nothing is left to do. */
  idle(): Promise<void>;
  close(): Promise<void>;
}>;

const LOCAL_VOD = { VOD_SECRET_ID: 'local-id', VOD_SECRET_KEY: 'local-key' } as const;

export async function startStack(options: StackOptions): Promise<Stack> {
  const { data, timeLimitMs = 900_000 } = options;
  // Asked now: `env` may be this process's own environment, which is about to name all.
  const isLocal = { s3: !options.env.S3_ENDPOINT, vod: !options.env.VOD_ENDPOINT };
  const closers: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const step of closers.splice(0).reverse()) await step();
  };
  try {
    closers.push(await lock(data));
    const lambda = createLambda(timeLimitMs);
    const archive = new EventArchive(join(data, 'archive'));
    const env = await startServices(options, closers, (event) => {
      archive.append(event);
      queue.send(event);
    });
    // What the functions find in their environment, as the deployment would set it.
    closers.push(setEnvironment(env));
    const { trigger, ...steps } = await loadHandlers(options.bundleDir);
    const executions = new ExecutionStore(join(data, 'executions'), createStateMachineRunner(lambda, steps));
    const invokeTrigger = (event: unknown) => lambda.invoke('trigger', trigger, event);
    const queue = new Queue(data, async (batch) => failuresOf(await invokeTrigger(batch)));
    const targets = {
      AWSStepFunctions: stepFunctionsOperations(executions),
      AmazonSQS: sqsOperations(queue),
      AWSEvents: eventBridgeOperations(data, archive, queue),
    };
    const engine = await startAwsServer({
      targets,
      invoke: async (name, event) => {
        if (name === 'trigger') return invokeTrigger(event);
        throw new ApiError('ResourceNotFoundException', `Function not found: ${name}`);
      },
      stack: described(options.bucket),
    });
    closers.push(() => engine.close());
    const { stateMachineArn: STATE_MACHINE_ARN } = ExecutionStore;
    closers.push(setEnvironment({ AWS_ENDPOINT_URL_SFN: engine.endpoint, STATE_MACHINE_ARN }));
    const s3 = bypassFaults(createS3Client({ endpoint: env.S3_ENDPOINT }));
    closers.push(
      () => s3.destroy(),
      releaseServices,
      releaseStepFunctionsClient,
      stopWork(lambda, executions, queue),
    );
    const at = { endpoint: env.S3_ENDPOINT, isLocal: isLocal.s3 };
    closers.push(writeRunningFile(data, { engine: engine.endpoint, region: env.AWS_REGION, s3: at }));
    return {
      s3,
      lambda,
      s3Endpoint: env.S3_ENDPOINT,
      vodEndpoint: env.VOD_ENDPOINT,
      vodFilesDir: isLocal.vod ? join(data, 'vod', 'files') : undefined,
      emitsEvents: isLocal.s3,
      executions,
      queue,
      invokeTrigger: invokeTrigger,
      start: () => {
        executions.resume();
        queue.start();
      },
      idle: async () => {
        // An execution's write-back is an event of its own.
        do {
          await queue.idle();
          await executions.idle();
        } while (queue.isBusy || executions.isBusy);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** As the deployment's template has it. */
const described = (bucket = 'videos'): EngineServices['stack'] => ({
  name: LOCAL_STACK,
  outputs: (endpoint) => ({
    BucketName: bucket,
    TriggerFunctionName: 'trigger',
    StateMachineArn: ExecutionStore.stateMachineArn,
    QueueUrl: queueUrl(endpoint, QUEUE_ARN),
    QueueArn: QUEUE_ARN,
    DeadLetterQueueUrl: queueUrl(endpoint, DEAD_LETTER_QUEUE_ARN),
    DeadLetterQueueArn: DEAD_LETTER_QUEUE_ARN,
    ArchiveArn: ARCHIVE_ARN,
    EventBusArn: EVENT_BUS_ARN,
    RuleArn: RULE_ARN,
  }),
});

type ServiceEnvironment = Environment &
  Readonly<{ AWS_REGION: string; S3_ENDPOINT: string; VOD_ENDPOINT: string }>;

/** Starts what the environment does not name, and answers the environment that names all. @throws {InvalidSetting} */
async function startServices(
  { data, env, s3Port = 0, vodPort = 0, quota, faults, now }: StackOptions,
  closers: (() => Promise<void> | void)[],
  onEvent: (event: unknown) => void,
): Promise<ServiceEnvironment> {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value));
  const secrets = given.VOD_ENDPOINT ? given : { ...LOCAL_VOD, ...given };
  const { vod } = uploadSettings(given); // before anything is started: a wrong setting ends here
  const { secretId, secretKey } = await vodSecrets(secrets);

  let s3Environment: Record<string, string> = {};
  if (!given.S3_ENDPOINT) {
    const s3 = await startS3({
      dir: join(data, 's3'),
      port: s3Port,
      credentials: LOCAL_S3_CREDENTIALS,
      onObjectCreated: async (event) => onEvent(event),
      faults,
      ...(now && { now: () => new Date(now()) }),
    });
    closers.push(() => s3.close());
    s3Environment = {
      S3_ENDPOINT: s3.endpoint,
      AWS_ACCESS_KEY_ID: LOCAL_S3_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: LOCAL_S3_CREDENTIALS.secretAccessKey,
      AWS_SESSION_TOKEN: '',
    };
  }
  let vodEndpoint = given.VOD_ENDPOINT;
  if (!vodEndpoint) {
    const service = await startVod({
      dir: join(data, 'vod'),
      port: vodPort,
      secrets: { secretId, secretKey },
      signedHost: vod.host,
      ...(quota !== undefined && { quota }),
      faults,
      ...(now && { now }),
    });
    closers.push(() => service.close());
    vodEndpoint = `${service.endpoint}/v2/index.php`;
  }
  const local = {
    ...s3Environment,
    VOD_ENDPOINT: vodEndpoint,
    VOD_SECRET_ID: secretId,
    VOD_SECRET_KEY: secretKey,
    ...(quota && { QUOTA_MINUTE_MS: String(quota.minuteMs) }),
  };
  return { AWS_REGION: 'us-east-1', S3_ENDPOINT: '', ...given, ...local };
}

/** @returns what sets it back */
function setEnvironment(env: Environment): () => void {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, env);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
}

/** Not before the environment is set: the logger reads its level when it is loaded. */
async function loadHandlers(bundles: string | undefined) {
  if (bundles !== undefined) {
    const load = (name: string) => loadBundle(bundles, name);
    return {
      trigger: load('trigger'),
      init: load('init'),
      part: load('part'),
      finish: load('finish'),
      cover: load('cover'),
    };
  }
  const [trigger, init, part, finish, cover] = await Promise.all([
    import('../handlers/trigger.ts'),
    import('../handlers/init.ts'),
    import('../handlers/part.ts'),
    import('../handlers/finish.ts'),
    import('../handlers/cover.ts'),
  ]);
  return {
    trigger: trigger.handler,
    init: init.handler,
    part: part.handler,
    finish: finish.handler,
    cover: cover.handler,
  };
}

const stopWork = (lambda: Lambda, executions: ExecutionStore, queue: Queue) => async (): Promise<void> => {
  await Promise.all([queue.close(), executions.close(), lambda.close()]);
};

const BatchResponse = v.object({ batchItemFailures: v.array(v.object({ itemIdentifier: v.string() })) });

const failuresOf = (response: unknown): string[] =>
  v.parse(BatchResponse, response).batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
