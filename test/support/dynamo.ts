import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import { CreateTableCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { QUOTA_TABLE } from '../../lib/quota/counter.ts';

// The package has no types.
const dynalite: (options: { createTableMs: number }) => Server = createRequire(import.meta.url)('dynalite');

/** A DynamoDB server in memory that does not listen yet. */
export const createDynalite = (): Server => dynalite({ createTableMs: 0 });

/** Creates the quota table with the name `quota`. */
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
