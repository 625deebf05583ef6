/** How far a client's clock may be off, either way. */
export const CLOCK_TOLERANCE_MS = 2 * 3_600_000;

/**
 * A request may be repeated for as long as its Timestamp is accepted: from 2 h before the service's clock says so
 * until 2 h after.
 */
const WINDOW_MS = 2 * CLOCK_TOLERANCE_MS;

/** A Set holds 2^24 entries and then throws; a generation of this size is over 3 TiB of parts. */
const GENERATION_SIZE = 4_000_000;

/**
 * The nonces seen, in two generations: when the younger one has lasted a whole window, the older one is forgotten at
 * a stroke. So each is remembered for at least a window, at a constant cost per request. In memory only: a request
 * from before a restart could be replayed after it.
 */
export class Nonces {
  #young = new Set<string>();
  #old = new Set<string>();
  #since = Number.NEGATIVE_INFINITY;

  /** False when this one was used before. */
  use(secretId: string, nonce: string, now: number): boolean {
    this.#age(now);
    const entry = `${nonce} ${secretId}`;
    if (this.#young.has(entry) || this.#old.has(entry)) return false;
    this.#young.add(entry);
    return true;
  }

  #age(now: number): void {
    const lasted = now - this.#since;
    if (lasted < WINDOW_MS && this.#young.size < GENERATION_SIZE) return;
    this.#old = lasted < 2 * WINDOW_MS ? this.#young : new Set();
    this.#young = new Set();
    this.#since = now;
  }
}
