import { createHash } from 'node:crypto';
import RateLimiterDynamo from 'rate-limiter-flexible/lib/RateLimiterDynamo.js';
import RateLimiterMemory from 'rate-limiter-flexible/lib/RateLimiterMemory.js';
import type { QuotaSettings } from '../config.ts';
import { errorMessage, InvalidSetting, QuotaExceeded } from '../errors.ts';
import { createDynamoClient, type Dynamo } from './dynamodb.ts';
import { WINDOWS, type WindowCounter, WindowedRateLimiter, windowsOf } from './rate-limiter.ts';

/** The quota that VOD gives an account, shared by all processes through a table, or kept in memory where there is one process. */

/** What has a limit; `SmallFileUpload` has none. */
type Limited = 'InitUpload' | 'FinishUpload' | 'UploadPart';
export type Action = Limited | 'SmallFileUpload';

export type Quota = Readonly<{
  /**
   * Settles when the call may be made: now, or after a short wait. A call taken is a call counted, made or not.
   * @throws {QuotaExceeded} where the wait would be long, or the table cannot be asked: never an unlimited run
   * @throws {InvalidSetting} where the table is missing or another's
   * @throws the signal's reason, as soon as it aborts
   */
  take(action: Action, signal: AbortSignal): Promise<void>;
  /**
   * After VOD found the quota exceeded (code 4400): everybody pauses this action for five windows, 3 s of parts or 16 s of
   * another call, but for the few calls they have in hand.
   * @throws as `take` does
   */
  pause(action: Action): Promise<void>;
  /** Closes kept-alive connections to the table. */
  close(): void;
}>;

export type QuotaOptions = Partial<QuotaSettings> &
  Readonly<{
    /** Whose quota it is. Only its hash is written down. */
    account: string;
    longestWaitMs?: number;
    dynamo?: Dynamo;
  }>;

/** The table, as CloudFormation and `CreateTable` put it. The names are rate-limiter-flexible's. */
export const QUOTA_TABLE = {
  AttributeDefinitions: [{ AttributeName: 'key', AttributeType: 'S' }],
  KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
  BillingMode: 'PAY_PER_REQUEST',
  TimeToLiveSpecification: { AttributeName: 'expire', Enabled: true },
} as const;

/** Of 100 calls a minute, 5 may be made at once: some objects dropped together do not wait. 95 % of the quota is usable. */
const CALL_WINDOWS = 20;

/** A paid function waits no longer than this; the state machine does. */
const LONGEST_WAIT_MS = 5_000;

export function createQuota({
  table,
  account,
  callsPerMinute = 100,
  partsPerMinute = 10_000,
  minuteMs = 60_000,
  region,
  endpoint,
  ...options
}: QuotaOptions): Quota {
  const longestWaitMs = options.longestWaitMs ?? LONGEST_WAIT_MS;
  const dynamo = table === undefined ? undefined : (options.dynamo ?? createDynamoClient(region, endpoint));
  const turnstile = (action: Limited, limit: number, windows: number): WindowedRateLimiter => {
    const ledger = createCounter({
      action,
      account,
      windowMs: windowsOf(limit, minuteMs, windows).ms,
      table,
      dynamo,
    });
    return new WindowedRateLimiter({ action, limit, windows, minuteMs, longestWaitMs, ledger });
  };
  const turnstiles = {
    InitUpload: turnstile('InitUpload', callsPerMinute, CALL_WINDOWS),
    FinishUpload: turnstile('FinishUpload', callsPerMinute, CALL_WINDOWS),
    UploadPart: turnstile('UploadPart', partsPerMinute, WINDOWS),
  };
  return {
    async take(action, signal) {
      if (action !== 'SmallFileUpload') await turnstiles[action].take(signal);
    },
    async pause(action) {
      if (action !== 'SmallFileUpload') await turnstiles[action].pause();
    },
    close() {
      dynamo?.close();
    },
  };
}

/**
 * A window's count is kept under the window's number modulo this, so a table holds no more than 3,000 small items, whether
 * or not its expired ones are deleted. A count lives for half of the way around, about 5 minutes.
 *
 * The store lets the writer's clock say what has expired. A count could be begun anew too early, and calls be let go twice,
 * only by a clock that is ahead by those 5 minutes; one that is behind by as much as that finds old counts and waits. A
 * skew of less shifts that process's windows: up to the slack (`lib/quota/rate-limiter.ts`) nothing comes of it, and beyond
 * it a minute may see calls of one window more for each 0.6 s. Lambda's clocks are within milliseconds.
 */
const WINDOW_SLOTS = 1_000;

type Counted = Readonly<{
  action: Limited;
  account: string;
  windowMs: number;
  table: string | undefined;
  dynamo: Dynamo | undefined;
}>;

/**
 * The limiter is used as a counter that adds and tells in one step: `penalty` does that, where `consume` would
 * reject with an object that is no error, and say the same.
 *
 * Its DynamoDB store adds in two conditional writes: begin the count if there is none or it has expired, else add to it. Each is
 * atomic. The second is tried whatever the first failed of, and an answer that was lost is asked for again: both may
 * count calls twice that are made once. Never the other way around.
 */
function createCounter({ action, account, windowMs, table, dynamo }: Counted): WindowCounter {
  const duration = (windowMs * WINDOW_SLOTS) / 2 / 1000;
  const keyPrefix = createHash('sha256').update(account).digest('hex').slice(0, 16);
  const options = { keyPrefix, points: 1, duration };
  const limiter =
    dynamo && table !== undefined
      ? new RateLimiterDynamo({
          ...options,
          storeClient: dynamo,
          tableName: table,
          tableCreated: true, // else it would create the table
          ttlSet: true, // else it would ask, and set it
        })
      : new RateLimiterMemory(options);

  const keyOf = (window: number): string => `${action}:${window % WINDOW_SLOTS}`;
  const told = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await answer;
    } catch (error) {
      throw toQuotaError(error, `${action}: quota table ${table}`);
    }
  };
  return {
    add: async (window, calls) => (await told(limiter.penalty(keyOf(window), calls))).consumedPoints,
    set: async (window, calls) => void (await told(limiter.set(keyOf(window), calls, duration))),
  };
}

/** Answers that stay the same until somebody changes something. */
const HINTS = new Map([
  ['ResourceNotFoundException', 'is missing: check the setting QUOTA_TABLE, and the region'],
  [
    'ValidationException',
    'is not made for this: the setting QUOTA_TABLE names another, or its key is not `key` (S)',
  ],
  ['AccessDeniedException', "may not be written (setting QUOTA_TABLE): check the function's policy"],
  ['UnrecognizedClientException', 'may not be written (setting QUOTA_TABLE): check the credentials'],
]);

function toQuotaError(error: unknown, about: string): InvalidSetting | QuotaExceeded {
  const hint = error instanceof Error ? HINTS.get(error.name) : undefined;
  const reason = errorMessage(error);
  return hint === undefined
    ? new QuotaExceeded(`${about} cannot be asked, and no call is made unasked: ${reason}`, { cause: error })
    : new InvalidSetting(`${about} ${hint}: ${reason}`, { cause: error });
}
