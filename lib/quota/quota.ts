import type { QuotaSettings, VodApiVersion } from '../config.ts';
import { type Clock, systemClock } from '../invocation/deadline.ts';
import { createMemoryCounter, type WindowCounter } from './counter.ts';
import { PART_WINDOWS, WindowedRateLimiter } from './rate-limiter.ts';

/**
 * The calls per minute or second that VOD grants an account, shared by all processes through a table. A table belongs to one account.
 * See docs/decisions/0006-quota-in-windows.md.
 */

/** A call to VOD, or `StartExecution`: the trigger starts uploads no faster than VOD can open them. */
export type Action = keyof typeof WINDOWS | keyof typeof CALLS_PER_SECOND | 'SmallFileUpload';

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
   * Pauses this action in all processes, for five of its windows (`WINDOWS`), or two seconds if its limit is per second. Calls
   * that a process has already leased may still start.
   * @throws as `take` does
   */
  pause(action: Action): Promise<void>;
}>;

type Limits = Pick<QuotaSettings, 'api' | 'callsPerMinute' | 'partsPerMinute' | 'minuteMs' | 'maxFunctions'>;

export type QuotaOptions = Partial<Limits> &
  Readonly<{
    /** The length of a second. Tests shorten it. */
    secondMs?: number;
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

/**
 * The limits of API 2018-07-17. VOD documents those of the three uploads. The others are not documented: 20 is what it documents
 * for similar calls.
 */
const CALLS_PER_SECOND = {
  ApplyUpload: 100,
  CommitUpload: 100,
  PullUpload: 100,
  ModifyMediaInfo: 20,
  DescribeMediaInfos: 20,
  DescribeFileAttributes: 20,
  DescribeTaskDetail: 20,
} as const;

/** The executions that may start per minute: as VOD opens uploads, or three for each function where VOD opens 6,000. */
const STARTS_PER_MINUTE: Readonly<
  Record<VodApiVersion, (limits: Pick<Limits, 'callsPerMinute' | 'maxFunctions'>) => number>
> = {
  '2.0': ({ callsPerMinute }) => callsPerMinute,
  '2018-07-17': ({ maxFunctions }) => Math.min(3_000, Math.max(100, 3 * maxFunctions)),
};

/** Windows per second. A second has one window of half of its limit, because a shorter one ends before a lease arrives. */
const WINDOWS_PER_SECOND = 2;

/** The function waits, and costs money, no longer than this. The state machine does the longer waits. */
const MAX_WAIT_MS = 5_000;

export function createQuota({
  api = '2.0',
  maxFunctions = 1_000,
  callsPerMinute = 100,
  partsPerMinute = 10_000,
  minuteMs = 60_000,
  secondMs = 1_000,
  maxWaitMs = MAX_WAIT_MS,
  clock = systemClock,
  counter = createMemoryCounter(clock),
  random = Math.random,
}: QuotaOptions): Quota {
  const createLimiter = (action: string, limit: number, windows: number, period: 'minute' | 'second') =>
    new WindowedRateLimiter({
      action,
      limit,
      windows,
      period,
      periodMs: period === 'minute' ? minuteMs : secondMs,
      maxWaitMs,
      counter,
      clock,
      random,
    });
  const perMinute = (action: keyof typeof WINDOWS, limit: number): WindowedRateLimiter =>
    createLimiter(action, limit, WINDOWS[action], 'minute');
  /** `SmallFileUpload` has no limit. */
  const limiters: Partial<Record<Action, WindowedRateLimiter>> = {
    StartExecution: perMinute('StartExecution', STARTS_PER_MINUTE[api]({ callsPerMinute, maxFunctions })),
    InitUpload: perMinute('InitUpload', callsPerMinute),
    FinishUpload: perMinute('FinishUpload', callsPerMinute),
    UploadPart: perMinute('UploadPart', partsPerMinute),
    ...Object.fromEntries(
      Object.entries(CALLS_PER_SECOND).map(([action, limit]) => [
        action,
        createLimiter(action, limit, WINDOWS_PER_SECOND, 'second'),
      ]),
    ),
  };
  return {
    take: async (action, signal) => limiters[action]?.take(signal),
    pause: async (action) => limiters[action]?.pause(),
  };
}
