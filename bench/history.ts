/**
 * Events in an execution's history, by what the cloud writes for each kind of state. A task that names a function's ARN:
 * TaskStateEntered, LambdaFunctionScheduled, LambdaFunctionStarted, LambdaFunctionSucceeded, TaskStateExited. A map:
 * MapStateEntered, MapStateStarted, MapStateSucceeded, MapStateExited, and for each item MapIterationStarted and
 * MapIterationSucceeded. All others: entered and exited. Types: https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
 */
const EVENTS = { Task: 5, Map: 4, Choice: 2, Pass: 2, Succeed: 2 } as const;
const PER_ITEM = 2;
/** ExecutionStarted, ExecutionSucceeded. */
const PER_EXECUTION = 2;

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
export const MOST_EVENTS = 25_000;
export const MOST_STATE_BYTES = 256 * 1024;

/** How often states of each kind were entered, and how many items the maps had. */
export type Entered = Readonly<Record<keyof typeof EVENTS, number> & { items: number }>;

export const isKind = (type: string): type is keyof typeof EVENTS => Object.hasOwn(EVENTS, type);

export function historyEvents({ items, ...entered }: Entered): number {
  const ofStates = Object.entries(entered).map(([type, times]) => (isKind(type) ? EVENTS[type] * times : 0));
  return PER_EXECUTION + PER_ITEM * items + ofStates.reduce((sum, events) => sum + events, 0);
}
