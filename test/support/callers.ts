import { QuotaExceeded } from '../../lib/errors.ts';
import type { Action, Quota } from '../../lib/quota/quota.ts';
import { never } from './values.ts';

/** Callers of a quota, and what the service would have counted of their calls. */

/** As the service counts: a call is no longer counted once it is a minute old. */
export function mostInAMinute(times: readonly number[], minuteMs: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [last, time] of sorted.entries()) {
    while ((sorted[first] ?? time) + minuteMs <= time) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

/** So many callers of `work` at once, each calling again and again until the clock says `until`. */
export const callers = (count: number, until: number, work: () => Promise<void>): Promise<void>[] =>
  Array.from({ length: count }, async () => {
    while (Date.now() < until) await work();
  });

export const passing = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** `take` that stays until it is let go, as the state machine would see to, and writes down when that was. */
export function recorded(quota: Quota, action: Action, times: number[], retryMs = 0): () => Promise<void> {
  return async () => {
    for (;;) {
      try {
        await quota.take(action, never);
        times.push(Date.now());
        return;
      } catch (error) {
        if (!(error instanceof QuotaExceeded)) throw error;
        await passing(Math.random() * retryMs);
      }
    }
  };
}
