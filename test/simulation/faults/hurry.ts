/** As they are outside of this world. */
export const REAL = { setTimeout: globalThis.setTimeout };

let ahead = 0;
let leastMs: number;

/** The clock that everybody here reads goes forward, and nobody has waited. */
export function passTime(ms: number): void {
  ahead += ms;
}

/**
 * While there are faults requests are given up soon. Without them nobody waits for a limit, and what is cut short there is cut
 * short by other work of the machine alone.
 */
export function setPatience(faults: boolean): void {
  leastMs = faults ? LEAST_MS : CALM_MS;
}

/**
 * Makes the waits of this process shorter: timers keep their order, sockets their real time. What a request may take at
 * most (`AbortSignal.timeout`) is cut more, to what a busy machine still needs. Jitter is none. `passTime` moves the clock.
 * @returns what sets it back
 */
export function hurryAll(): () => void {
  const { setTimeout: later, Math: math, Date: date } = globalThis;
  const { timeout } = AbortSignal;
  const { random } = math;
  const quick = (...[run, ms, ...args]: Parameters<typeof later>) => later(run, (ms ?? 0) / TIMES, ...args);
  globalThis.setTimeout = Object.assign(quick, later);
  AbortSignal.timeout = (ms) => timeout.call(AbortSignal, Math.max(leastMs, ms / REQUEST_TIMES));
  math.random = () => 0;
  setPatience(true);
  const now = (): number => date.now() + ahead;
  // Not a class of its own: what Node makes are dates too.
  globalThis.Date = new Proxy(date, {
    construct: (of, args) => Reflect.construct(of, args.length > 0 ? args : [now()]),
    get: (of, name) => (name === 'now' ? now : Reflect.get(of, name)),
  });
  return () => {
    globalThis.Date = date;
    ahead = 0;
    globalThis.setTimeout = later;
    AbortSignal.timeout = timeout;
    math.random = random;
  };
}

/** A stall of S3, 10 s, is noticed in 200 ms; an UploadPart of a minute given up after 1.5 s, for which a busy machine has time. */
const TIMES = 50;
const REQUEST_TIMES = 100;
const LEAST_MS = 1_500;
const CALM_MS = 15_000;
