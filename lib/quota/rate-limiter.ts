import { QuotaExceeded } from '../errors.ts';
import { type Clock, waitUnlessAborted } from '../invocation/deadline.ts';
import type { CountedWindow, WindowCounter } from './counter.ts';

/**
 * A minute has 99 windows, and each allows a hundredth of the quota, because VOD counts a sliding minute. Each window is
 * longer by `SLACK` of a minute, so a call may arrive up to 1.2 s late. docs/decisions/0006-quota-in-windows.md proves it.
 */
export const PART_WINDOWS = 100;
const SLACK = 0.02;

/**
 * Divides the period of a limit, which is a minute or a second, into `windows - 1` windows. With fewer windows, more calls can
 * start at the same time.
 * @param limit calls per period, at least `windows`
 */
export const dividePeriod = (limit: number, periodMs: number, windows: number) => ({
  /** Calls per window. */
  calls: Math.floor(limit / windows),
  /** Length of a window. Window n starts n times this after the Unix epoch, so all processes agree on the windows. */
  ms: (periodMs * (1 + SLACK)) / (windows - 1),
  /** A lease stays valid for this time after its window: half of the slack. The rest is for the network and the clocks. */
  graceMs: (periodMs * SLACK) / 2,
});

/** The most calls in one lease, which is one write to the table. The decision lists the writes per part. */
const MAX_LEASE = 25;

/**
 * In windows. Per minute: about 3 s for parts, and 6 s for InitUpload and FinishUpload, whose windows are longer. Per second: at
 * least one whole window, after which a sliding second has forgotten all calls.
 */
const PAUSE_WINDOWS = { minute: 5, second: 2 } as const;

/** A count outlives its window by this time, so clock differences up to it are safe. */
const RETENTION_MS = 600_000;

type Options = Readonly<{
  action: string;
  /** Calls per period. */
  limit: number;
  windows: number;
  /** The period that VOD counts, and its length. */
  period: 'minute' | 'second';
  periodMs: number;
  maxWaitMs: number;
  counter: WindowCounter;
  clock: Clock;
  /** Returns a number from 0 to below 1. */
  random: () => number;
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
  readonly #windows: ReturnType<typeof dividePeriod>;
  /** In order of arrival. */
  readonly #waiting = new Set<Waiter>();
  #draining = false;
  /** Ends the sleep of the queue. */
  #sleeping: AbortController | undefined;
  #lease = { left: 0, until: 0 };
  /** Time before which a lease cannot succeed. */
  #notBefore = 0;
  /** Number of the first window after the pause. */
  #pausedUntil = 0;
  #rate = { window: 0, calls: 0, callsBefore: 0 };

  constructor(options: Options) {
    this.#options = options;
    this.#windows = dividePeriod(options.limit, options.periodMs, options.windows);
  }

  /** @throws {QuotaExceeded} when the wait would be too long; the errors of the counter; the reason of the signal */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const now = this.#options.clock.now();
    if (this.#waiting.size === 0 && this.#useLease(now)) return;
    const latest = now + this.#options.maxWaitMs;
    const turn = this.#estimateTurn(this.#waiting.size, now);
    if (turn > latest) throw this.#waitTooLongError(turn - latest);

    const waiter = { latest, ...Promise.withResolvers<void>() };
    this.#waiting.add(waiter);
    const turnCame = waitUnlessAborted(waiter, signal, () => {
      this.#waiting.delete(waiter);
      if (this.#waiting.size === 0) this.#sleeping?.abort();
    });
    if (!this.#draining) void this.#drainQueue();
    await turnCame;
  }

  async pause(): Promise<void> {
    const window = this.#windowAt(this.#options.clock.now());
    const from = Math.max(window, this.#pausedUntil); // VOD rejects many calls at the same time: only the first one writes
    const until = window + PAUSE_WINDOWS[this.#options.period];
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
        const now = this.#options.clock.now();
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
    const ahead = Math.min(Math.ceil(expected) + 1, Math.floor(calls / 4));
    return Math.min(MAX_LEASE, calls, Math.max(this.#waiting.size, ahead));
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
    const time = Math.ceil((window + this.#options.random() * jitter) * this.#windows.ms);
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
    const { action, limit, period, maxWaitMs } = this.#options;
    return new QuotaExceeded(
      `${action}: the quota of ${limit} calls per ${period} is used up. Expected a wait of at most ${maxWaitMs} ms, ` +
        `got about ${Math.ceil(maxWaitMs + excessMs)} ms. Retrying later.`,
    );
  }

  /** Ends early when no call waits any more. */
  async #sleep(ms: number): Promise<void> {
    this.#sleeping = new AbortController();
    const { signal } = this.#sleeping;
    await this.#options.clock.sleep(ms, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  readonly #windowAt = (now: number): number => Math.floor(now / this.#windows.ms);

  #countedWindow(window: number): CountedWindow {
    return {
      key: `${this.#options.action}:${window}`,
      expire: Math.ceil(((window + 1) * this.#windows.ms + RETENTION_MS) / 1000),
    };
  }
}
