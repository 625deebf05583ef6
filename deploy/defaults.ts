import * as v from 'valibot';
import { serverlessYml } from './params.ts';

const Parameters = v.object({
  memory: v.number(),
  timeout: v.number(),
  visibilityTimeout: v.number(),
  maxReceives: v.number(),
  nodeOptions: v.string(),
});
const Trigger = v.object({ events: v.tuple([v.object({ sqs: v.object({ batchSize: v.number() }) })]) });
const Serverless = v.object({
  params: v.object({ default: Parameters }),
  functions: v.object({ trigger: Trigger }),
});

const { params, functions } = v.parse(Serverless, serverlessYml());
const parameters = params.default;
const [{ sqs }] = functions.trigger.events;

/** The values that serverless.yml deploys by default. The local engine and the bench use them too. */
export const DEPLOYMENT_DEFAULTS = {
  /** Memory of the functions that read and send the bytes. */
  memoryMib: parameters.memory,
  /** Time limit of one invocation, except the trigger's. */
  timeoutMs: 1000 * parameters.timeout,
  /** How long a message that the trigger received stays hidden from other receivers. */
  visibilityTimeoutMs: 1000 * parameters.visibilityTimeout,
  /** Deliveries of one queue message before it becomes a dead letter. */
  maxReceives: parameters.maxReceives,
  /** Messages in one event of the trigger. */
  batchSize: sqs.batchSize,
  /** Flags of Node. */
  nodeOptions: parameters.nodeOptions.split(' '),
} as const;
