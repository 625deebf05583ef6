/**
 * Events in the history of an execution: https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
 */
export const EVENTS = {
  /** TaskStateEntered, LambdaFunctionScheduled, LambdaFunctionStarted, LambdaFunctionSucceeded, TaskStateExited. */
  Task: 5,
  /** LambdaFunctionFailed or LambdaFunctionTimedOut, then LambdaFunctionScheduled and LambdaFunctionStarted again. */
  retry: 3,
  /** MapStateEntered, MapStateStarted, MapStateSucceeded, MapStateExited. */
  Map: 4,
  /** MapIterationStarted, MapIterationSucceeded. */
  iterationStarted: 1,
  iterationSucceeded: 1,
  /** Entered and exited. */
  Choice: 2,
  Pass: 2,
  Wait: 2,
  Succeed: 2,
  /** ExecutionStarted; ExecutionSucceeded or ExecutionFailed. */
  executionStarted: 1,
  executionEnded: 1,
} as const;

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
export const MAX_EVENTS = 25_000;
export const MAX_STATE_BYTES = 256 * 1024;

/** Concurrent items of an inline map: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html */
export const MAX_CONCURRENT_ITEMS = 40;
