import { randomUUID } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import type { Context } from 'aws-lambda';
import pLimit, { type LimitFunction } from 'p-limit';
import { DEPLOYMENT_DEFAULTS } from '../../deploy/defaults.ts';

export type Handler = (event: unknown, context: Context & { signal: AbortSignal }) => Promise<unknown>;

/**
 * Concurrent invocations of one function. All invocations share one process and its memory. The clock of a waiting
 * invocation does not run.
 */
const MAX_CONCURRENCY = 8;

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html: input or result of a task. */
const MAX_PAYLOAD_BYTES = 256 * 1024;

/** Publishes `{ name, ms, limitMs }` when an invocation ends: how long it took, and its time limit. */
const invocations = channel('s3-vod.invocation');

export type Lambda = Readonly<{
  /**
   * Passes the event and the result as JSON.
   * @throws what the handler throws; {Sandbox.Timedout} at the time limit; {States.DataLimitExceeded}; {Lambda.Unknown}
   */
  invoke(name: string, handler: Handler, event: unknown): Promise<unknown>;
  /** Ends all running invocations with `Lambda.Unknown`, as if their process had died. Their results are discarded. */
  kill(): void;
  /** Aborts all running invocations. Resolves when all have ended. */
  close(): Promise<void>;
}> & {
  /** Applies to invocations that start from now on. */
  timeLimitMs: number;
};

/** Invokes handlers as Lambda does: JSON input and output, a context with a clock, and a time limit. */
export function createLambda(initialLimitMs: number): Lambda {
  const stop = new AbortController();
  const limiters = new Map<string, LimitFunction>();
  /** The handlers that have not settled, and what ends their invocation. */
  const running = new Map<Promise<unknown>, (error: Error) => void>();

  async function run(name: string, handler: Handler, event: unknown): Promise<unknown> {
    stop.signal.throwIfAborted();
    const input = toPayload(name, event);
    const { timeLimitMs } = lambda;
    const began = performance.now();
    const ended = new AbortController();
    const context = {
      callbackWaitsForEmptyEventLoop: false,
      functionName: name,
      functionVersion: '$LATEST',
      invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${name}`,
      memoryLimitInMB: String(DEPLOYMENT_DEFAULTS.memoryMib),
      awsRequestId: randomUUID(),
      logGroupName: `/aws/lambda/${name}`,
      logStreamName: 'local',
      getRemainingTimeInMillis: () => Math.max(0, began + timeLimitMs - performance.now()),
      done: () => {},
      fail: () => {},
      succeed: () => {},
      signal: AbortSignal.any([stop.signal, ended.signal]),
    };
    const { promise: failure, reject } = Promise.withResolvers<never>();
    const end = (error: Error): void => {
      ended.abort(error);
      reject(error);
    };
    const result = handler(input, context);
    running.set(result, end);
    const remove = () => running.delete(result);
    result.then(remove, remove);
    const timer = setTimeout(
      () =>
        end(namedError('Sandbox.Timedout', `${name}: task timed out after ${timeLimitMs / 1000} seconds`)),
      timeLimitMs,
    );
    try {
      return toPayload(name, await Promise.race([result, failure]));
    } finally {
      clearTimeout(timer);
      invocations.publish({ name, ms: performance.now() - began, limitMs: timeLimitMs });
    }
  }

  const lambda: Lambda = {
    timeLimitMs: initialLimitMs,
    invoke: (name, handler, event) => {
      const limiter = limiters.get(name) ?? pLimit(MAX_CONCURRENCY);
      limiters.set(name, limiter);
      return limiter(() => run(name, handler, event));
    },
    kill: () => {
      for (const end of running.values())
        end(namedError('Lambda.Unknown', 'the process exited before it completed the request'));
    },
    close: async () => {
      stop.abort(new Error('the local engine stops'));
      await Promise.allSettled(running.keys());
    },
  };
  return lambda;
}

function toPayload(name: string, value: unknown): unknown {
  const text = JSON.stringify(value) ?? 'null';
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_PAYLOAD_BYTES) {
    throw namedError(
      'States.DataLimitExceeded',
      `${name}: expected a payload of at most ${MAX_PAYLOAD_BYTES} bytes, got ${bytes}`,
    );
  }
  return JSON.parse(text);
}

/** Step Functions reports the name of an error as its code. */
const namedError = (name: string, message: string): Error => Object.assign(new Error(message), { name });
