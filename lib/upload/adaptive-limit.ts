import { QuotaExceeded } from '../errors.ts';

/** Fewer requests in flight than this send less than a request per second: a wait outside the function costs less. */
const MIN_LIMIT = 4;

/**
 * Limits the requests in flight of one invocation. A shortage of quota halves the limit, and each success raises it again, by
 * one per round of requests.
 */
export class AdaptiveLimit {
  readonly #max: number;
  #limit: number;
  #active = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param max the limit at first */
  constructor(max: number) {
    this.#max = max;
    this.#limit = max;
  }

  /**
   * Runs a request when the limit permits, and again after {QuotaExceeded}.
   * @throws {QuotaExceeded} if the quota is short although only a few requests were in flight; any other error of the request
   */
  async run<T>(request: () => Promise<T>): Promise<T> {
    for (;;) {
      while (this.#active >= Math.floor(this.#limit)) {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#waiting.push(resolve);
        await promise;
      }
      const limit = this.#limit;
      this.#active++;
      try {
        const result = await request();
        this.#limit = Math.min(this.#max, this.#limit + 1 / this.#limit);
        return result;
      } catch (error) {
        if (!(error instanceof QuotaExceeded) || limit <= MIN_LIMIT) throw error;
        this.#limit = Math.min(this.#limit, Math.max(MIN_LIMIT, limit / 2));
      } finally {
        this.#active--;
        for (const wake of this.#waiting.splice(0)) wake();
      }
    }
  }
}
