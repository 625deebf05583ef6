/** Calls a minute for the whole account, as documented; SmallFileUpload has no stated limit. */
const PER_MINUTE = { InitUpload: 100, FinishUpload: 100, UploadPart: 10_000 };

export type QuotaOptions = Readonly<{
  minuteMs: number;
  /** UploadPart calls in that minute: to keep the documented pace where the minute is shorter. */
  parts?: number;
}>;

/**
 * A sliding minute for each action. A call counts once it is authenticated, whatever becomes of it; a call refused
 * for the quota does not count, so a client that keeps knocking is let in as soon as there is room.
 */
export class Quota {
  readonly #minuteMs: number;
  readonly #recent: ReadonlyMap<string, Recent>;

  constructor({ minuteMs, parts = PER_MINUTE.UploadPart }: QuotaOptions) {
    this.#minuteMs = minuteMs;
    const limits = Object.entries({ ...PER_MINUTE, UploadPart: parts });
    this.#recent = new Map(limits.map(([action, limit]) => [action, new Recent(limit)]));
  }

  /** Milliseconds until the call would be let in; 0 when it is, and then it counts. */
  take(action: string, now: number): number {
    const recent = this.#recent.get(action);
    if (recent === undefined) return 0;
    const wait = recent.oldest() + this.#minuteMs - now;
    if (wait > 0) return wait;
    recent.add(now);
    return 0;
  }
}

/** The times of the last calls, as many as a minute may have: there is room when the oldest is a minute old. */
class Recent {
  readonly #times: Float64Array;
  #next = 0;

  constructor(limit: number) {
    this.#times = new Float64Array(limit).fill(Number.NEGATIVE_INFINITY);
  }

  oldest(): number {
    return this.#times[this.#next] ?? Number.NEGATIVE_INFINITY;
  }

  add(time: number): void {
    this.#times[this.#next] = time;
    this.#next = (this.#next + 1) % this.#times.length;
  }
}
