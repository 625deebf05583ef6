import * as v from 'valibot';
import { type AwsServiceDefinition, createJsonClient, isPermanent } from '../aws/json-client.ts';
import type { QuotaSettings } from '../config.ts';
import { errorMessage, InvalidSetting, QuotaExceeded } from '../errors.ts';

/** Counts calls by time window: in a DynamoDB table that all processes share, or in the memory of one process. */

/** `calls`: calls counted in the window. `pausedUntil`: number of the first window in which calls may start again, or 0. */
export type WindowCount = Readonly<{ calls: number; pausedUntil: number }>;

/** `key` names one window of one action. `expire`: Unix time in seconds after which the count can be deleted. */
export type CountedWindow = Readonly<{ key: string; expire: number }>;

export type WindowCounter = Readonly<{
  /**
   * Adds `calls` to the count of a window and returns the new count. A retry after a lost response can count the calls
   * twice. They are never counted less than once.
   * @throws {QuotaExceeded} when the table does not respond or throttles
   * @throws {InvalidSetting} when the table is missing, has another key, or may not be written
   */
  add(window: CountedWindow, calls: number): Promise<WindowCount>;
  /** Marks a window as paused. @throws as `add` does */
  pause(window: CountedWindow, pausedUntil: number): Promise<void>;
  /** Closes idle connections. */
  close(): void;
}>;

export function createMemoryCounter(): WindowCounter {
  const windows = new Map<string, { expire: number; count: WindowCount }>();
  const update = (
    { key, expire }: CountedWindow,
    change: (count: WindowCount) => WindowCount,
  ): WindowCount => {
    for (const [oldest, window] of windows) {
      if (window.expire * 1000 > Date.now()) break;
      windows.delete(oldest);
    }
    const count = change(windows.get(key)?.count ?? { calls: 0, pausedUntil: 0 });
    windows.set(key, { expire, count });
    return count;
  };
  return {
    add: async (window, calls) => update(window, (count) => ({ ...count, calls: count.calls + calls })),
    pause: async (window, pausedUntil) => void update(window, (count) => ({ ...count, pausedUntil })),
    close() {},
  };
}

/** The definition of the table, in the terms of CloudFormation and `CreateTable`. */
export const QUOTA_TABLE = {
  AttributeDefinitions: [{ AttributeName: 'key', AttributeType: 'S' }],
  KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
  BillingMode: 'PAY_PER_REQUEST',
  TimeToLiveSpecification: { AttributeName: 'expire', Enabled: true },
} as const;

const DYNAMODB: AwsServiceDefinition = {
  name: 'dynamodb',
  target: 'DynamoDB_20120810',
  json: '1.0',
  timeouts: { connect: 1_000, response: 1_000, call: 3_000 },
  retryDelayMs: 50,
};

const Numeric = v.pipe(
  v.object({ N: v.string() }),
  v.transform(({ N }) => Number(N)),
  v.safeInteger(),
);
const UpdateItemResponse = v.object({
  Attributes: v.object({ calls: Numeric, pausedUntil: v.optional(Numeric, { N: '0' }) }),
});

/** @throws {InvalidSetting} when the region is missing */
export function createTableCounter(
  table: string,
  { region, endpoint }: Pick<QuotaSettings, 'region' | 'endpoint'>,
): WindowCounter {
  if (!region)
    throw new InvalidSetting('setting AWS_REGION: missing. QUOTA_TABLE needs a region. Set AWS_REGION.');
  const client = createJsonClient(DYNAMODB, { region, endpoint });

  /** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html */
  const update = async <const S extends v.GenericSchema>(
    { key, expire }: CountedWindow,
    expression: string,
    value: number,
    schema: S,
  ): Promise<v.InferOutput<S>> => {
    const input = {
      TableName: table,
      Key: { key: { S: key } },
      UpdateExpression: expression,
      ExpressionAttributeValues: { ':expire': { N: String(expire) }, ':value': { N: String(value) } },
      ReturnValues: 'ALL_NEW',
    };
    try {
      return await client.call('UpdateItem', input, schema);
    } catch (error) {
      throw toQuotaError(error, table);
    }
  };
  return {
    add: async (window, calls) =>
      (await update(window, 'SET expire = :expire ADD calls :value', calls, UpdateItemResponse)).Attributes,
    pause: async (window, pausedUntil) =>
      void (await update(window, 'SET expire = :expire, pausedUntil = :value', pausedUntil, v.unknown())),
    close: () => client.close(),
  };
}

const HINTS: Readonly<Record<string, string>> = {
  ResourceNotFoundException: 'not found. Check QUOTA_TABLE and the region',
  ValidationException: 'wrong key schema, expected `key` (S). Check QUOTA_TABLE',
  AccessDeniedException:
    'access denied. Check QUOTA_TABLE, and allow dynamodb:UpdateItem in the policy of the function',
  UnrecognizedClientException: 'unknown credentials. Check QUOTA_TABLE and the AWS credentials',
};

function toQuotaError(error: unknown, table: string): InvalidSetting | QuotaExceeded {
  const [ErrorClass, problem] = isPermanent(error)
    ? [InvalidSetting, HINTS[error.name] ?? 'not usable. Check QUOTA_TABLE']
    : [QuotaExceeded, 'no count received, so no call may start. Retrying later'];
  return new ErrorClass(`quota table ${table}: ${problem} (${errorMessage(error)}).`, { cause: error });
}
