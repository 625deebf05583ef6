import type { QuotaSettings } from '../config.ts';
import { type Clock, systemClock } from '../invocation/deadline.ts';
import { createMemoryCounter, type WindowCounter } from './counter.ts';
import { PART_WINDOWS, WindowedRateLimiter } from './rate-limiter.ts';

/**
 * The calls per minute that VOD grants an account, shared by all processes through a table. A table belongs to one account.
 * See docs/decisions/0006-quota-in-windows.md.
 */

/** A call to VOD, or `StartExecution`: the trigger starts uploads no faster than VOD can open them. */
export type Action = 'StartExecution' | 'InitUpload' | 'FinishUpload' | 'UploadPart' | 'SmallFileUpload';

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
   * Pauses this action in all processes, for five of its windows (`WINDOWS`). Calls that a process has already leased may still
   * start.
   * @throws as `take` does
   */
  pause(action: Action): Promise<void>;
}>;

export type QuotaOptions = Partial<Pick<QuotaSettings, 'callsPerMinute' | 'partsPerMinute' | 'minuteMs'>> &
  Readonly<{
    /** The longest wait inside `take`. */
    maxWaitMs?: number;
    /** Default: in memory. */
    counter?: WindowCounter;
    clock?: Clock;
    random?: () => number;
  }>;

/**
 * Windows per minute. More windows make more of the quota usable, and fewer let more calls start at the same time. The trigger
 * starts executions a little slower than VOD opens uploads (93 % and 96 % of the quota), so Init rarely waits.
 */
const WINDOWS = { StartExecution: 20, InitUpload: 50, FinishUpload: 50, UploadPart: PART_WINDOWS } as const;

/** The function waits, and costs money, no longer than this. The state machine does the longer waits. */
const MAX_WAIT_MS = 5_000;

export function createQuota({
  callsPerMinute = 100,
  partsPerMinute = 10_000,
  minuteMs = 60_000,
  maxWaitMs = MAX_WAIT_MS,
  clock = systemClock,
  counter = createMemoryCounter(clock),
  random = Math.random,
}: QuotaOptions): Quota {
  const createLimiter = (action: keyof typeof WINDOWS, limit: number): WindowedRateLimiter =>
    new WindowedRateLimiter({
      action,
      limit,
      windows: WINDOWS[action],
      minuteMs,
      maxWaitMs,
      counter,
      clock,
      random,
    });
  /** `SmallFileUpload` has no limit. */
  const limiters: Partial<Record<Action, WindowedRateLimiter>> = {
    StartExecution: createLimiter('StartExecution', callsPerMinute),
    InitUpload: createLimiter('InitUpload', callsPerMinute),
    FinishUpload: createLimiter('FinishUpload', callsPerMinute),
    UploadPart: createLimiter('UploadPart', partsPerMinute),
  };
  return {
    take: async (action, signal) => limiters[action]?.take(signal),
    pause: async (action) => limiters[action]?.pause(),
  };
}
