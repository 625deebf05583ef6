import { QuotaExceeded } from '../errors.ts';

/**
 * The queue before one action, in this process, and the windows that time is cut into for all processes.
 *
 * VOD counts a sliding minute. Counted in fixed minutes, the calls of two that touch could all come around the border:
 * twice the quota. So a window is a 99th of a minute, and a hundredth of the quota may be called in it: whichever way a
 * minute slides, it touches at most 100 windows. Used to the full that is 99 % of the quota.
 *
 * That would hold for calls that arrive in the window that they were let go in. They arrive later: let go a little after
 * the window's end, underway for a while, by a clock that is not quite right. What all calls come late alike does no
 * harm; a difference does. So a window is longer by `SLACK`: a call may come up to 2 % of a minute (1.2 s) late. 97 % are left.
 */
export const WINDOWS = 100;
const SLACK = 0.02;

export type Windows = Readonly<{
  /** Calls in a window. */
  calls: number;
  /** Milliseconds. Window n begins at n of these after the epoch, so all processes agree on them unasked. */
  ms: number;
  /** How long after its end a window's calls may still be let go: half of the slack. The rest is the network's and the clocks'. */
  lateMs: number;
}>;

/**
 * @param limit calls a minute, at least `windows`
 * @param windows into fewer of them the minute is cut where a few calls at once shall not wait for each other
 */
export const windowsOf = (limit: number, minuteMs: number, windows = WINDOWS): Windows => ({
  calls: Math.floor(limit / windows),
  ms: (minuteMs * (1 + SLACK)) / (windows - 1),
  lateMs: (minuteMs * SLACK) / 2,
});

/** Where all processes write down the calls that they take. */
export type WindowCounter = Readonly<{
  /** Adds `calls` to those of a window. @returns how many there are now */
  add(window: number, calls: number): Promise<number>;
  set(window: number, calls: number): Promise<void>;
}>;

/**
 * Calls taken at once, at most. A lease is one or two writes to the table, and as many again for each time that it has to come
 * back. A write for each part would be two in truth, $0.0013 for a GiB of 1,024 parts (on demand, $0.625 for a million). Leases,
 * as simulated in `test/unit/quota/quota-table.test.ts`: one process with the whole quota makes 0.09 writes a part, $0.00006 for a GiB;
 * eight that share it 0.25, $0.00016; forty that all want more 0.6, $0.0004. One that sends 4 parts a second makes 0.5, $0.0003.
 */
const LARGEST_LEASE = 25;

/**
 * How long nobody calls after a 4400, in windows: about 3 s for parts, and 16 s for InitUpload and FinishUpload, whose windows are
 * longer. A twentieth of the minute's parts are forgotten by then, and a quarter of its other calls.
 */
const PAUSE_WINDOWS = 5;

/** Written into the ledger for each window that a pause has left, the present one included. No window sees as many calls. */
const PAUSE_SENTINEL = 1_000_000;

type Options = Readonly<{
  action: string;
  limit: number;
  /** Into how many, less one, the minute is cut. */
  windows: number;
  minuteMs: number;
  longestWaitMs: number;
  ledger: WindowCounter;
}>;

type Waiter = Readonly<{ latest: number; resolve: () => void; reject: (error: unknown) => void }>;

/**
 * Lets calls go in the order in which they came, out of leases of several. There is no reserving: who finds a window full
 * learns from the ledger how many asked before, and comes again in the window in which those will be through. So waiting
 * processes come a few at a time, each about when it is its turn, and a pause reaches everybody with the next lease.
 */
export class WindowedRateLimiter {
  readonly #options: Options;
  readonly #windows: Windows;
  /** A Set keeps the order, and whoever gives up leaves it at once. */
  readonly #waiting = new Set<Waiter>();
  #draining = false;
  #wake: (() => void) | undefined;
  #lease = { left: 0, until: 0 };
  /** No use in asking before. */
  #notBefore = 0;
  #pausedUntil = 0; // a window's number
  #rate = { window: 0, calls: 0, callsBefore: 0 };

  constructor(options: Options) {
    this.#options = options;
    this.#windows = windowsOf(options.limit, options.minuteMs, options.windows);
  }

  /** @throws {QuotaExceeded} when it is not the caller's turn within the longest wait; what the ledger throws; the signal's reason */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const now = Date.now();
    if (this.#waiting.size === 0 && this.#useLease(now)) return;
    const latest = now + this.#options.longestWaitMs;
    const turn = this.#estimateTurn(this.#waiting.size, now);
    if (turn > latest) throw this.#waitTooLongError(turn - latest);

    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { latest, resolve, reject };
    const leave = (): void => {
      this.#waiting.delete(waiter);
      reject(signal.reason);
      if (this.#waiting.size === 0) this.#wake?.();
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#waiting.add(waiter);
    if (!this.#draining) void this.#drainQueue();
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** Stops all processes for a while: for when VOD finds the quota exceeded, as it is when somebody else uses it too. */
  async pause(): Promise<void> {
    const window = this.#windowAt(Date.now());
    const from = Math.max(window, this.#pausedUntil); // many calls are refused at once: the first of them has done it
    const until = window + PAUSE_WINDOWS;
    if (from >= until) return;
    this.#pausedUntil = until;
    this.#lease.left = 0;
    this.#retryInWindow(until, 1);
    try {
      for (let paused = from; paused < until; paused++) {
        await this.#options.ledger.set(paused, PAUSE_SENTINEL * (until - paused));
      }
    } catch (error) {
      this.#pausedUntil = from; // the next that is refused tells it again
      throw error;
    }
  }

  /** Runs while anybody waits. */
  async #drainQueue(): Promise<void> {
    this.#draining = true;
    try {
      for (let asked = false; ; ) {
        const now = Date.now();
        for (const waiter of this.#waiting) {
          if (!this.#useLease(now)) break;
          this.#waiting.delete(waiter);
          waiter.resolve();
        }
        const early = now < this.#notBefore;
        if (early || asked) this.#rejectLateWaiters(now); // who woke for a turn a moment too late still has it
        if (this.#waiting.size === 0) return;
        asked = !early;
        if (early) await this.#sleep(this.#notBefore - now);
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
    const calls = this.#leaseSize(now, window);
    const taken = await this.#options.ledger.add(window, calls);

    const pause = Math.floor(taken / PAUSE_SENTINEL);
    if (pause > 0) return this.#retryInWindow(window + pause, 1);
    if (window < this.#pausedUntil) return; // this process was told while it asked

    // Part of a lease is as good: the numbers of the calls are `before` and following, and those below the limit may go.
    const before = taken - calls;
    const left = Math.min(calls, Math.max(0, this.#windows.calls - before));
    this.#lease = { left, until: (window + 1) * this.#windows.ms + this.#windows.lateMs };
    // The jitter is small: as many come again in a window as its calls are enough for.
    if (left < calls)
      this.#retryInWindow(window + Math.max(1, Math.floor(before / this.#windows.calls)), 1 / 8);
  }

  /** How many calls to take: those that wait, or as many as the last window's pace needs in the rest of this one, and one to spare. */
  #leaseSize(now: number, window: number): number {
    const { ms, calls } = this.#windows;
    const rate = this.#rateIn(window);
    const gone = now - window * ms;
    const more = ((rate.callsBefore + rate.calls) / (ms + gone)) * (ms - gone);
    return Math.min(LARGEST_LEASE, calls, Math.max(this.#waiting.size, Math.ceil(more) + 1));
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

  #retryInWindow(window: number, jitter: number): void {
    const { ms } = this.#windows;
    const time = Math.ceil((window + Math.random() * jitter) * ms);
    this.#notBefore = Math.max(this.#notBefore, time);
  }

  /** When it is the turn of somebody with `ahead` before them in this process, at the earliest. */
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

  #waitTooLongError(tooLateMs: number): QuotaExceeded {
    const { action, limit, longestWaitMs } = this.#options;
    return new QuotaExceeded(
      `${action}: the account's quota of ${limit} calls a minute is in use: the longest wait is ${longestWaitMs} ms, this one ` +
        `would be about ${Math.ceil(longestWaitMs + tooLateMs)} ms`,
    );
  }

  /** Until then, or until nobody waits any more. */
  async #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }

  readonly #windowAt = (now: number): number => Math.floor(now / this.#windows.ms);
}
