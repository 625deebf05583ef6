/** As they are outside of this world. */
export const REAL = { setTimeout: globalThis.setTimeout };

/**
 * Makes the waits of this process shorter: timers keep their order, sockets their real time. What a request may take at
 * most (`AbortSignal.timeout`) is cut more, to what a busy machine still needs. Jitter is none.
 * @returns what sets it back
 */
export function hurryAll(): () => void {
  const { setTimeout: later, Math: math } = globalThis;
  const { timeout } = AbortSignal;
  const { random } = math;
  const quick = (...[run, ms, ...args]: Parameters<typeof later>) => later(run, (ms ?? 0) / TIMES, ...args);
  globalThis.setTimeout = Object.assign(quick, later);
  AbortSignal.timeout = (ms) => timeout.call(AbortSignal, Math.max(LEAST_MS, ms / REQUEST_TIMES));
  math.random = () => 0;
  return () => {
    globalThis.setTimeout = later;
    AbortSignal.timeout = timeout;
    math.random = random;
  };
}

/** A stall of S3, 10 s, is noticed in 200 ms; an UploadPart of a minute given up after 1.5 s, for which a busy machine has time. */
const TIMES = 50;
const REQUEST_TIMES = 100;
const LEAST_MS = 1_500;
