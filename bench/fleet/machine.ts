import * as v from 'valibot';
import { EVENTS, MAX_CONCURRENT_ITEMS, MAX_EVENTS } from '../history.ts';
import { Definition, type Retrier, type State, type StateOf } from './definition.ts';
import {
  compilePath,
  compileRequiredPath,
  compileResultPath,
  compileTemplate,
  type Documents,
  StateError,
} from './paths.ts';

/**
 * Interprets a state machine definition, counts the events of its history and its billed transitions, and leaves time, chance,
 * and functions to the host. `test/unit/bench/machine.test.ts` compares it with aws-local-stepfunctions.
 */

export type MachineHost = Readonly<{
  /** Invokes a Lambda function. The `name` of an error is what retriers match. */
  invoke(resource: string, input: unknown): Promise<unknown>;
  sleep(ms: number): Promise<void>;
  /** Calls `callback` after `ms`. Returns a function that cancels it. */
  schedule(ms: number, callback: () => void): () => void;
  /** Numbers in [0, 1). */
  random(): number;
}>;

export type ExecutionResult = Readonly<
  ({ status: 'SUCCEEDED'; output: unknown } | { status: 'FAILED'; error: string; cause: string }) & {
    /** Events of the history. */
    events: number;
    /** Billed transitions: entered states and retries. */
    transitions: number;
    /** How often each state was entered. */
    entered: Readonly<Record<string, number>>;
  }
>;

/** One execution, shared by the iterations of its maps. */
type Execution = {
  readonly name: string;
  readonly host: MachineHost;
  readonly entered: Record<string, number>;
  events: number;
  transitions: number;
  failure: Error | undefined;
};

/** The item of a map that a state runs for. */
type Item = Readonly<{ Index: number; Value: unknown }>;

type Step = Readonly<{ output: unknown; next: string | undefined }>;
type Runner = (input: unknown, execution: Execution, item: Item | undefined) => Promise<Step> | Step;
type Workflow = Readonly<{ startAt: string; runners: ReadonlyMap<string, Runner> }>;

export type Machine = Readonly<{
  /** Runs one execution. Never throws. */
  run(name: string, input: unknown, host: MachineHost): Promise<ExecutionResult>;
}>;

/** @throws when the definition uses what this interpreter does not know */
export function createMachine(json: string): Machine {
  const definition = v.parse(Definition, JSON.parse(json));
  const workflow = compileWorkflow(definition.StartAt, definition.States);
  return {
    async run(name, input, host) {
      const execution: Execution = { name, host, entered: {}, events: 0, transitions: 0, failure: undefined };
      try {
        record(execution, EVENTS.executionStarted);
        const output = await runWorkflow(workflow, input, execution, undefined);
        record(execution, EVENTS.executionEnded);
        return { status: 'SUCCEEDED', output, ...countsOf(execution) };
      } catch (error) {
        execution.failure ??= toError(error);
        execution.events += EVENTS.executionEnded;
        const { name, message } = execution.failure;
        return { status: 'FAILED', error: name, cause: message, ...countsOf(execution) };
      }
    },
  };
}

const countsOf = ({ events, transitions, entered }: Execution) => ({ events, transitions, entered });

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** @throws {StateError} when the history is full, which no catcher catches */
function record(execution: Execution, events: number): void {
  if (execution.failure) throw execution.failure; // another iteration failed the execution
  execution.events += events;
  if (execution.events < MAX_EVENTS) return;
  execution.failure = new StateError('States.Runtime', `The history has more than ${MAX_EVENTS} events.`);
  throw execution.failure;
}

function compileWorkflow(startAt: string, states: Readonly<Record<string, State>>): Workflow {
  const runners = new Map<string, Runner>();
  for (const [name, state] of Object.entries(states)) {
    const run = compileState(name, state);
    const events = EVENTS[state.Type];
    runners.set(name, (input, execution, item) => {
      record(execution, events);
      execution.transitions++;
      execution.entered[name] = (execution.entered[name] ?? 0) + 1;
      return run(input, execution, item);
    });
  }
  return { startAt, runners };
}

async function runWorkflow(
  { startAt, runners }: Workflow,
  input: unknown,
  execution: Execution,
  item: Item | undefined,
): Promise<unknown> {
  let data = input;
  for (let name: string | undefined = startAt; name !== undefined; ) {
    const run = runners.get(name);
    if (!run) throw new StateError('States.Runtime', `There is no state ${name}.`);
    const step: Step = await run(data, execution, item);
    data = step.output;
    name = step.next;
  }
  return data;
}

function compileState(name: string, state: State): Runner {
  switch (state.Type) {
    case 'Pass':
      return compilePass(name, state);
    case 'Task':
      return compileTask(name, state);
    case 'Choice':
      return compileChoice(state);
    case 'Wait':
      return compileWait(state);
    case 'Map':
      return compileMap(name, state);
    case 'Succeed':
      return (input) => ({ output: input, next: undefined });
  }
}

const contextOf = (execution: Execution, state: string, item: Item | undefined, retries = 0) => ({
  Execution: { Name: execution.name, RedriveCount: 0 },
  State: { Name: state, RetryCount: retries },
  ...(item && { Map: { Item: item } }),
});

/** Documents for the fields that cannot read the context object. */
const toDocuments = (data: unknown): Documents => ({ data, context: undefined });

/** ResultPath, then OutputPath. */
function compileOutput({ ResultPath, OutputPath }: Pick<StateOf<'Pass'>, 'ResultPath' | 'OutputPath'>) {
  const place = compileResultPath(ResultPath);
  const select = compileRequiredPath(OutputPath);
  return (input: unknown, result: unknown): unknown => select(toDocuments(place(input, result)));
}

function compilePass(name: string, state: StateOf<'Pass'>): Runner {
  const template = state.Parameters && compileTemplate(state.Parameters);
  const toOutput = compileOutput(state);
  return (input, execution, item) => {
    const context = contextOf(execution, name, item);
    const result = template ? template({ data: input, context }) : input;
    return { output: toOutput(input, result), next: state.Next };
  };
}

function compileChoice({ Choices, Default }: StateOf<'Choice'>): Runner {
  const rules = Choices.map((choice) => {
    const { Variable, Next } = choice;
    if ('IsPresent' in choice) {
      const read = compilePath(Variable);
      return {
        next: Next,
        isMet: (data: unknown) => (read(toDocuments(data)) !== undefined) === choice.IsPresent,
      };
    }
    const read = compileRequiredPath(Variable);
    return { next: Next, isMet: (data: unknown) => read(toDocuments(data)) === choice.StringEquals };
  });
  return (input) => {
    const next = rules.find(({ isMet }) => isMet(input))?.next ?? Default;
    if (next === undefined) throw new StateError('States.NoChoiceMatched', 'No choice matches.');
    return { output: input, next };
  };
}

function compileWait({ Seconds, SecondsPath, Next }: StateOf<'Wait'>): Runner {
  const read = SecondsPath === undefined ? () => Seconds : compileRequiredPath(SecondsPath);
  return async (input, { host }) => {
    const seconds = read(toDocuments(input));
    if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < 0)
      throw new StateError('States.Runtime', `Wait: expected seconds, a whole number, got ${seconds}.`);
    await host.sleep(1000 * seconds);
    return { output: input, next: Next };
  };
}

function compileMap(name: string, state: StateOf<'Map'>): Runner {
  const { ItemProcessor, MaxConcurrency, MaxConcurrencyPath, Next } = state;
  const readItems = compileRequiredPath(state.ItemsPath);
  const select = state.ItemSelector && compileTemplate(state.ItemSelector);
  const readConcurrency =
    MaxConcurrencyPath === undefined ? () => MaxConcurrency ?? 0 : compileRequiredPath(MaxConcurrencyPath);
  const workflow = compileWorkflow(ItemProcessor.StartAt, ItemProcessor.States);
  const toOutput = compileOutput(state);

  return async (input, execution) => {
    const documents = toDocuments(input);
    const items = v.parse(v.array(v.unknown()), readItems(documents));
    const limit = v.parse(v.pipe(v.number(), v.integer(), v.minValue(0)), readConcurrency(documents));
    const results: unknown[] = new Array(items.length);
    let nextIndex = 0;
    const work = async (): Promise<void> => {
      for (let index = nextIndex++; index < items.length; index = nextIndex++) {
        const item = { Index: index, Value: items[index] };
        record(execution, EVENTS.iterationStarted);
        const data = select?.({ data: input, context: contextOf(execution, name, item) }) ?? item.Value;
        results[index] = await runWorkflow(workflow, data, execution, item);
        record(execution, EVENTS.iterationSucceeded);
      }
    };
    const concurrency = Math.min(limit || MAX_CONCURRENT_ITEMS, MAX_CONCURRENT_ITEMS, items.length);
    try {
      await Promise.all(Array.from({ length: concurrency }, work));
    } catch (error) {
      execution.failure ??= toError(error);
      throw error;
    }
    return { output: toOutput(input, results), next: Next };
  };
}

function compileTask(name: string, state: StateOf<'Task'>): Runner {
  const template = state.Parameters && compileTemplate(state.Parameters);
  const toOutput = compileOutput(state);
  const catchers = state.Catch.map((catcher) => ({
    ...catcher,
    place: compileResultPath(catcher.ResultPath),
  }));

  return async (input, execution, item) => {
    const { host } = execution;
    const attempts = new Map<Retrier, number>();
    for (let retries = 0; ; retries++) {
      try {
        const context = contextOf(execution, name, item, retries);
        const payload = template ? template({ data: input, context }) : input;
        const result = await invokeWithTimeout(host, state, payload);
        record(execution, 0); // another iteration may have failed in the meantime
        return { output: toOutput(input, result), next: state.Next };
      } catch (caught) {
        if (execution.failure) throw execution.failure;
        const error = toError(caught);
        const retrier = state.Retry.find(({ ErrorEquals }) => isMatch(ErrorEquals, error.name));
        const attempt = retrier ? (attempts.get(retrier) ?? 0) : 0;
        if (retrier && attempt < retrier.MaxAttempts) {
          attempts.set(retrier, attempt + 1);
          record(execution, EVENTS.retry);
          execution.transitions++;
          await host.sleep(delayMs(retrier, attempt, host.random));
          continue;
        }
        const catcher = catchers.find(({ ErrorEquals }) => isMatch(ErrorEquals, error.name));
        if (!catcher) throw error;
        return {
          output: catcher.place(input, { Error: error.name, Cause: error.message }),
          next: catcher.Next,
        };
      }
    }
  };
}

async function invokeWithTimeout(
  host: MachineHost,
  { Resource, TimeoutSeconds }: StateOf<'Task'>,
  payload: unknown,
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const timeOut = (): void => reject(new StateError('States.Timeout', `No response in ${TimeoutSeconds} s.`));
  const cancel = host.schedule(1000 * TimeoutSeconds, timeOut);
  host.invoke(Resource, payload).then(resolve, reject);
  try {
    return await promise;
  } finally {
    cancel();
  }
}

const isMatch = (names: readonly string[], error: string): boolean =>
  names.some(
    (name) =>
      name === error || name === 'States.ALL' || (name === 'States.TaskFailed' && error !== 'States.Timeout'),
  );

/** https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html: full jitter is between 0 and the delay. */
function delayMs(retrier: Retrier, attempt: number, random: () => number): number {
  const { IntervalSeconds, BackoffRate, MaxDelaySeconds, JitterStrategy } = retrier;
  const delay = 1000 * Math.min(MaxDelaySeconds, IntervalSeconds * BackoffRate ** attempt);
  return JitterStrategy === 'FULL' ? delay * random() : delay;
}
