import { SlidingWindow } from '../sliding-window.ts';

/** The documented calls per minute of an account. SmallFileUpload has no documented limit. */
const CALLS_PER_MINUTE = { InitUpload: 100, FinishUpload: 100, UploadPart: 10_000 };

/** The calls of API 2018-07-17. Documented for the calls that open and commit uploads, and applied to every call. */
const CALLS_PER_SECOND = 100;

export type QuotaOptions = Readonly<{
  minuteMs: number;
  /** UploadPart calls per minute. A shorter minute needs fewer to keep the documented rate. */
  parts?: number;
}>;

/**
 * A sliding minute for each action of API 2.0. An authenticated call counts, whatever its result. A call that exceeds the
 * quota does not count, so a client that retries is accepted as soon as the quota allows it.
 */
export class Quota {
  readonly #windows: ReadonlyMap<string, SlidingWindow>;

  constructor({ minuteMs, parts = CALLS_PER_MINUTE.UploadPart }: QuotaOptions) {
    const limits = Object.entries({ ...CALLS_PER_MINUTE, UploadPart: parts });
    this.#windows = new Map(limits.map(([action, limit]) => [action, new SlidingWindow(limit, minuteMs)]));
  }

  /** Counts the call and returns 0, or returns the ms until the quota allows it. */
  take(action: string, now: number): number {
    return this.#windows.get(action)?.take(now) ?? 0;
  }
}

/** The same for API 2018-07-17, whose window is a second: a sixtieth of `minuteMs`. */
export class RequestLimit {
  readonly #windowMs: number;
  readonly #windows = new Map<string, SlidingWindow>();

  constructor({ minuteMs }: QuotaOptions) {
    this.#windowMs = minuteMs / 60;
  }

  take(action: string, now: number): number {
    const window = this.#windows.get(action) ?? new SlidingWindow(CALLS_PER_SECOND, this.#windowMs);
    this.#windows.set(action, window);
    return window.take(now);
  }
}
