import { randomUUID } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import type { Context } from 'aws-lambda';
import pLimit, { type LimitFunction } from 'p-limit';

/** Invokes handlers as Lambda would: JSON in, JSON out, a context with a clock, and an end when the time is up. */

export type Handler = (event: unknown, context: Context & { signal: AbortSignal }) => Promise<unknown>;

/** Invocations of one function at once: one process does the work of all, in its own memory. Others wait, their clock not running. */
const CONCURRENCY = 8;

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html: input or result of a task. */
const MAX_PAYLOAD_BYTES = 256 * 1024;

/** Hears of each invocation that has ended: `{name, ms}`. */
const invocations = channel('s3-vod.invocation');

export type Lambda = Readonly<{
  /** @throws what the handler throws; {Sandbox.Timedout} when its time is up; {States.DataLimitExceeded} */
  invoke(name: string, handler: Handler, event: unknown): Promise<unknown>;
  /** What is running ends at once, as if its process were gone: nobody hears what comes of it. */
  kill(): void;
  /** Ends what is running, and settles when all of it has come to an end. */
  close(): Promise<void>;
}> & {
  /** Of the invocations that begin from now on, milliseconds. */
  timeLimitMs: number;
};

export function createLambda(initialLimitMs: number): Lambda {
  const stop = new AbortController();
  const slots = new Map<string, LimitFunction>();
  const slotsOf = (name: string): LimitFunction => {
    const known = slots.get(name) ?? pLimit(CONCURRENCY);
    slots.set(name, known);
    return known;
  };
  const running = new Set<Promise<unknown>>();
  const ends = new Set<(error: Error) => void>();

  const invoke: Lambda['invoke'] = (name, handler, event) => slotsOf(name)(() => run(name, handler, event));

  async function run(name: string, handler: Handler, event: unknown): Promise<unknown> {
    stop.signal.throwIfAborted();
    const input = payload(name, event);
    const { timeLimitMs: limitMs } = lambda;
    const began = performance.now();
    const ended = new AbortController();
    const context = {
      callbackWaitsForEmptyEventLoop: false,
      functionName: name,
      functionVersion: '$LATEST',
      invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${name}`,
      memoryLimitInMB: '1024',
      awsRequestId: randomUUID(),
      logGroupName: `/aws/lambda/${name}`,
      logStreamName: 'local',
      getRemainingTimeInMillis: () => Math.max(0, began + limitMs - performance.now()),
      done: () => {},
      fail: () => {},
      succeed: () => {},
      signal: AbortSignal.any([stop.signal, ended.signal]),
    };
    const result = handler(input, context);
    running.add(result);
    const finished = () => running.delete(result);
    result.then(finished, finished);

    const { promise: cutOff, reject } = Promise.withResolvers<never>();
    const end = (error: Error): void => {
      ended.abort(error);
      reject(error);
    };
    ends.add(end);
    const timeUp = setTimeout(
      () => end(new SandboxTimedout(`${name}: task timed out after ${limitMs / 1000} seconds`)),
      limitMs,
    );
    try {
      return payload(name, await Promise.race([result, cutOff]));
    } finally {
      clearTimeout(timeUp);
      ends.delete(end);
      invocations.publish({ name, ms: performance.now() - began });
    }
  }

  const lambda: Lambda = {
    invoke,
    timeLimitMs: initialLimitMs,
    kill: () => {
      for (const end of ends) end(new ProcessGone('the process exited before it completed the request'));
    },
    close: async () => {
      stop.abort(new Error('the local engine stops'));
      await Promise.allSettled(running);
    },
  };
  return lambda;
}

function payload(name: string, value: unknown): unknown {
  const text = JSON.stringify(value) ?? 'null';
  if (Buffer.byteLength(text) > MAX_PAYLOAD_BYTES) {
    throw new DataLimitExceeded(
      `${name}: ${Buffer.byteLength(text)} bytes, at most ${MAX_PAYLOAD_BYTES} pass`,
    );
  }
  return JSON.parse(text);
}

class SandboxTimedout extends Error {
  override readonly name = 'Sandbox.Timedout';
}

class ProcessGone extends Error {
  override readonly name = 'Lambda.Unknown';
}

class DataLimitExceeded extends Error {
  override readonly name = 'States.DataLimitExceeded';
}
