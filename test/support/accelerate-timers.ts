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

/** Shortens the waits between two attempts of a request to a 25th until the current test ends. Restores all mocks then. */
export function accelerateTimers(): void {
  const restore = divideDelays(25);
  onTestFinished(() => {
    restore();
    vi.restoreAllMocks();
  });
}
