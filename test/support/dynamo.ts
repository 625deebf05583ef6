import { once } from 'node:events';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { onTestFinished } from 'vitest';
import { QUOTA_TABLE } from '../../lib/quota/table.ts';

// The package has no types.
const dynalite: (options: { createTableMs: number }) => Server = createRequire(import.meta.url)('dynalite');

/** A DynamoDB server in memory that does not listen yet. */
export const createDynalite = (): Server => dynalite({ createTableMs: 0 });

/** Creates a table with the key of the quota table, or with another key. */
export async function createQuotaTable(
  client: DynamoDBClient,
  TableName = 'quota',
  AttributeName = QUOTA_TABLE.KeySchema[0].AttributeName as string,
): Promise<void> {
  await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: QUOTA_TABLE.BillingMode,
      AttributeDefinitions: [{ AttributeName, AttributeType: 'S' }],
      KeySchema: [{ AttributeName, KeyType: 'HASH' }],
    }),
  );
}

/** Starts dynalite with the table `quota` until the end of the test. */
export async function startQuotaTable() {
  const server = createDynalite();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const location = { region: 'eu-central-1', endpoint: `http://127.0.0.1:${port}` };
  const client = new DynamoDBClient(location);
  onTestFinished(async () => {
    client.destroy();
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  await createQuotaTable(client);
  return { server, client, location };
}
