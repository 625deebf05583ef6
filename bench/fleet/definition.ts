import * as v from 'valibot';

/** The part of the Amazon States Language that the interpreter runs: https://states-language.net/. Any other field is an error. */

const Retrier = v.strictObject({
  ErrorEquals: v.array(v.string()),
  IntervalSeconds: v.optional(v.number(), 1),
  MaxAttempts: v.optional(v.number(), 3),
  BackoffRate: v.optional(v.number(), 2),
  MaxDelaySeconds: v.optional(v.number(), Number.POSITIVE_INFINITY),
  JitterStrategy: v.optional(v.picklist(['FULL', 'NONE']), 'NONE'),
});
export type Retrier = v.InferOutput<typeof Retrier>;

const Catcher = v.strictObject({
  ErrorEquals: v.array(v.string()),
  ResultPath: v.optional(v.string(), '$'),
  Next: v.string(),
});

const Comparison = v.union([
  v.strictObject({ Variable: v.string(), StringEquals: v.string(), Next: v.string() }),
  v.strictObject({ Variable: v.string(), IsPresent: v.boolean(), Next: v.string() }),
]);

const common = { Comment: v.optional(v.string()) };
const transition = { Next: v.optional(v.string()), End: v.optional(v.literal(true)) };
const output = { ResultPath: v.optional(v.string(), '$'), OutputPath: v.optional(v.string(), '$') };
const parameters = v.optional(v.record(v.string(), v.unknown()));

const Pass = v.strictObject({
  Type: v.literal('Pass'),
  ...common,
  ...transition,
  ...output,
  Parameters: parameters,
});
const Task = v.strictObject({
  Type: v.literal('Task'),
  ...common,
  ...transition,
  ...output,
  Resource: v.pipe(v.string(), v.startsWith('arn:aws:lambda:')),
  Parameters: parameters,
  TimeoutSeconds: v.optional(v.number(), 99_999_999),
  Retry: v.optional(v.array(Retrier), []),
  Catch: v.optional(v.array(Catcher), []),
});
const Choice = v.strictObject({
  Type: v.literal('Choice'),
  ...common,
  Choices: v.array(Comparison),
  Default: v.optional(v.string()),
});
const Wait = v.strictObject({
  Type: v.literal('Wait'),
  ...common,
  ...transition,
  Seconds: v.optional(v.number()),
  SecondsPath: v.optional(v.string()),
});
const Succeed = v.strictObject({ Type: v.literal('Succeed'), ...common });

const map = {
  Type: v.literal('Map'),
  ...common,
  ...transition,
  ...output,
  ItemsPath: v.optional(v.string(), '$'),
  ItemSelector: parameters,
  MaxConcurrency: v.optional(v.number()),
  MaxConcurrencyPath: v.optional(v.string()),
};
/** A map inside a map is not needed. */
const ItemState = v.variant('Type', [Pass, Task, Choice, Wait, Succeed]);
const MapState = v.strictObject({
  ...map,
  ItemProcessor: v.strictObject({
    ProcessorConfig: v.strictObject({ Mode: v.literal('INLINE') }),
    StartAt: v.string(),
    States: v.record(v.string(), ItemState),
  }),
});

const State = v.variant('Type', [Pass, Task, Choice, Wait, Succeed, MapState]);
export type State = v.InferOutput<typeof State>;
export type StateOf<Type extends State['Type']> = Extract<State, { Type: Type }>;

export const Definition = v.strictObject({
  ...common,
  StartAt: v.string(),
  States: v.record(v.string(), State),
});
export type Definition = v.InferOutput<typeof Definition>;
