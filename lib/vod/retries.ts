import pRetry from 'p-retry';
import { QuotaExceeded, VodUnavailable } from '../errors.ts';
import { reportRetries } from '../invocation/progress.ts';
import type { Action, Quota } from '../quota/quota.ts';

/** Retries inside an invocation, with exponential backoff and jitter. The state machine does the later ones. */
const RETRY = { retries: 4, minTimeout: 200, factor: 3, maxTimeout: 5_000, randomize: true } as const;

/** How often VOD may reject a request because of the quota. Each time, all processes pause. */
const MAX_REJECTIONS = 5;

/**
 * VOD itself reports that the quota is used up: other programs use the account too. Retried after a pause of all processes,
 * without a further delay.
 */
export class VodQuotaExceeded extends QuotaExceeded {}

/**
 * Takes a call from the quota for each attempt, and repeats `request` while it throws {VodUnavailable} or {VodQuotaExceeded}.
 * @throws its last error, {QuotaExceeded}, or the reason of the signal
 */
export async function withRetries<T>(
  quota: Quota,
  action: Action,
  signal: AbortSignal,
  request: () => Promise<T>,
): Promise<T> {
  let lastError: Error | undefined;
  const attempt = async (attempts: number): Promise<T> => {
    if (attempts > 1) reportRetries({ of: 'VOD', count: 1 });
    for (let rejections = 1; ; rejections++) {
      await quota.take(action, signal);
      try {
        return await request();
      } catch (error) {
        if (!(error instanceof VodQuotaExceeded)) throw error;
        lastError = error;
        await quota.pause(action); // the next `take` waits for its end
        if (rejections === MAX_REJECTIONS) throw error;
      }
    }
  };
  try {
    return await pRetry(attempt, {
      ...RETRY,
      signal,
      shouldRetry: ({ error }) => {
        lastError = error;
        return error instanceof VodUnavailable;
      },
    });
  } catch (error) {
    throw signal.aborted && lastError ? lastError : error; // more informative than the end of the time
  }
}
