import { channel } from 'node:diagnostics_channel';
import { StateMachine } from 'aws-local-stepfunctions';
import { localStateMachineJson } from '../../deploy/state-machine.ts';
import type { Handler, Lambda } from './lambda.ts';

/** Runs the state machine file that ships, with the handlers that ship. */

export type Handlers = Readonly<{ init: Handler; part: Handler; finish: Handler; cover: Handler }>;

/** What an execution is called and how often it was redriven; the states see it as `$$.Execution`. */
export type ExecutionIdentity = Readonly<{
  arn: string;
  name: string;
  redriveCount: number;
  startDate: number;
}>;

export type StateMachineRunner = Readonly<{
  /** @throws the error that failed the execution: its `name` is the state machine's error, its `message` the cause */
  run(input: unknown, identity: ExecutionIdentity): Promise<unknown>;
  /** Ends what is running, without waiting for it. */
  abort(): void;
}>;

/** On one machine nobody waits for minutes: milliseconds before a retry, by the order of the retriers in the file. */
const RETRY_MS = { quota: 2_000, passing: 500 };

/** Hears of each state that is entered, and of each retry: what the cloud bills as a transition. */
const transitions = channel('s3-vod.transition');
const BILLED = new Set(['StateEntered', 'StateRetried']);

/** Looked at once in a process: that takes longer than a small object's whole way. */
let isValid = false;

type Json = Parameters<StateMachine['run']>[0];

export function createStateMachineRunner(lambda: Lambda, handlers: Handlers): StateMachineRunner {
  // Each invocation has its own limit. The time that a task waits here for its turn does not count.
  const text = localStateMachineJson().replace(/"TimeoutSeconds": \d+/g, '"TimeoutSeconds": 86400');
  const machine = new StateMachine(JSON.parse(text), { validationOptions: { noValidate: isValid } });
  isValid = true;
  const running = new Set<() => void>();
  const task = (name: keyof Handlers) => async (input: unknown) =>
    asJson(await lambda.invoke(name, handlers[name], input));

  return {
    async run(input, { arn, name, redriveCount, startDate }) {
      // The engine knows no `$$.State`. An execution enters one of the two states that ask for it, once.
      const state = { RetryCount: 0 };
      const cover = async (event: unknown) => {
        try {
          return await task('cover')(event);
        } finally {
          state.RetryCount++;
        }
      };
      const { result, abort, eventLogs } = machine.run(asJson(input), {
        overrides: {
          taskResourceLocalHandlers: {
            Init: task('init'),
            Part: task('part'),
            Finish: task('finish'),
            Cover: cover,
            VideoCover: cover,
          },
          retryIntervalOverrides: Object.fromEntries(
            ['Init', 'Part', 'Finish', 'Cover', 'VideoCover'].map((state) => [
              state,
              [RETRY_MS.quota, RETRY_MS.passing],
            ]),
          ),
        },
        context: {
          State: state,
          Execution: {
            Id: arn,
            Name: name,
            RedriveCount: redriveCount,
            StartTime: new Date(startDate).toISOString(),
            Input: asJson(input),
          },
        },
      });
      running.add(abort);
      if (transitions.hasSubscribers) void publish(eventLogs);
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

async function publish(events: AsyncIterable<{ type: string }>): Promise<void> {
  for await (const event of events) if (BILLED.has(event.type)) transitions.publish(event);
}

/** JSON by origin: the input was parsed from text, and Lambda passes text. */
const asJson = (value: unknown): Json => JSON.parse(JSON.stringify(value ?? null));
