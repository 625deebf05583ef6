import * as v from 'valibot';
import { serverlessYml } from './params.ts';

const ServerlessYml = v.object({
  params: v.object({
    default: v.object({
      memory: v.number(),
      timeout: v.number(),
      maxReceives: v.number(),
      nodeOptions: v.string(),
    }),
  }),
  functions: v.object({
    trigger: v.object({
      events: v.tuple([v.object({ sqs: v.object({ batchSize: v.number() }) })]),
    }),
  }),
});

const { params, functions } = v.parse(ServerlessYml, serverlessYml());

/** The values that serverless.yml deploys by default. The local engine and the bench use them too. */
export const DEPLOYMENT_DEFAULTS = {
  /** Memory of the functions that read and send the bytes. */
  memoryMib: params.default.memory,
  /** Time limit of one invocation, except the trigger's. */
  timeoutMs: 1000 * params.default.timeout,
  /** Deliveries of one queue message before it becomes a dead letter. */
  maxReceives: params.default.maxReceives,
  /** Messages in one event of the trigger. */
  batchSize: functions.trigger.events[0].sqs.batchSize,
  /** Flags of Node. */
  nodeOptions: params.default.nodeOptions.split(' '),
} as const;
