/** At most `limit` events within any `windowMs`. An event that exceeds the limit does not count. */
export class SlidingWindow {
  readonly #windowMs: number;
  /** The times of the last events, as many as the window allows. `#next` is the index of the oldest. */
  readonly #times: Float64Array;
  #next = 0;

  constructor(limit: number, windowMs: number) {
    this.#windowMs = windowMs;
    this.#times = new Float64Array(limit).fill(Number.NEGATIVE_INFINITY);
  }

  /** Counts the event and returns 0, or returns the ms until the limit allows it. */
  take(now: number): number {
    const oldest = this.#times[this.#next] ?? Number.NEGATIVE_INFINITY;
    if (oldest + this.#windowMs > now) return oldest + this.#windowMs - now;
    this.#times[this.#next] = now;
    this.#next = (this.#next + 1) % this.#times.length;
    return 0;
  }
}
