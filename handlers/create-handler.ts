import { Logger } from '@aws-lambda-powertools/logger';
import type { ConstructorOptions } from '@aws-lambda-powertools/logger/types';
import middy, { type MiddlewareObj } from '@middy/core';
import type { Context } from 'aws-lambda';
import type { GenericSchema, InferOutput } from 'valibot';
import { type Deadline, deadlineFrom } from '../lib/deadline.ts';
import { stripCanonicalRequest } from '../lib/errors.ts';
import { parse } from '../lib/schemas.ts';
import { withMetrics } from './metrics.ts';

/** The wrapping that every handler shares: its event parsed, its time a budget, its log lines and metrics tied to its invocation. */

/** Powertools asks each logger by itself whether the start was cold: a child made for one invocation would always say so. */
class StepLogger extends Logger {
  protected override createLogger(options?: ConstructorOptions): StepLogger {
    const child = new StepLogger(options);
    child.coldStart = this.getColdStart();
    return child;
  }
}

/**
 * Of an error what it says, and no more: those of S3 carry as fields what S3 told of the request, among it, when a session
 * token has expired, the token itself.
 */
function sanitizeError({ name, message, stack }: Error): Pick<Error, 'name' | 'message' | 'stack'> {
  const words = stripCanonicalRequest(message);
  return { name, message: words, ...(stack !== undefined && { stack: stack.replace(message, () => words) }) };
}

function errorReplacer(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const more = {
    ...('code' in value && { code: value.code }),
    ...('$metadata' in value && { $metadata: value.$metadata }), // AWS asks for the request's id when it shall help
  };
  return { ...sanitizeError(value), cause: value.cause, ...more };
}

/** Lambda logs an error's fields and tells the caller its message: of one of AWS's own both get the words alone. */
const redactAwsError = (error: Error): Error =>
  '$metadata' in error ? Object.assign(new Error(), sanitizeError(error)) : error;

const logger = new StepLogger({ serviceName: 's3-vod', jsonReplacerFn: errorReplacer });

/** Lambda's context. The local engine adds `signal`, which ends an invocation from outside. */
export type LambdaContext = Context & { signal?: AbortSignal };

/** What a handler finds in its context besides. */
export type StepContext = LambdaContext & { deadline: Deadline; log: Logger };

/**
 * A Lambda handler: `run` gets the event as `schema` reads it, and answers what the next state shall see.
 * `logged` names what of the event goes onto every log line.
 */
export function createHandler<const S extends GenericSchema, R>(
  name: string,
  schema: S,
  logKeys: (event: InferOutput<S>) => Record<string, unknown>,
  run: (event: InferOutput<S>, context: StepContext) => Promise<R>,
): (event: unknown, invocation: LambdaContext) => Promise<R> {
  // Early time-outs are the deadline's business: middy would end with an error what can end with a checkpoint.
  const handler = middy<unknown, R, Error, StepContext>({ timeoutEarlyInMillis: 0 })
    .use(releaseDeadline)
    .use(logOutcome(name))
    .handler(async (event, context) => {
      const parsed = parse(schema, event, `the input of ${name}`);
      context.log.appendKeys(logKeys(parsed));
      return run(parsed, context);
    });
  return (event, invocation) => {
    // A child of its own, since the local engine runs invocations side by side.
    const log = logger.createChild({ persistentKeys: { step: name } });
    log.addContext(invocation);
    const deadline = deadlineFrom(() => invocation.getRemainingTimeInMillis(), invocation.signal);
    return withMetrics({ step: name, id: invocation.awsRequestId, env: process.env }, () =>
      handler(event, Object.assign(invocation, { log, deadline })),
    );
  };
}

type StepMiddleware = MiddlewareObj<unknown, unknown, Error, StepContext>;

/** One line for how an invocation ended. */
const logOutcome = (name: string): StepMiddleware => ({
  after: ({ context, response }) => context.log.info(`${name} done`, { result: summary(response) }),
  onError: (failed) => {
    const { context, error } = failed;
    if (!error) return;
    context.log.error(`${name} failed`, error);
    failed.error = redactAwsError(error);
  },
});

/** Of what a step answers, the words: states may be long. */
function summary(response: unknown): Record<string, unknown> {
  if (typeof response !== 'object' || response === null) return {};
  return Object.fromEntries(
    Object.entries(response).filter(([, value]) => typeof value === 'string' || typeof value === 'number'),
  );
}

const release = ({ context }: { context: StepContext }): void => context.deadline.release();
const releaseDeadline: StepMiddleware = { after: release, onError: release };
