import { QuotaExceeded } from '../errors.ts';
import { retryUnavailable } from '../invocation/retries.ts';
import type { Action, Quota } from '../quota/quota.ts';

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
export function withRetries<T>(
  quota: Quota,
  action: Action,
  signal: AbortSignal,
  request: () => Promise<T>,
): Promise<T> {
  return retryUnavailable(signal, async (_, remember) => {
    for (let rejections = 1; ; rejections++) {
      await quota.take(action, signal);
      try {
        return await request();
      } catch (error) {
        if (!(error instanceof VodQuotaExceeded)) throw error;
        remember(error);
        await quota.pause(action); // the next `take` waits for its end
        if (rejections === MAX_REJECTIONS) throw error;
      }
    }
  });
}
