/** The allowed difference between the clock of a client and that of the service. */
export const CLOCK_TOLERANCE_MS = 2 * 3_600_000;

/** A Timestamp is valid from 2 h before its time until 2 h after, so a request could be replayed for 4 h. */
const WINDOW_MS = 2 * CLOCK_TOLERANCE_MS;

/** A Set holds at most 2^24 entries. A generation of this size covers over 3 TiB of parts. */
const GENERATION_SIZE = 4_000_000;

/**
 * The used nonces, in two generations. When the younger one is a window old, the older one is dropped as a whole. This
 * remembers each nonce for at least one window, at constant cost per request. The nonces are in memory only, so a request
 * from before a restart could be replayed after it.
 */
export class Nonces {
  #young = new Set<string>();
  #old = new Set<string>();
  #since = Number.NEGATIVE_INFINITY;

  /** Returns false if the nonce was used before. */
  use(secretId: string, nonce: string, now: number): boolean {
    this.#rotate(now);
    const entry = `${nonce} ${secretId}`;
    if (this.#young.has(entry) || this.#old.has(entry)) return false;
    this.#young.add(entry);
    return true;
  }

  #rotate(now: number): void {
    const age = now - this.#since;
    if (age < WINDOW_MS && this.#young.size < GENERATION_SIZE) return;
    this.#old = age < 2 * WINDOW_MS ? this.#young : new Set();
    this.#young = new Set();
    this.#since = now;
  }
}
