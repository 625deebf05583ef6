import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import { CreateTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { QUOTA_TABLE } from '../../lib/quota/quota.ts';

// The package has no types.
const dynalite: (options: { createTableMs: number }) => Server = createRequire(import.meta.url)('dynalite');

/** A DynamoDB that is not ours, in memory; it listens nowhere yet. */
export const newDynamo = (): Server => dynalite({ createTableMs: 0 });

/** The table of the account's quota, named `quota`. */
export async function createQuotaTable(client: DynamoDBClient): Promise<void> {
  const { AttributeDefinitions, KeySchema, BillingMode } = QUOTA_TABLE;
  await client.send(
    new CreateTableCommand({
      TableName: 'quota',
      BillingMode,
      AttributeDefinitions: [...AttributeDefinitions],
      KeySchema: [...KeySchema],
    }),
  );
}
