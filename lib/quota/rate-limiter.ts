import { waitUnlessAborted } from '../deadline.ts';
import { QuotaExceeded } from '../errors.ts';
import type { CountedWindow, WindowCounter } from './counter.ts';

/**
 * VOD counts calls in a sliding minute. A counter of fixed minutes would allow twice the quota around the end of a minute.
 * So the minute is divided into 99 windows, and each window allows a hundredth of the quota. A sliding minute touches at
 * most 100 of these windows, so it never exceeds the quota, and 99 % of the quota is usable.
 *
 * This holds when a call arrives within its window. Calls arrive later: they wait, they travel, and clocks differ. A delay
 * that is the same for all calls is harmless; differences are not. So each window is longer by 2 % of a minute. A call may
 * arrive up to 1.2 s late, and 97 % of the quota remain usable.
 */
export const PART_WINDOWS = 100;
const SLACK = 0.02;

export type Windows = Readonly<{
  /** Calls per window. */
  calls: number;
  /** Length of a window. Window n starts n times this after the Unix epoch, so all processes agree on the windows. */
  ms: number;
  /** A lease stays valid for this time after its window: half of the slack. The rest is for the network and the clocks. */
  graceMs: number;
}>;

/**
 * Divides a minute into `windows - 1` windows. With fewer windows, more calls can start at the same time.
 * @param limit calls per minute, at least `windows`
 */
export const divideMinute = (limit: number, minuteMs: number, windows: number): Windows => ({
  calls: Math.floor(limit / windows),
  ms: (minuteMs * (1 + SLACK)) / (windows - 1),
  graceMs: (minuteMs * SLACK) / 2,
});

/**
 * The most calls in one lease. A lease is one write to the table, and one more each time it meets a full window. A write
 * for each part would cost $0.00064 per GiB of 1,024 parts (on demand, $0.625 per million writes). With leases, the
 * simulation in `test/unit/quota/rate-limiter.test.ts` measures these writes per part:
 *
 * - one process that uses the whole quota: 0.05, which is $0.00003 per GiB
 * - 8 processes that share it: 0.13, $0.00008
 * - 40 processes that all want more: 0.32, $0.0002
 * - one process that sends 4 parts per second: 0.41, $0.0003
 */
const MAX_LEASE = 25;

/**
 * Length of a pause in windows: about 3 s for parts, and 16 s for InitUpload and FinishUpload, whose windows are longer.
 * In this time VOD's sliding minute forgets a twentieth of the parts and a quarter of the other calls.
 */
const PAUSE_WINDOWS = 5;

/** A count outlives its window by this time, so clock differences up to it are safe. */
const RETENTION_MS = 600_000;

type Options = Readonly<{
  action: string;
  /** Calls per minute. */
  limit: number;
  windows: number;
  minuteMs: number;
  maxWaitMs: number;
  counter: WindowCounter;
  /** Keeps accounts apart in the counter. */
  keyPrefix: string;
}>;

type Waiter = PromiseWithResolvers<void> & { readonly latest: number };

/**
 * Starts the calls of one action in this process in the order of their arrival, from leases of several calls.
 *
 * There are no reservations. A process that finds a window full learns from the count how many calls are ahead of it, and
 * comes back in the window in which it expects its turn. So waiting processes come back a few at a time, and a pause reaches
 * every process with its next lease.
 */
export class WindowedRateLimiter {
  readonly #options: Options;
  readonly #windows: Windows;
  /** In order of arrival. */
  readonly #waiting = new Set<Waiter>();
  #draining = false;
  #wake: (() => void) | undefined;
  #lease = { left: 0, until: 0 };
  /** Time before which a lease cannot succeed. */
  #notBefore = 0;
  /** Number of the first window after the pause. */
  #pausedUntil = 0;
  #rate = { window: 0, calls: 0, callsBefore: 0 };

  constructor(options: Options) {
    this.#options = options;
    this.#windows = divideMinute(options.limit, options.minuteMs, options.windows);
  }

  /** @throws {QuotaExceeded} when the wait would be too long; the errors of the counter; the reason of the signal */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const now = Date.now();
    if (this.#waiting.size === 0 && this.#useLease(now)) return;
    const latest = now + this.#options.maxWaitMs;
    const turn = this.#estimateTurn(this.#waiting.size, now);
    if (turn > latest) throw this.#waitTooLongError(turn - latest);

    const waiter = { latest, ...Promise.withResolvers<void>() };
    this.#waiting.add(waiter);
    const turnCame = waitUnlessAborted(waiter, signal, () => {
      this.#waiting.delete(waiter);
      if (this.#waiting.size === 0) this.#wake?.();
    });
    if (!this.#draining) void this.#drainQueue();
    await turnCame;
  }

  async pause(): Promise<void> {
    const window = this.#windowAt(Date.now());
    const from = Math.max(window, this.#pausedUntil); // VOD rejects many calls at the same time: only the first one writes
    const until = window + PAUSE_WINDOWS;
    if (from >= until) return;
    this.#pausedUntil = until;
    this.#lease.left = 0;
    this.#retryInWindow(until, 1);
    try {
      for (let paused = from; paused < until; paused++) {
        await this.#options.counter.pause(this.#countedWindow(paused), until);
      }
    } catch (error) {
      this.#pausedUntil = from; // the next rejected call tries again
      throw error;
    }
  }

  /** Runs while calls wait. */
  async #drainQueue(): Promise<void> {
    this.#draining = true;
    try {
      for (let hasAsked = false; ; ) {
        const now = Date.now();
        for (const waiter of this.#waiting) {
          if (!this.#useLease(now)) break;
          this.#waiting.delete(waiter);
          waiter.resolve();
        }
        const isEarly = now < this.#notBefore;
        if (isEarly || hasAsked) this.#rejectLateWaiters(now); // a call whose timer fired a moment late still gets its turn
        if (this.#waiting.size === 0) return;
        hasAsked = !isEarly;
        if (isEarly) await this.#sleep(this.#notBefore - now);
        else await this.#acquireLease(now);
      }
    } catch (error) {
      for (const { reject } of this.#waiting) reject(error);
      this.#waiting.clear();
    } finally {
      this.#draining = false;
    }
  }

  async #acquireLease(now: number): Promise<void> {
    const window = this.#windowAt(now);
    const size = this.#leaseSize(now, window);
    const count = await this.#options.counter.add(this.#countedWindow(window), size);

    const pausedUntil = Math.max(count.pausedUntil, this.#pausedUntil); // this process may have paused during the request
    if (window < pausedUntil) return this.#retryInWindow(pausedUntil, 1);

    // The lease covers calls number `before` and following. Those within the limit of the window may start.
    const before = count.calls - size;
    const left = Math.min(size, Math.max(0, this.#windows.calls - before));
    this.#lease = { left, until: (window + 1) * this.#windows.ms + this.#windows.graceMs };
    // A small jitter: each window has enough calls for the processes that come back in it.
    if (left < size)
      this.#retryInWindow(window + Math.max(1, Math.floor(before / this.#windows.calls)), 1 / 8);
  }

  /** The calls that wait; or, if more, what the recent rate needs until the end of the window, plus one. */
  #leaseSize(now: number, window: number): number {
    const { ms, calls } = this.#windows;
    const rate = this.#rateIn(window);
    const elapsed = now - window * ms;
    const expected = ((rate.callsBefore + rate.calls) / (ms + elapsed)) * (ms - elapsed);
    return Math.min(MAX_LEASE, calls, Math.max(this.#waiting.size, Math.ceil(expected) + 1));
  }

  #useLease(now: number): boolean {
    if (this.#lease.left === 0 || now > this.#lease.until) return false;
    this.#lease.left--;
    this.#rateIn(this.#windowAt(now)).calls++;
    return true;
  }

  #rateIn(window: number): { calls: number; callsBefore: number } {
    const { window: last, calls } = this.#rate;
    if (window !== last) this.#rate = { window, calls: 0, callsBefore: window === last + 1 ? calls : 0 };
    return this.#rate;
  }

  /** @param jitter share of a window */
  #retryInWindow(window: number, jitter: number): void {
    const time = Math.ceil((window + Math.random() * jitter) * this.#windows.ms);
    this.#notBefore = Math.max(this.#notBefore, time);
  }

  /** The earliest time for a call with `ahead` other calls before it in this process. */
  #estimateTurn(ahead: number, now: number): number {
    return Math.max(now, this.#notBefore) + Math.floor(ahead / this.#windows.calls) * this.#windows.ms;
  }

  #rejectLateWaiters(now: number): void {
    let ahead = 0;
    for (const waiter of this.#waiting) {
      const turn = this.#estimateTurn(ahead, now);
      if (turn <= waiter.latest) {
        ahead++;
        continue;
      }
      this.#waiting.delete(waiter);
      waiter.reject(this.#waitTooLongError(turn - waiter.latest));
    }
  }

  #waitTooLongError(excessMs: number): QuotaExceeded {
    const { action, limit, maxWaitMs } = this.#options;
    return new QuotaExceeded(
      `${action}: the quota of ${limit} calls per minute is used up. Expected a wait of at most ${maxWaitMs} ms, ` +
        `got about ${Math.ceil(maxWaitMs + excessMs)} ms. Retrying later.`,
    );
  }

  /** Ends early when no call waits any more. */
  async #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }

  readonly #windowAt = (now: number): number => Math.floor(now / this.#windows.ms);

  #countedWindow(window: number): CountedWindow {
    const { keyPrefix, action } = this.#options;
    return {
      key: `${keyPrefix}:${action}:${window}`,
      expire: Math.ceil(((window + 1) * this.#windows.ms + RETENTION_MS) / 1000),
    };
  }
}
