import { QuotaExceeded } from '../../lib/errors.ts';
import type { Action, Quota } from '../../lib/quota/quota.ts';
import { never } from './values.ts';

/** The most calls in any sliding minute or second. VOD no longer counts a call that is one period old. */
export function maxCallsPerPeriod(times: readonly number[], periodMs: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  let first = 0;
  let max = 0;
  for (const [last, time] of sorted.entries()) {
    while ((sorted[first] ?? time) + periodMs <= time) first++;
    max = Math.max(max, last - first + 1);
  }
  return max;
}

/** Starts `count` concurrent callers. Each repeats `work` until the time `until`. */
export const startCallers = (count: number, until: number, work: () => Promise<void>): Promise<void>[] =>
  Array.from({ length: count }, async () => {
    while (Date.now() < until) await work();
  });

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A `take` that retries QuotaExceeded, as the state machine does, and records the time of its success in `times`. */
export function recordedTake(
  quota: Quota,
  action: Action,
  times: number[],
  maxRetryDelayMs = 0,
): () => Promise<void> {
  return async () => {
    for (;;) {
      try {
        await quota.take(action, never);
        times.push(Date.now());
        return;
      } catch (error) {
        if (!(error instanceof QuotaExceeded)) throw error;
        await sleep(Math.random() * maxRetryDelayMs);
      }
    }
  };
}
