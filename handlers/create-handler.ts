import { Logger } from '@aws-lambda-powertools/logger';
import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import type { GenericSchema, InferOutput } from 'valibot';
import { stripCanonicalRequest } from '../lib/errors.ts';
import { type Deadline, deadlineFrom } from '../lib/invocation/deadline.ts';
import { parse } from '../lib/schemas.ts';
import { withMetrics } from './metrics.ts';

/** Lambda's context. The local engine adds `signal`, which ends an invocation from outside. */
export type LambdaContext = Context & { signal?: AbortSignal };

/** The context that `run` receives. */
export type HandlerContext = LambdaContext & { deadline: Deadline; log: Logger };

/** Log only name, message, and stack. S3 errors carry request details, including expired session tokens. */
function sanitizeError({ name, message, stack }: Error): Pick<Error, 'name' | 'message' | 'stack'> {
  const text = stripCanonicalRequest(message);
  return { name, message: text, ...(stack !== undefined && { stack: stack.replace(message, () => text) }) };
}

function errorReplacer(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return {
    ...sanitizeError(value),
    cause: value.cause,
    ...('code' in value && { code: value.code }),
    ...('$metadata' in value && { $metadata: value.$metadata }), // AWS Support asks for the request ID
  };
}

/** Lambda logs every field of an error and returns its message to the caller. */
const redactAwsError = (error: Error): Error =>
  '$metadata' in error ? Object.assign(new Error(), sanitizeError(error)) : error;

const logger = new Logger({ serviceName: 's3-vod', jsonReplacerFn: errorReplacer });

/** Powertools keeps this per logger, so each child would report a cold start. */
let isColdStart = process.env.AWS_LAMBDA_INITIALIZATION_TYPE === 'on-demand';

/**
 * Creates a Lambda handler that parses the event, measures the time left, and ties log lines and metrics to the invocation.
 * @param logKeys selects the fields of the event that every log line shows
 * @param run gets the parsed event and returns the output of the state
 */
export function createHandler<const S extends GenericSchema, R>(
  name: string,
  schema: S,
  logKeys: (event: InferOutput<S>) => Record<string, unknown>,
  run: (event: InferOutput<S>, context: HandlerContext) => Promise<R>,
): (event: unknown, invocation: LambdaContext) => Promise<R> {
  // No early timeout in middy: it would throw where `deadline` leads to a checkpoint.
  const handler = middy<unknown, R, Error, HandlerContext>({ timeoutEarlyInMillis: 0 })
    .after(({ context, response }) => context.log.info(`${name} done`, { result: scalarFields(response) }))
    .onError((request) => {
      if (!request.error) return;
      request.context.log.error(`${name} failed`, request.error);
      request.error = redactAwsError(request.error);
    })
    .handler(async (event, context) => {
      const parsed = parse(schema, event, `the input of ${name}`);
      context.log.appendKeys(logKeys(parsed));
      return run(parsed, context);
    });

  return async (event, invocation) => {
    // One logger per invocation: the local engine runs several concurrently.
    const log = logger.createChild({ persistentKeys: { step: name, cold_start: isColdStart } });
    isColdStart = false;
    log.addContext(invocation);
    const deadline = deadlineFrom(() => invocation.getRemainingTimeInMillis(), invocation.signal);
    try {
      return await withMetrics({ step: name, id: invocation.awsRequestId, env: process.env }, () =>
        handler(event, Object.assign(invocation, { log, deadline })),
      );
    } finally {
      deadline.release();
    }
  };
}

/** The strings and numbers of a response. The rest of a state can be long. */
function scalarFields(response: unknown): Record<string, unknown> {
  const isScalar = (value: unknown): boolean => typeof value === 'string' || typeof value === 'number';
  return Object.fromEntries(Object.entries(response ?? {}).filter(([, value]) => isScalar(value)));
}
