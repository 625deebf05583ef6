import { type Clock, systemClock } from '../../invocation/deadline.ts';

/** COS accepts this many uploads to one object per second: https://cloud.tencent.com/document/product/436/14518 */
export const OBJECT_REQUESTS_PER_SECOND = 50;

/**
 * Spaces the requests of each invocation (by its signal), so that all functions of one object together stay below the
 * limit of COS.
 * @returns a function that resolves when the next request may start, and throws the reason of the signal
 */
export function createPacer({ now, sleep }: Clock = systemClock) {
  const nextStart = new WeakMap<AbortSignal, number>();
  return async (functions: number, signal: AbortSignal): Promise<void> => {
    const start = Math.max(now(), nextStart.get(signal) ?? 0);
    nextStart.set(signal, start + (1000 * functions) / OBJECT_REQUESTS_PER_SECOND);
    if (start > now()) await sleep(start - now(), signal);
  };
}
