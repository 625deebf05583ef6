import pRetry from 'p-retry';
import * as v from 'valibot';
import { AwsServiceError, JsonClient } from '../aws/json-client.ts';
import { InvalidSetting } from '../errors.ts';

/** DynamoDB, of which one operation is needed: what rate-limiter-flexible asks of a table that is there. */

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html */
export type UpdateItem = Readonly<{
  TableName: string;
  Key: Readonly<{ key: Readonly<{ S: string }> }>;
  UpdateExpression: string;
  ConditionExpression?: string;
  ExpressionAttributeValues: Readonly<Record<string, Readonly<{ N: string }>>>;
  ReturnValues: 'ALL_NEW';
}>;

const Numeric = v.object({ N: v.string() });
const Updated = v.object({
  Attributes: v.object({ key: v.object({ S: v.string() }), points: Numeric, expire: Numeric }),
});

export type Dynamo = Readonly<{
  /** @throws {AwsServiceError} {Error} of the connection, the credentials, or the time */
  updateItem(input: UpdateItem): Promise<v.InferOutput<typeof Updated>>;
  close(): void;
}>;

const DYNAMODB = { name: 'dynamodb', target: 'DynamoDB_20120810', json: '1.0' } as const;

/** Milliseconds for one request, and with its repeats. */
const TIMEOUTS = { connectionTimeout: 1_000, requestTimeout: 1_000, throwOnRequestTimeout: true };
const ANSWER_MS = 3_000;
const RETRY = { retries: 2, minTimeout: 50, randomize: true };

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html, "OK to retry?" */
const THROTTLED = new Set([
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'ThrottlingException',
]);
const isRetryable = (error: Error): boolean =>
  !(error instanceof AwsServiceError) || error.$metadata.httpStatusCode >= 500 || THROTTLED.has(error.name);

/**
 * @param endpoint in place of the region's own
 * @throws {InvalidSetting} without a region
 */
export function createDynamoClient(region: string | undefined, endpoint: string | undefined): Dynamo {
  if (!region) throw new InvalidSetting('setting AWS_REGION is missing: QUOTA_TABLE names a table there');
  const client = new JsonClient(DYNAMODB, { region, endpoint }, TIMEOUTS);
  return {
    async updateItem(input) {
      const signal = AbortSignal.timeout(ANSWER_MS);
      const answer = await pRetry(() => client.call('UpdateItem', input, signal), {
        ...RETRY,
        signal,
        shouldRetry: ({ error }) => isRetryable(error),
      });
      return v.parse(Updated, answer);
    },
    close: () => client.close(),
  };
}
