import { StateMachine } from 'aws-local-stepfunctions';
import { expect, test } from 'vitest';
import { createVirtualClock } from '../../../bench/fleet/clock.ts';
import { createMachine, type ExecutionResult } from '../../../bench/fleet/machine.ts';
import { localStateMachineJson } from '../../../deploy/state-machine.ts';

/** The interpreter is compared with aws-local-stepfunctions, which this project did not write. */

type Json = Parameters<StateMachine['run']>[0];
type Handlers = Readonly<Record<string, (input: unknown) => unknown>>;
type Trace = Readonly<{ outcome: unknown; entered: Record<string, number> }>;

const NAME = 'an-execution';
const arnOf = (name: string): string => `arn:aws:lambda:us-east-1:000000000000:function:${name}`;

class NamedError extends Error {
  constructor(name: string) {
    super(`a cause for ${name}`);
    this.name = name;
  }
}

/** @param createHandlers by the last part of the ARN; called for each run, because handlers can have a state */
async function runHere(
  json: string,
  input: unknown,
  createHandlers: () => Handlers,
): Promise<ExecutionResult> {
  const clock = createVirtualClock();
  const handlers = createHandlers();
  let result: ExecutionResult | undefined;
  const host = {
    invoke: async (resource: string, event: unknown) => handlers[resource.split(':').at(-1) ?? '']?.(event),
    sleep: clock.sleep,
    schedule: clock.schedule,
    random: () => 0.5,
  };
  void createMachine(json)
    .run(NAME, input, host)
    .then((ended) => {
      result = ended;
    });
  await clock.run(() => result !== undefined);
  if (!result) throw new Error('the execution did not end');
  return result;
}

async function traceHere(json: string, input: unknown, createHandlers: () => Handlers): Promise<Trace> {
  const result = await runHere(json, input, createHandlers);
  return {
    outcome: result.status === 'SUCCEEDED' ? result.output : result.error,
    entered: { ...result.entered },
  };
}

type Named = Readonly<{ Type: string; Resource?: string }>;
const statesOf = (json: string): Record<string, Named> => {
  const { States } = JSON.parse(json);
  const inner = Object.values(States).flatMap((state) =>
    Object.entries((state as { ItemProcessor?: { States: object } }).ItemProcessor?.States ?? {}),
  );
  return { ...States, ...Object.fromEntries(inner) };
};

async function traceReference(json: string, input: unknown, createHandlers: () => Handlers): Promise<Trace> {
  const handlers = createHandlers();
  const states = Object.entries(statesOf(json));
  const overrides = (type: string) =>
    Object.fromEntries(states.filter(([, { Type }]) => Type === type).map(([name]) => [name, 0]));
  const State = { RetryCount: 0 };
  const tasks = states.flatMap(([name, { Resource }]) => {
    const handler = handlers[Resource?.split(':').at(-1) ?? ''];
    return handler ? [[name, async (event: Json) => toJson(handler(event))] as const] : [];
  });
  const machine = new StateMachine(JSON.parse(json), { validationOptions: { noValidate: true } });
  const { result, eventLogs } = machine.run(toJson(input), {
    overrides: {
      taskResourceLocalHandlers: Object.fromEntries(tasks),
      waitTimeOverrides: overrides('Wait'),
      retryIntervalOverrides: overrides('Task'),
    },
    context: { Execution: { Name: NAME, RedriveCount: 0 }, State },
  });
  const outcome = result.catch((error: Error) =>
    error.name === 'ExecutionError' && error.cause instanceof Error ? error.cause.name : error.name,
  );
  const entered: Record<string, number> = {};
  for await (const event of eventLogs)
    if (event.type === 'StateEntered') entered[event.state.name] = (entered[event.state.name] ?? 0) + 1;
  return { outcome: await outcome, entered };
}

const toJson = (value: unknown): Json => JSON.parse(JSON.stringify(value ?? null));

async function expectSameTrace(json: string, input: unknown, createHandlers: () => Handlers): Promise<Trace> {
  const trace = await traceHere(json, input, createHandlers);
  expect(trace).toEqual(await traceReference(json, input, createHandlers));
  return trace;
}

/** Throws the errors of these names, one per call, then returns `output`. */
const failing = (names: readonly string[], output: (input: unknown) => unknown = (input) => input) => {
  const left = [...names];
  return (input: unknown): unknown => {
    const name = left.shift();
    if (name) throw new NamedError(name);
    return output(input);
  };
};

const RETRY = [
  {
    ErrorEquals: ['Busy'],
    IntervalSeconds: 2,
    MaxAttempts: 2,
    BackoffRate: 2,
    MaxDelaySeconds: 3,
    JitterStrategy: 'FULL',
  },
  { ErrorEquals: ['States.TaskFailed'], IntervalSeconds: 1, MaxAttempts: 1 },
];

const oneTask = (more: object = {}): string =>
  JSON.stringify({
    StartAt: 'Work',
    States: {
      Work: {
        Type: 'Task',
        Resource: arnOf('Work'),
        ResultPath: '$.result',
        Retry: RETRY,
        Next: 'End',
        ...more,
      },
      End: { Type: 'Succeed' },
    },
  });

test.each([
  [
    'succeeds after retries of two kinds, each with its own budget',
    ['Busy', 'Other', 'Busy'],
    { a: 1, result: 'done' },
  ],
  ['fails when the budget of one kind is used up', ['Busy', 'Busy', 'Busy'], 'Busy'],
  ['fails on the second error of the other kind', ['Other', 'Busy', 'Other'], 'Other'],
])('a task %s', async (_, errors, outcome) => {
  const trace = await expectSameTrace(oneTask(), { a: 1 }, () => ({ Work: failing(errors, () => 'done') }));
  expect(trace.outcome).toEqual(outcome);
});

test('a catcher adds the error to the state and continues', async () => {
  const json = oneTask({ Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.failure', Next: 'End' }] });
  const { outcome } = await traceHere(json, { a: 1 }, () => ({ Work: failing(Array(9).fill('Other')) }));
  expect(outcome).toEqual({ a: 1, failure: { Error: 'Other', Cause: 'a cause for Other' } });
});

test('choices, waits, paths, and maps give the same outputs and enter the same states', async () => {
  const json = JSON.stringify({
    StartAt: 'Begin',
    States: {
      Begin: {
        Type: 'Pass',
        Parameters: { 'name.$': '$$.Execution.Name', 'given.$': '$', fixed: { list: [1, 2] }, seconds: 7 },
        Next: 'Route',
      },
      Route: {
        Type: 'Choice',
        Choices: [
          { Variable: '$.given.items', IsPresent: true, Next: 'Pause' },
          { Variable: '$.given.kind', StringEquals: 'none', Next: 'Nothing' },
        ],
        Default: 'Nothing',
      },
      Pause: { Type: 'Wait', SecondsPath: '$.seconds', Next: 'Each' },
      Each: {
        Type: 'Map',
        ItemsPath: '$.given.items',
        MaxConcurrencyPath: '$.given.functions',
        ItemSelector: { 'item.$': '$$.Map.Item.Value', 'index.$': '$$.Map.Item.Index', 'name.$': '$.name' },
        ItemProcessor: {
          ProcessorConfig: { Mode: 'INLINE' },
          StartAt: 'Double',
          States: {
            Double: { Type: 'Task', Resource: arnOf('Double'), Next: 'Again' },
            Again: {
              Type: 'Choice',
              Choices: [{ Variable: '$.more', IsPresent: true, Next: 'Double' }],
              Default: 'Result',
            },
            Result: { Type: 'Pass', OutputPath: '$.item', End: true },
          },
        },
        ResultPath: '$.doubled',
        End: true,
      },
      Nothing: { Type: 'Succeed' },
    },
  });
  const createHandlers = (): Handlers => ({
    Double: (input) => {
      const { item, more, ...rest } = input as { item: number; more?: true };
      return { ...rest, item: 2 * item, ...(!more && item > 2 && { more: true }) };
    },
  });
  for (const input of [
    { items: [1, 2, 3, 4], functions: 2 },
    { items: [], functions: 1 },
    { kind: 'none' },
    {},
  ])
    await expectSameTrace(json, input, createHandlers);
  const { entered } = await traceHere(json, { items: [1, 2, 3, 4], functions: 2 }, createHandlers);
  expect(entered).toMatchObject({ Double: 6, Result: 4 });
});

test('the history counts five events per task, three per retry, four per map and two per item, and two per other state', async () => {
  const run = (errors: string[]) => runHere(oneTask(), {}, () => ({ Work: failing(errors) }));
  expect(await run([])).toMatchObject({ events: 2 + 5 + 2, transitions: 2 });
  expect(await run(['Busy', 'Busy'])).toMatchObject({ events: 2 + 5 + 2 * 3 + 2, transitions: 4 });
});

test('an execution fails when its history is full', async () => {
  const json = JSON.stringify({
    StartAt: 'Loop',
    States: { Loop: { Type: 'Pass', Next: 'Loop' } },
  });
  expect(await runHere(json, {}, () => ({}))).toMatchObject({ status: 'FAILED', error: 'States.Runtime' });
});

test('a task that does not respond times out', async () => {
  const run = await runHere(oneTask({ TimeoutSeconds: 5, Retry: [] }), {}, () => ({
    Work: () => new Promise(() => {}),
  }));
  expect(run).toMatchObject({ status: 'FAILED', error: 'States.Timeout' });
});

test.each([
  ['a state of another kind', { Type: 'Parallel', Branches: [], End: true }],
  ['another field', { Type: 'Pass', InputPath: '$.a', End: true }],
  ['another path', { Type: 'Pass', Parameters: { 'a.$': '$.list[0]' }, End: true }],
  ['an intrinsic function', { Type: 'Pass', Parameters: { 'a.$': 'States.UUID()' }, End: true }],
])('createMachine rejects %s', (_, state) => {
  expect(() => createMachine(JSON.stringify({ StartAt: 'One', States: { One: state } }))).toThrow();
});

/** Each handler returns its outputs in turn, added to its input. */
const scripted = (outputs: readonly object[]): ((input: unknown) => unknown) => {
  const left = [...outputs];
  return (input) => ({ ...(input as object), ...left.shift() });
};

test('the deployed definition gives the same outputs and enters the same states', async () => {
  const batches = [
    { first: 0, count: 2 },
    { first: 2, count: 1 },
  ];
  const upload = { size: 3, partSize: 1, functions: 1, batches };
  const pin = { key: 'k' };
  const done = { next: 'done', bucket: 'b', key: 'k', fileId: '1' };
  const createHandlers = (): Handlers => {
    const finish = scripted([
      { next: 'init', pin },
      { next: 'wait', pin, waitSeconds: 5 },
      { next: 'finish', pin },
      done,
    ]);
    return {
      Init: scripted([
        { next: 'hash', pin },
        { next: 'wait', pin, waitSeconds: 9 },
        { next: 'parts', pin, session: 's', upload },
        { next: 'parts', pin, session: 's', upload },
      ]),
      Finish: (input) => finish((input as { job: unknown }).job),
      Part: sendBatch,
      Cover: failing(Array(9).fill('VideoNotReady')),
    };
  };
  /** Returns the first batch once, after a while. */
  const sendBatch = (input: unknown): unknown => {
    const { batch, waitSeconds, ...rest } = input as { batch: { first: number }; waitSeconds?: number };
    if (batch.first === 0 && waitSeconds === undefined) return { ...rest, batch, waitSeconds: 40 };
    return { ...rest, sent: { parts: 1, bytes: 1 } };
  };
  const { entered } = await expectSameTrace(
    localStateMachineJson(),
    { bucket: 'b', key: 'k' },
    createHandlers,
  );
  expect(entered).toMatchObject({
    Init: 4,
    WaitForTurn: 1,
    Part: 6,
    WaitForQuota: 2,
    Finish: 4,
    WaitForVod: 1,
    VideoCover: 1,
  });
});
