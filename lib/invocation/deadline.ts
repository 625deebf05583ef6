/** The time of one invocation, in milliseconds. */
export type Deadline = Readonly<{
  /** The time left for work, without the shutdown reserve. Never negative. */
  remaining: () => number;
  /** Whether there is time for work that takes `ms`. */
  hasTimeFor: (ms: number) => boolean;
  /** The time that the invocation had at its start, with the shutdown reserve. */
  limit: number;
  /** Aborts the requests in flight when the time for work is over. */
  signal: AbortSignal;
  /** Stops the timer behind `signal`. */
  release: () => void;
}>;

/** The time to abort requests, settle them, and return: a tenth of the limit, but at least 0.2 s and at most 10 s. */
export const shutdownReserveMs = (limit: number): number => Math.min(10_000, Math.max(200, limit / 10));

/**
 * @param msLeft the clock of the invocation: Lambda's `context.getRemainingTimeInMillis`
 * @param stopped aborts when the local engine stops
 */
export function deadlineFrom(msLeft: () => number, stopped?: AbortSignal): Deadline {
  const limit = msLeft();
  const reserve = shutdownReserveMs(limit);
  const remaining = (): number => (stopped?.aborted ? 0 : Math.max(0, msLeft() - reserve));
  const controller = new AbortController();
  const timer = setTimeout(
    () => controller.abort(new DeadlineExceeded(`the time limit of ${limit} ms was over`)),
    remaining(),
  );
  timer.unref();
  return {
    remaining,
    hasTimeFor: (ms) => remaining() > ms,
    limit,
    signal: stopped ? AbortSignal.any([controller.signal, stopped]) : controller.signal,
    release: () => clearTimeout(timer),
  };
}

/** The abort reason of `Deadline.signal`. It is not a failure: the invocation returns a checkpoint. */
export class DeadlineExceeded extends Error {
  override readonly name = 'DeadlineExceeded';
}

/** Waits for `waiter`. When the signal aborts first, calls `onAbort` and rejects the waiter with the reason of the signal. */
export async function waitUnlessAborted<T>(
  waiter: PromiseWithResolvers<T>,
  signal: AbortSignal,
  onAbort: () => void,
): Promise<T> {
  const abort = (): void => {
    onAbort();
    waiter.reject(signal.reason);
  };
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await waiter.promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Milliseconds since 1970, and waits. The fleet simulator has its own clock. */
export type Clock = Readonly<{
  now(): number;
  /** Resolves after `ms`. @throws the reason of the signal, as soon as it aborts */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}>;

export const systemClock: Clock = {
  now: () => Date.now(),
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    const waiter = Promise.withResolvers<void>();
    const timer = setTimeout(waiter.resolve, ms);
    const stop = (): void => clearTimeout(timer);
    await (signal ? waitUnlessAborted(waiter, signal, stop) : waiter.promise);
  },
};
