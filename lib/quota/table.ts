import * as v from 'valibot';
import {
  type AwsServiceDefinition,
  AwsServiceError,
  createJsonClient,
  isPermanent,
} from '../aws/json-client.ts';
import { errorMessage, InvalidSetting, QuotaExceeded } from '../errors.ts';

/** The DynamoDB table that all functions of a stack share. It belongs to one VOD account. */

/** The definition of the table, in the terms of CloudFormation and `CreateTable`. */
export const QUOTA_TABLE = {
  AttributeDefinitions: [{ AttributeName: 'key', AttributeType: 'S' }],
  KeySchema: [{ AttributeName: 'key', KeyType: 'HASH' }],
  BillingMode: 'PAY_PER_REQUEST',
  TimeToLiveSpecification: { AttributeName: 'expire', Enabled: true },
} as const;

export const NumberAttribute = v.pipe(
  v.object({ N: v.string() }),
  v.transform(({ N }) => Number(N)),
  v.safeInteger(),
);

/** An attribute in the notation of DynamoDB: `{ N: '1' }`. */
export type Attribute = { N: string } | { S: string } | { M: Record<string, Attribute> };

/**
 * Each call throws {QuotaExceeded} when the table does not respond or throttles, and {InvalidSetting} when it is missing, has
 * another key, or may not be used.
 */
export type QuotaTable = Readonly<{
  /** Updates one item, creates it if necessary, and returns the response with all new attributes. */
  update<const S extends v.GenericSchema>(
    key: string,
    expression: string,
    values: Readonly<Record<string, Attribute>>,
    schema: S,
    options?: Readonly<{ names?: Readonly<Record<string, string>>; condition?: string }>,
  ): Promise<v.InferOutput<S>>;
  /** Returns the response with the attributes of one item, if there is one. */
  read<const S extends v.GenericSchema>(key: string, schema: S): Promise<v.InferOutput<S>>;
  /** Closes idle connections. */
  close(): void;
}>;

const DYNAMODB: AwsServiceDefinition = {
  name: 'dynamodb',
  target: 'DynamoDB_20120810',
  json: '1.0',
  timeouts: { connect: 1_000, response: 1_000, call: 3_000 },
  retryDelayMs: 50,
};

/** @throws {InvalidSetting} when the region is missing */
export function connectTable(
  table: string,
  { region, endpoint }: Readonly<{ region?: string | undefined; endpoint?: string | undefined }>,
): QuotaTable {
  if (!region)
    throw new InvalidSetting('setting AWS_REGION: missing. QUOTA_TABLE needs a region. Set AWS_REGION.');
  const client = createJsonClient(DYNAMODB, { region, endpoint });
  const call = async <const S extends v.GenericSchema>(
    operation: string,
    key: string,
    input: object,
    schema: S,
  ) => {
    try {
      return await client.call(operation, { TableName: table, Key: { key: { S: key } }, ...input }, schema);
    } catch (error) {
      throw toQuotaError(error, table);
    }
  };
  return {
    update: (key, expression, values, schema, { names, condition } = {}) =>
      call(
        'UpdateItem',
        key,
        {
          UpdateExpression: expression,
          ...(Object.keys(values).length > 0 && { ExpressionAttributeValues: values }),
          ...(names && { ExpressionAttributeNames: names }),
          ...(condition && { ConditionExpression: condition }),
          ReturnValues: 'ALL_NEW',
        },
        schema,
      ),
    read: (key, schema) => call('GetItem', key, {}, schema),
    close: () => client.close(),
  };
}

/** Whether the condition of an update did not hold. */
export const isConditionFailed = (error: unknown): boolean =>
  error instanceof InvalidSetting &&
  error.cause instanceof AwsServiceError &&
  error.cause.name === 'ConditionalCheckFailedException';

const HINTS: Readonly<Record<string, string>> = {
  ResourceNotFoundException: 'not found. Check QUOTA_TABLE and the region',
  ValidationException: 'wrong key schema, expected `key` (S). Check QUOTA_TABLE',
  AccessDeniedException:
    'access denied. Check QUOTA_TABLE, and allow dynamodb:UpdateItem and dynamodb:GetItem in the policy of the function',
  UnrecognizedClientException: 'unknown credentials. Check QUOTA_TABLE and the AWS credentials',
};

function toQuotaError(error: unknown, table: string): InvalidSetting | QuotaExceeded {
  const [ErrorClass, problem] = isPermanent(error)
    ? [InvalidSetting, HINTS[error.name] ?? 'not usable. Check QUOTA_TABLE']
    : [QuotaExceeded, 'no count received, so no call may start. Retrying later'];
  return new ErrorClass(`quota table ${table}: ${problem} (${errorMessage(error)}).`, { cause: error });
}
