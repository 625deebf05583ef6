import { onTestFinished, vi } from 'vitest';

/**
 * Divides the delay of every timer by `factor` and removes jitter (`Math.random` returns 0). Timers keep their order; sockets keep
 * their real speed. Vitest's fake timers would also stop the clock that the sockets need.
 * @returns a function that restores both
 */
export function divideDelays(factor: number): () => void {
  const { setTimeout: real } = globalThis;
  const { random } = Math;
  const quick = (...[run, ms, ...args]: Parameters<typeof real>) => real(run, (ms ?? 0) / factor, ...args);
  globalThis.setTimeout = Object.assign(quick, real);
  Math.random = () => 0;
  return () => {
    globalThis.setTimeout = real;
    Math.random = random;
  };
}

let isAccelerated = false;

/**
 * Divides the delay of every timer by `factor` until the current test ends. Restores all mocks then. A second call in a test
 * changes nothing: timeouts of 16 ms would end requests on a busy machine.
 */
export function accelerateTimers(factor = 25): void {
  if (isAccelerated) return;
  isAccelerated = true;
  const restore = divideDelays(factor);
  onTestFinished(() => {
    isAccelerated = false;
    restore();
    vi.restoreAllMocks();
  });
}

/** Makes every delay that is a random share of its maximum 0 until the current test ends. Timeouts stay as they are. */
export function removeJitter(): void {
  const { random } = Math;
  Math.random = () => 0;
  onTestFinished(() => {
    Math.random = random;
  });
}
