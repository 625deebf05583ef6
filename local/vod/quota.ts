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
  /** The times of the last calls, as many as a minute allows. `next` is the index of the oldest. */
  readonly #recent: ReadonlyMap<string, { times: Float64Array; next: number }>;

  constructor({ minuteMs, parts = CALLS_PER_MINUTE.UploadPart }: QuotaOptions) {
    this.#minuteMs = minuteMs;
    const limits = Object.entries({ ...CALLS_PER_MINUTE, UploadPart: parts });
    const never = Number.NEGATIVE_INFINITY;
    this.#recent = new Map(
      limits.map(([action, limit]) => [action, { times: new Float64Array(limit).fill(never), next: 0 }]),
    );
  }

  /** Counts the call and returns 0, or returns the ms until the quota allows it. */
  take(action: string, now: number): number {
    const recent = this.#recent.get(action);
    if (recent === undefined) return 0;
    const oldest = recent.times[recent.next] ?? Number.NEGATIVE_INFINITY;
    if (oldest + this.#minuteMs > now) return oldest + this.#minuteMs - now;
    recent.times[recent.next] = now;
    recent.next = (recent.next + 1) % recent.times.length;
    return 0;
  }
}
