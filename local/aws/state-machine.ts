import { channel } from 'node:diagnostics_channel';
import { StateMachine } from 'aws-local-stepfunctions';
import * as v from 'valibot';
import { localStateMachineJson } from '../../deploy/state-machine.ts';
import type { Handler, Lambda } from './lambda.ts';

export type Handlers = Readonly<{ init: Handler; part: Handler; finish: Handler; cover: Handler }>;

/** The states read this as `$$.Execution`. `startDate`: milliseconds since 1970. */
export type ExecutionIdentity = Readonly<{
  arn: string;
  name: string;
  redriveCount: number;
  startDate: number;
}>;

export type StateMachineRunner = Readonly<{
  /** @throws the error that failed the execution: its `name` is the state machine's error, its `message` the cause */
  run(input: unknown, identity: ExecutionIdentity): Promise<unknown>;
  /** Aborts all running executions without waiting for them. */
  abort(): void;
}>;

/** Delays before a retry, in the order of the retriers in the file, and of waits. The cloud waits for minutes; a local run must not. */
const QUOTA_RETRY_MS = 2_000;
const RETRY_MS = 500;
const WAIT_MS = 1_000;

/** Publishes each entered state and each retry, which the cloud bills as state transitions. */
const transitions = channel('s3-vod.transition');
const BILLED_EVENTS = new Set(['StateEntered', 'StateRetried']);

/** A person waits for the result: a run gives up after minutes, not after a day. */
const MAX_QUOTA_RETRIES = 60;
const MAX_RETRIES = 6;

type Json = Parameters<StateMachine['run']>[0];

/** Runs the state machine definition that is deployed. */
export function createStateMachineRunner(lambda: Lambda, handlers: Handlers): StateMachineRunner {
  // `npm test` and `npm run package` validate the definition, which takes longer than the upload of a small object.
  const definition = JSON.parse(localStateMachineJson(), adaptToLocalRun);
  const machine = new StateMachine(definition, { validationOptions: { noValidate: true } });
  const running = new Set<() => void>();
  const task = (name: keyof Handlers) => async (input: unknown) =>
    toJson(await lambda.invoke(name, handlers[name], input));

  return {
    async run(input, { arn, name, redriveCount, startDate }) {
      // aws-local-stepfunctions has no `$$.State`. An execution enters one of the two states that read it, once.
      const state = { RetryCount: 0 };
      const cover = (event: unknown) => task('cover')(event).finally(() => state.RetryCount++);
      const tasks = {
        Init: task('init'),
        Part: task('part'),
        Finish: task('finish'),
        Cover: cover,
        VideoCover: cover,
      };
      const { result, abort, eventLogs } = machine.run(toJson(input), {
        overrides: {
          taskResourceLocalHandlers: tasks,
          retryIntervalOverrides: Object.fromEntries(
            Object.keys(tasks).map((name) => [name, [QUOTA_RETRY_MS, RETRY_MS, RETRY_MS, RETRY_MS]]),
          ),
          waitTimeOverrides: { WaitForTurn: WAIT_MS, WaitForQuota: WAIT_MS, WaitForVod: WAIT_MS },
        },
        context: {
          State: state,
          Execution: {
            Id: arn,
            Name: name,
            RedriveCount: redriveCount,
            StartTime: new Date(startDate).toISOString(),
            Input: toJson(input),
          },
        },
      });
      running.add(abort);
      if (transitions.hasSubscribers) void publishTransitions(eventLogs);
      try {
        return await result;
      } catch (error) {
        throw error instanceof Error && error.cause instanceof Error ? error.cause : error;
      } finally {
        running.delete(abort);
      }
    },
    abort: () => {
      for (const abort of running) abort();
    },
  };
}

const Retriers = v.array(v.looseObject({ ErrorEquals: v.array(v.string()), MaxAttempts: v.number() }));

function adaptToLocalRun(key: string, value: unknown): unknown {
  // Lambda applies the time limit. The time that a task waits for a free invocation must not count.
  if (key === 'TimeoutSeconds') return 86_400;
  if (key !== 'Retry') return value;
  return v.parse(Retriers, value).map((retrier) => ({
    ...retrier,
    MaxAttempts: Math.min(
      retrier.MaxAttempts,
      retrier.ErrorEquals.includes('QuotaExceeded') ? MAX_QUOTA_RETRIES : MAX_RETRIES,
    ),
  }));
}

async function publishTransitions(events: AsyncIterable<{ type: string }>): Promise<void> {
  for await (const event of events) if (BILLED_EVENTS.has(event.type)) transitions.publish(event);
}

const toJson = (value: unknown): Json => JSON.parse(JSON.stringify(value ?? null));
