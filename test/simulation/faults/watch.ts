import { channel } from 'node:diagnostics_channel';
import * as v from 'valibot';
import { Result, UploadRequest } from '../../../lib/schemas.ts';
import type { Execution } from '../../../local/aws/execution-store.ts';
import type { Stack } from '../../../local/stack.ts';

/** What the engine did, and what the ends of executions say. */

/** Real milliseconds after which an invocation may have lost a request to a busy machine, and sent a part again. */
const SLOW_MS = 1_000;

const invocations = channel('s3-vod.invocation');
const Invocation = v.object({ ms: v.number() });

/** Counts what the engine does, until `end`. */
export function watchWork({ executions }: Stack) {
  const ends = new Map<string, Execution>();
  const watch = {
    started: 0,
    slow: 0,
    /** As each stands after its last run. */
    ended: () => [...ends.values()],
    failed: () => watch.ended().filter(({ status }) => status === 'FAILED'),
    end: () => {
      executions.off('started', onStart).off('ended', onEnd);
      invocations.unsubscribe(onInvocation);
    },
  };
  const onStart = (): void => void watch.started++;
  const onEnd = (execution: Execution): void => void ends.set(execution.name, execution);
  const onInvocation = (message: unknown): void => {
    if (v.parse(Invocation, message).ms > SLOW_MS) watch.slow++;
  };
  executions.on('started', onStart).on('ended', onEnd);
  invocations.subscribe(onInvocation);
  return watch;
}

/** Errors that tell a person nothing. */
const SAYS_NOTHING = new Set(['States.Runtime', 'Error', 'TypeError', 'RangeError', 'AbortError']);

/** The key of the object that an execution is about. */
export const keyOf = ({ input }: Execution): string => v.parse(UploadRequest, input).key;

/** Whether it failed for an image: as its cause says, it listed, read, or sent one. */
export const isOfImage = ({ cause = '' }: Execution): boolean => /SmallFileUpload|LIST|\.jpe?g/.test(cause);

/** The video's key, where its result says that its cover went wrong. */
export function withErrorOfCover({ output }: Execution): string[] {
  const result = v.safeParse(Result, output);
  const cover = result.success ? result.output.cover : undefined;
  return result.success && cover && 'Error' in cover ? [result.output.key] : [];
}

/** What to complain of: a failure whose error or cause does not say why. */
export const withoutReason = (end: Execution): string[] =>
  !end.error || !end.cause || SAYS_NOTHING.has(end.error) ? [`failed without a reason: ${told(end)}`] : [];

/** How an execution ended, in a line. */
export const told = ({ name, status, error, cause, output }: Execution): string =>
  JSON.stringify({ name, status, error, cause, output });
