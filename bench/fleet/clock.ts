/**
 * Virtual time. The clock advances to the next timer only when no promise has anything left to do, so an hour of a fleet takes
 * as long as its computations.
 */

/** Timers are rounded up to ticks of this length: timers of one tick run together, which makes long simulations fast. */
export const TICK_MS = 20;

/** An arbitrary date, so that logs and names look plausible. A whole number of ticks. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

export type VirtualClock = Readonly<{
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after `ms`. Rejects with the reason of the signal. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `callback` after `ms`. Returns a function that cancels it. */
  schedule(ms: number, callback: () => void): () => void;
  /** Advances the time until `isDone`, or until no timer is left. Returns whether `isDone`. */
  run(isDone: () => boolean): Promise<boolean>;
}>;

type Timer = { callback: (() => void) | undefined };

export function createVirtualClock(): VirtualClock {
  const timers = new Map<number, Timer[]>();
  const ticks = createHeap();
  let tick = EPOCH_MS / TICK_MS;

  const schedule = (ms: number, callback: () => void): (() => void) => {
    const at = ms > 0 ? tick + Math.ceil(ms / TICK_MS) : tick;
    const timer: Timer = { callback };
    const others = timers.get(at);
    if (others) others.push(timer);
    else {
      timers.set(at, [timer]);
      ticks.push(at);
    }
    return () => {
      timer.callback = undefined;
    };
  };

  const sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
    if (!signal) return new Promise((resolve) => void schedule(ms, resolve));
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = (): void => {
        cancel();
        reject(signal.reason);
      };
      const cancel = schedule(ms, () => {
        signal.removeEventListener('abort', abort);
        resolve();
      });
      signal.addEventListener('abort', abort, { once: true });
    });
  };

  async function run(isDone: () => boolean): Promise<boolean> {
    await drainMicrotasks();
    while (!isDone()) {
      const next = ticks.pop();
      if (next === undefined) return false;
      const due = timers.get(next) ?? [];
      timers.delete(next);
      const live = due.filter(({ callback }) => callback);
      if (live.length === 0) continue;
      tick = next;
      for (const { callback } of live) callback?.(); // an earlier one may have cancelled it
      await drainMicrotasks();
    }
    return true;
  }

  return { now: () => tick * TICK_MS, sleep, schedule, run };
}

/**
 * All code of a simulation waits for promises and this clock only. Node.js runs `nextTick` callbacks only when no microtask is
 * left, and without a round of the event loop, which would take longer than most ticks.
 */
const drainMicrotasks = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

/** A binary heap of distinct numbers: `pop` returns the smallest. */
function createHeap(): { push(value: number): void; pop(): number | undefined } {
  const heap: number[] = [];
  const at = (index: number): number => heap[index] ?? Number.POSITIVE_INFINITY;
  return {
    push(value) {
      let index = heap.length;
      for (let parent = (index - 1) >> 1; index > 0 && at(parent) > value; parent = (index - 1) >> 1) {
        heap[index] = at(parent);
        index = parent;
      }
      heap[index] = value;
    },
    pop() {
      const [smallest] = heap;
      const last = heap.pop();
      if (last === undefined || heap.length === 0) return smallest;
      let index = 0;
      for (;;) {
        const left = 2 * index + 1;
        const child = at(left + 1) < at(left) ? left + 1 : left;
        if (at(child) >= last) break;
        heap[index] = at(child);
        index = child;
      }
      heap[index] = last;
      return smallest;
    },
  };
}
