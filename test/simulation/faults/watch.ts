import { channel } from 'node:diagnostics_channel';
import * as v from 'valibot';
import { Result, UploadRequest } from '../../../lib/schemas.ts';
import type { Execution } from '../../../local/aws/execution-store.ts';
import type { Stack } from '../../../local/stack.ts';
import { TIMER_FACTOR } from './accelerate-timers.ts';

/** Observes what the state machine does and how its executions end. */

/**
 * An invocation that takes longer, in real milliseconds, may have lost a request to a busy machine and sent a part twice. So may
 * one that takes half of its time limit: the limit ends the requests in flight.
 */
const SLOW_MS = 1_000;

const invocations = channel('s3-vod.invocation');
const Invocation = v.object({ ms: v.number(), limitMs: v.number() });

/** Counts executions and slow invocations until `stop`. */
export function watchExecutions({ executions }: Stack) {
  const ended = new Map<string, Execution>();
  const watch = {
    started: 0,
    slow: 0,
    /** Each execution after its last run. */
    ended: () => [...ended.values()],
    failed: () => watch.ended().filter(({ status }) => status === 'FAILED'),
    stop: () => {
      executions.off('started', onStart).off('ended', onEnd);
      invocations.unsubscribe(onInvocation);
    },
  };
  const onStart = (): void => void watch.started++;
  const onEnd = (execution: Execution): void => void ended.set(execution.name, execution);
  const onInvocation = (message: unknown): void => {
    const { ms, limitMs } = v.parse(Invocation, message);
    if (ms > Math.min(SLOW_MS, limitMs / TIMER_FACTOR / 2)) watch.slow++;
  };
  executions.on('started', onStart).on('ended', onEnd);
  invocations.subscribe(onInvocation);
  return watch;
}

/** Error names that explain nothing. */
const UNTYPED_ERRORS = new Set(['States.Runtime', 'Error', 'TypeError', 'RangeError', 'AbortError']);

/** The key of an execution's object. */
export const keyOf = ({ input }: Execution): string => v.parse(UploadRequest, input).key;

/** Whether an execution failed because of an image. Its cause names the call that listed, read, or sent one. */
export const failedForImage = ({ cause = '' }: Execution): boolean =>
  /SmallFileUpload|LIST|\.jpe?g/.test(cause);

/** Whether the result of a video reports an error of its cover. */
export function hasCoverError({ output }: Execution): boolean {
  const result = v.safeParse(Result, output);
  return result.success && result.output.cover !== undefined && 'Error' in result.output.cover;
}

/** Whether a failed execution has an error name and a cause that explain the failure. */
export const hasReason = ({ error, cause }: Execution): boolean =>
  Boolean(error && cause && !UNTYPED_ERRORS.has(error));

/** Describes how an execution ended, in one line. */
export const describeEnd = ({ name, status, error, cause, output }: Execution): string =>
  JSON.stringify({ name, status, error, cause, output });
