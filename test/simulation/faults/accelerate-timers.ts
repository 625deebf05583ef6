import { divideDelays } from '../../support/accelerate-timers.ts';

/** The functions of this process before `accelerateTimers` replaced them. */
export const REAL = { setTimeout: globalThis.setTimeout };

/** A stall of S3 (10 s) is detected in 200 ms. */
export const TIMER_FACTOR = 50;

/** An UploadPart that may take a minute is aborted after 1.5 s, which is enough on a busy machine. */
const REQUEST_FACTOR = 100;
const MIN_REQUEST_MS = 1_500;
const MIN_REQUEST_WITHOUT_FAULTS_MS = 15_000;

let offsetMs = 0;
let minRequestMs = MIN_REQUEST_MS;

/** Moves the clock of this process forward without waiting. */
export function passTime(ms: number): void {
  offsetMs += ms;
}

/** With faults, requests time out early. Without faults, only a busy machine makes a request slow, so they get more time. */
export function setRequestTimeouts(hasFaults: boolean): void {
  minRequestMs = hasFaults ? MIN_REQUEST_MS : MIN_REQUEST_WITHOUT_FAULTS_MS;
}

/**
 * Shortens all timers of this process and removes jitter. Timers keep their order; sockets keep their real speed. Request timeouts
 * (`AbortSignal.timeout`) are shortened more. `passTime` moves the clock.
 * @returns a function that restores everything
 */
export function accelerateTimers(): () => void {
  const restoreDelays = divideDelays(TIMER_FACTOR);
  const { Date: date } = globalThis;
  const { timeout } = AbortSignal;
  AbortSignal.timeout = (ms) => timeout.call(AbortSignal, Math.max(minRequestMs, ms / REQUEST_FACTOR));
  setRequestTimeouts(true);
  const now = (): number => date.now() + offsetMs;
  // A proxy, not a subclass: dates that Node itself creates must remain instances of `Date`.
  globalThis.Date = new Proxy(date, {
    construct: (target, args) => Reflect.construct(target, args.length > 0 ? args : [now()]),
    get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  });
  return () => {
    globalThis.Date = date;
    offsetMs = 0;
    AbortSignal.timeout = timeout;
    restoreDelays();
  };
}
