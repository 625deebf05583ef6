/**
 * History events for each kind of state. A task that names a function's ARN: TaskStateEntered, LambdaFunctionScheduled,
 * LambdaFunctionStarted, LambdaFunctionSucceeded, TaskStateExited. A map: MapStateEntered, MapStateStarted, MapStateSucceeded,
 * MapStateExited. All others: entered and exited.
 * https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
 */
const EVENTS = { Task: 5, Map: 4, Choice: 2, Pass: 2, Succeed: 2 } as const;
/** MapIterationStarted, MapIterationSucceeded. */
const EVENTS_PER_ITEM = 2;
/** ExecutionStarted, ExecutionSucceeded. */
const EVENTS_PER_EXECUTION = 2;

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
export const MAX_EVENTS = 25_000;
export const MAX_STATE_BYTES = 256 * 1024;

/** How often states of each kind were entered, and the number of items of all maps. */
export type EnteredStates = Readonly<Record<keyof typeof EVENTS, number> & { items: number }>;

export const isStateType = (type: string): type is keyof typeof EVENTS => Object.hasOwn(EVENTS, type);

/** Returns the number of events in the history of a successful execution. */
export function countHistoryEvents({ items, ...entered }: EnteredStates): number {
  const counts = Object.entries(entered).map(([type, count]) =>
    isStateType(type) ? EVENTS[type] * count : 0,
  );
  return counts.reduce((sum, count) => sum + count, EVENTS_PER_EXECUTION + EVENTS_PER_ITEM * items);
}
