import { createHash } from 'node:crypto';
import type { QuotaSettings } from '../config.ts';
import { createMemoryCounter, createTableCounter, type WindowCounter } from './counter.ts';
import { PART_WINDOWS, WindowedRateLimiter } from './rate-limiter.ts';

/** The calls per minute that VOD grants an account, shared by all processes through a table. See docs/decisions/0006-quota-in-windows.md. */

export type Action = 'InitUpload' | 'FinishUpload' | 'UploadPart' | 'SmallFileUpload';

export type Quota = Readonly<{
  /**
   * Resolves when the caller may make the call: now, or after a short wait. The call counts from then on, whether or not
   * the caller makes it.
   * @throws {QuotaExceeded} when the wait would be long, or the table does not respond
   * @throws {InvalidSetting} when the table is missing, has another key, or may not be written
   * @throws the reason of the signal, as soon as it aborts
   */
  take(action: Action, signal: AbortSignal): Promise<void>;
  /**
   * Pauses this action in all processes after VOD reports that the quota is used up (code 4400). The pause lasts five
   * windows: 3 s for parts, 16 s for other calls. Calls that a process has already leased may still start.
   * @throws as `take` does
   */
  pause(action: Action): Promise<void>;
  /** Closes idle connections to the table. */
  close(): void;
}>;

export type QuotaOptions = Partial<QuotaSettings> &
  Readonly<{
    /** The account that owns the quota. The table stores only its hash. */
    account: string;
    maxWaitMs?: number;
    counter?: WindowCounter;
  }>;

/** 5 of 100 calls per minute fit into one window, so a few objects that arrive together do not wait. 95 % of the quota is usable. */
const CALL_WINDOWS = 20;

/** The function waits, and costs money, no longer than this. The state machine does the longer waits. */
const MAX_WAIT_MS = 5_000;

export function createQuota({
  table,
  region,
  endpoint,
  account,
  callsPerMinute = 100,
  partsPerMinute = 10_000,
  minuteMs = 60_000,
  maxWaitMs = MAX_WAIT_MS,
  counter = table === undefined ? createMemoryCounter() : createTableCounter(table, { region, endpoint }),
}: QuotaOptions): Quota {
  const keyPrefix = createHash('sha256').update(account).digest('hex').slice(0, 16);
  const createLimiter = (action: Action, limit: number, windows: number): WindowedRateLimiter =>
    new WindowedRateLimiter({ action, limit, windows, minuteMs, maxWaitMs, counter, keyPrefix });
  /** `SmallFileUpload` has no limit. */
  const limiters: Partial<Record<Action, WindowedRateLimiter>> = {
    InitUpload: createLimiter('InitUpload', callsPerMinute, CALL_WINDOWS),
    FinishUpload: createLimiter('FinishUpload', callsPerMinute, CALL_WINDOWS),
    UploadPart: createLimiter('UploadPart', partsPerMinute, PART_WINDOWS),
  };
  return {
    take: async (action, signal) => limiters[action]?.take(signal),
    pause: async (action) => limiters[action]?.pause(),
    close: () => counter.close(),
  };
}
