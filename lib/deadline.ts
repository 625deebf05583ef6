/** Time of one invocation as a budget, in milliseconds. */
export type Deadline = Readonly<{
  /** Time left for work; what it takes to hand over is already kept back. Never below 0. */
  remaining: () => number;
  /** Whether work that takes `ms` can still be done. */
  hasTimeFor: (ms: number) => boolean;
  /** The whole limit of the invocation, as it stood when the invocation began. */
  limit: number;
  /** Aborts when the time for work is over: what is then in flight is given up and handed over as not done. */
  signal: AbortSignal;
  /** Stops the timer behind `signal`. */
  release: () => void;
}>;

/** Kept back to abort what is in flight, to settle it, and to reply: a tenth of the limit, at least 0.2 s, at most 10 s. */
export const shutdownReserveMs = (limit: number): number => Math.min(10_000, Math.max(200, limit / 10));

/**
 * @param msLeft the invocation's own clock: Lambda's `context.getRemainingTimeInMillis`
 * @param ended aborts when the invocation is ended from outside, as the local engine does when it stops
 */
export function deadlineFrom(msLeft: () => number, ended?: AbortSignal): Deadline {
  const limit = msLeft();
  const reserve = shutdownReserveMs(limit);
  const remaining = (): number => (ended?.aborted ? 0 : Math.max(0, msLeft() - reserve));
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
    signal: ended ? AbortSignal.any([controller.signal, ended]) : controller.signal,
    release: () => clearTimeout(timer),
  };
}

/** The reason that `Deadline.signal` aborts with; no failure: whoever asked the deadline hands over what is left. */
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
