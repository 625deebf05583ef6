import { join } from 'node:path';
import type { S3Client } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { lock } from '../cli/data-lock.ts';
import { LOCAL_STACK, writeRunningFile } from '../cli/running-file.ts';
import { DEPLOYMENT_DEFAULTS } from '../deploy/defaults.ts';
import { type Environment, uploadSettings, type VodApiVersion } from '../lib/config.ts';
import { createS3Client } from '../lib/s3/client.ts';
import { releaseServices } from '../lib/steps/services.ts';
import { releaseTriggerServices } from '../lib/trigger/services.ts';
import { ApiError } from './aws/api-error.ts';
import { EventArchive } from './aws/event-archive.ts';
import { ARCHIVE_ARN, EVENT_BUS_ARN, eventBridgeOperations, RULE_ARN } from './aws/eventbridge.ts';
import { ExecutionStore } from './aws/execution-store.ts';
import { createLambda, type Lambda } from './aws/lambda.ts';
import { lambdaResources } from './aws/lambda-api.ts';
import { Queue } from './aws/queue.ts';
import { startAwsServer } from './aws/server.ts';
import { DEAD_LETTER_QUEUE_ARN, QUEUE_ARN, queueUrl, sqsOperations } from './aws/sqs.ts';
import { createStateMachineRunner } from './aws/state-machine.ts';
import { stepFunctionsOperations } from './aws/step-functions.ts';
import { bypassFaults } from './fault-injection.ts';
import { loadHandlers } from './load-handlers.ts';
import { type ServicesOptions, startServices } from './services.ts';

export type StackOptions = ServicesOptions &
  Readonly<{
    /** The bucket that the stack's outputs name. The stack processes events of any bucket. Default: `videos`. */
    bucket?: string;
    /** The time limit of one invocation. Default: the deployed one. */
    timeLimitMs?: number;
    /** Folder of the deployed bundles, which then run instead of the sources. */
    bundleDir?: string | undefined;
  }>;

export type Stack = Readonly<{
  s3: S3Client;
  s3Endpoint: string;
  vodEndpoint: string;
  vodApi: VodApiVersion;
  /** The folder in which the local VOD stores its files. */
  vodFilesDir: string | undefined;
  lambda: Lambda;
  /** Whether a created object starts its execution: only the local S3 sends events. */
  emitsEvents: boolean;
  executions: ExecutionStore;
  queue: Queue;
  invokeTrigger(event: unknown): Promise<unknown>;
  /** Resumes unfinished executions, and delivers messages from now on. */
  start(): void;
  /** Resolves when no message and no execution is left. */
  idle(): Promise<void>;
  close(): Promise<void>;
}>;

/** Starts the pipeline on this machine: S3, queue, trigger, state machine, handlers, and VOD. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { data, bucket = 'videos', timeLimitMs = DEPLOYMENT_DEFAULTS.timeoutMs } = options;
  // Before `setEnvironment`, because `env` can be `process.env`.
  const isLocal = { s3: !options.env.S3_ENDPOINT, vod: !options.env.VOD_ENDPOINT };
  await using startup = new AsyncDisposableStack();
  startup.defer(await lock(data));
  const lambda = createLambda(timeLimitMs);
  const archive = new EventArchive(join(data, 'archive'));
  const env = await startServices(options, startup, (event) => {
    archive.append(event);
    queue.send(event);
  });
  startup.defer(setEnvironment(env));
  const { trigger, ...steps } = await loadHandlers(options.bundleDir);
  const executions = new ExecutionStore(join(data, 'executions'), createStateMachineRunner(lambda, steps));
  const invokeTrigger = (event: unknown) => lambda.invoke('trigger', trigger, event);
  const queue = new Queue(data, async (batch) => failedIds(await invokeTrigger(batch)));
  const aws = await startAwsServer({
    targets: {
      AWSStepFunctions: stepFunctionsOperations(executions),
      AmazonSQS: sqsOperations(queue),
      AWSEvents: eventBridgeOperations(data, archive, queue),
    },
    lambda: lambdaResources(env),
    invoke: async (name, event) => {
      if (name === 'trigger') return invokeTrigger(event);
      if (name === 'init') return lambda.invoke(name, steps.init, event);
      throw new ApiError('ResourceNotFoundException', `Function not found: ${name}`);
    },
    stack: {
      name: LOCAL_STACK,
      outputs: (endpoint) => ({
        BucketName: bucket,
        TriggerFunctionName: 'trigger',
        InitFunctionName: 'init',
        StateMachineArn: ExecutionStore.stateMachineArn,
        QueueUrl: queueUrl(endpoint, QUEUE_ARN),
        QueueArn: QUEUE_ARN,
        DeadLetterQueueUrl: queueUrl(endpoint, DEAD_LETTER_QUEUE_ARN),
        DeadLetterQueueArn: DEAD_LETTER_QUEUE_ARN,
        ArchiveArn: ARCHIVE_ARN,
        EventBusArn: EVENT_BUS_ARN,
        RuleArn: RULE_ARN,
      }),
    },
  });
  startup.defer(aws.close);
  const { stateMachineArn: STATE_MACHINE_ARN } = ExecutionStore;
  startup.defer(
    setEnvironment({
      AWS_ENDPOINT_URL_SFN: aws.endpoint,
      STATE_MACHINE_ARN,
      QUEUE_URL: queueUrl(aws.endpoint, QUEUE_ARN),
      DEAD_LETTER_QUEUE_URL: queueUrl(aws.endpoint, DEAD_LETTER_QUEUE_ARN),
    }),
  );
  const s3 = bypassFaults(createS3Client({ endpoint: env.S3_ENDPOINT }));
  startup.defer(() => s3.destroy());
  startup.defer(releaseServices);
  startup.defer(releaseTriggerServices);
  startup.defer(async () => {
    await Promise.all([queue.close(), executions.close(), lambda.close()]);
  });
  const s3Location = { endpoint: env.S3_ENDPOINT, isLocal: isLocal.s3 };
  startup.defer(writeRunningFile(data, { engine: aws.endpoint, region: env.AWS_REGION, s3: s3Location }));
  const resources = startup.move();
  return {
    s3,
    lambda,
    s3Endpoint: env.S3_ENDPOINT,
    vodEndpoint: env.VOD_ENDPOINT,
    vodApi: uploadSettings(env).vod.api,
    vodFilesDir: isLocal.vod ? join(data, 'vod', 'files') : undefined,
    emitsEvents: isLocal.s3,
    executions,
    queue,
    invokeTrigger,
    start: () => {
      executions.resume();
      queue.start();
    },
    idle: async () => {
      // The write-back of an execution is another event.
      do {
        await queue.idle();
        await executions.idle();
      } while (queue.isBusy || executions.isBusy);
    },
    close: () => resources.disposeAsync(),
  };
}

/** Sets variables of `process.env`. @returns a function that restores them */
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

const BatchResponse = v.object({ batchItemFailures: v.array(v.object({ itemIdentifier: v.string() })) });

const failedIds = (response: unknown): string[] =>
  v.parse(BatchResponse, response).batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
