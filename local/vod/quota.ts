/** The documented calls per minute of an account. SmallFileUpload has no documented limit. */
const CALLS_PER_MINUTE = { InitUpload: 100, FinishUpload: 100, UploadPart: 10_000 };

export type QuotaOptions = Readonly<{
  minuteMs: number;
  /** UploadPart calls per minute. A shorter minute needs fewer to keep the documented rate. */
  parts?: number;
}>;

/**
 * A sliding minute for each action. An authenticated call counts, whatever its result. A call that exceeds the quota does
 * not count, so a client that retries is accepted as soon as the quota allows it.
 */
export class Quota {
  readonly #minuteMs: number;
  readonly #recent: ReadonlyMap<string, RecentCalls>;

  constructor({ minuteMs, parts = CALLS_PER_MINUTE.UploadPart }: QuotaOptions) {
    this.#minuteMs = minuteMs;
    const limits = Object.entries({ ...CALLS_PER_MINUTE, UploadPart: parts });
    this.#recent = new Map(limits.map(([action, limit]) => [action, new RecentCalls(limit)]));
  }

  /** Counts the call and returns 0, or returns the ms until the quota allows it. */
  take(action: string, now: number): number {
    const recent = this.#recent.get(action);
    if (recent === undefined) return 0;
    const wait = recent.oldest + this.#minuteMs - now;
    if (wait > 0) return wait;
    recent.add(now);
    return 0;
  }
}

/** The times of the last calls, as many as a minute allows. A call is allowed when the oldest is a minute old. */
class RecentCalls {
  readonly #times: Float64Array;
  #next = 0;

  constructor(limit: number) {
    this.#times = new Float64Array(limit).fill(Number.NEGATIVE_INFINITY);
  }

  get oldest(): number {
    return this.#times[this.#next] ?? Number.NEGATIVE_INFINITY;
  }

  add(time: number): void {
    this.#times[this.#next] = time;
    this.#next = (this.#next + 1) % this.#times.length;
  }
}
