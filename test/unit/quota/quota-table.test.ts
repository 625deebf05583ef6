import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CreateTableCommand, DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { QUOTA_TABLE } from '../../../lib/quota/counter.ts';
import { createQuota, type Quota, type QuotaOptions } from '../../../lib/quota/quota.ts';
import { divideMinute, PART_WINDOWS } from '../../../lib/quota/rate-limiter.ts';
import { maxCallsPerMinute, recordedTake, startCallers } from '../../support/callers.ts';
import { createDynalite, createQuotaTable } from '../../support/dynamo.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { failureOf, never } from '../../support/values.ts';

useCredentials();

describe('a quota in a table of dynalite', () => {
  const server = createDynalite();
  const operations = new Set<unknown>();
  server.on('request', ({ headers }: IncomingMessage) => operations.add(headers['x-amz-target']));
  const quotas: Quota[] = [];

  const location = () => ({
    region: 'eu-central-1',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
  const create = (options: Omit<QuotaOptions, 'region' | 'endpoint'>): Quota => {
    const quota = createQuota({ ...options, ...location() });
    quotas.push(quota);
    return quota;
  };

  beforeAll(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const client = new DynamoDBClient(location());
    await createQuotaTable(client);
    await client.send(
      new CreateTableCommand({
        TableName: 'other',
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      }),
    );
    client.destroy();
    operations.clear();
  });
  afterAll(async () => {
    for (const quota of quotas) quota.close();
    await new Promise((resolve) => server.close(resolve));
  });

  let accounts = 0;
  /** Two processes of a new account. */
  const createTwo = (options: Partial<QuotaOptions> = {}): [Quota, Quota] => {
    const account = `AKID${++accounts}`;
    const createOne = () => create({ table: 'quota', account, ...options });
    return [createOne(), createOne()];
  };

  test('two processes together never exceed the quota of calls', async () => {
    const minuteMs = 2_000;
    const until = Date.now() + minuteMs * 1.1;
    const times: number[] = [];
    await Promise.all(
      createTwo({ minuteMs, maxWaitMs: 60_000 }).flatMap((quota) =>
        startCallers(5, until, recordedTake(quota, 'InitUpload', times)),
      ),
    );
    expect(maxCallsPerMinute(times, minuteMs)).toBeLessThanOrEqual(100);
    expect(times.length).toBeGreaterThan(0);
  });

  test('two processes together never exceed the quota of parts: a tenth of a minute touches at most 12 windows', async () => {
    const minuteMs = 10_000;
    const until = Date.now() + minuteMs * 0.15;
    const times: number[] = [];
    await Promise.all(
      createTwo({ minuteMs, maxWaitMs: 60_000 }).flatMap((quota) =>
        startCallers(32, until, recordedTake(quota, 'UploadPart', times)),
      ),
    );
    expect(maxCallsPerMinute(times, minuteMs / 10)).toBeLessThanOrEqual(1_200);
    // The speed of the machine decides how many more: rate-limiter.test.ts shows the use of the quota in virtual time.
    expect(times.length).toBeGreaterThan(0);
  });

  test('a pause stops the other process too, for that action only', async () => {
    const [one, other] = createTwo({ maxWaitMs: 500 });
    await one.pause('UploadPart');
    expect(await failureOf(other.take('UploadPart', never))).toMatchObject({
      name: 'QuotaExceeded',
      message: expect.stringMatching(/^UploadPart: .* got about \d{4} ms\. Retrying later\.$/),
    });
    await other.take('FinishUpload', never);
  });

  test('the other process continues after the pause', async () => {
    const minuteMs = 6_000;
    const [one, other] = createTwo({ minuteMs });
    const start = Date.now();
    await one.pause('UploadPart');
    await other.take('UploadPart', never);
    expect(Date.now() - start).toBeGreaterThanOrEqual(4 * divideMinute(10_000, minuteMs, PART_WINDOWS).ms);
  });

  test('items separate the accounts, hide their names, and expire; only UpdateItem is called', async () => {
    const separate = ['AKIDone', 'AKIDtwo'].map((account) =>
      create({ table: 'quota', account, maxWaitMs: 0 }),
    );
    for (const quota of separate) await quota.take('InitUpload', never);
    expect([...operations]).toEqual(['DynamoDB_20120810.UpdateItem']);
    const client = new DynamoDBClient(location());
    const { Items = [] } = await client.send(new ScanCommand({ TableName: 'quota' }));
    client.destroy();
    expect(Items.length).toBeGreaterThanOrEqual(2);
    for (const { key, expire, ...others } of Items) {
      expect(key?.S).toMatch(/^[0-9a-f]{16}:(InitUpload|FinishUpload|UploadPart):\d+$/);
      expect(['calls', 'pausedUntil']).toEqual(expect.arrayContaining(Object.keys(others)));
      expect(Number(expire?.N)).toBeGreaterThan(Date.now() / 1_000 + 300);
      expect(Number(expire?.N)).toBeLessThan(Date.now() / 1_000 + 3_600);
    }
    expect(Object.keys(Items[0] ?? {})).toContain(QUOTA_TABLE.TimeToLiveSpecification.AttributeName);
  });

  test.each([
    ['missing', /^quota table missing: not found\. Check QUOTA_TABLE and the region \(Resource.+\)\.$/],
    [
      'other',
      /^quota table other: wrong key schema, expected `key` \(S\)\. Check QUOTA_TABLE \(Validation.+\)\.$/,
    ],
  ])('an error names the table and the setting: %s', async (table, message) => {
    const quota = create({ table, account: 'AKIDexample' });
    for (const call of [() => quota.take('InitUpload', never), () => quota.pause('InitUpload')]) {
      expect(await failureOf(call())).toMatchObject({
        name: 'InvalidSetting',
        message: expect.stringMatching(message),
      });
    }
  });
});
