import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CreateTableCommand, DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createQuota, QUOTA_TABLE, type Quota, type QuotaOptions } from '../../../lib/quota/quota.ts';
import { windowsOf } from '../../../lib/quota/rate-limiter.ts';
import { callers, mostInAMinute, recorded } from '../../support/callers.ts';
import { createQuotaTable, newDynamo } from '../../support/dynamo.ts';
import { failureOf, never } from '../../support/values.ts';

/** The account's quota over HTTP, in a table of a DynamoDB that is not ours. */
describe('with dynalite', () => {
  const server = newDynamo();
  const asked = new Set<unknown>();
  server.on('request', ({ headers }: IncomingMessage) => asked.add(headers['x-amz-target']));
  const quotas: Quota[] = [];

  const place = () => ({
    region: 'eu-central-1',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  });
  const make = (options: Omit<QuotaOptions, 'region' | 'endpoint'>): Quota => {
    const quota = createQuota({ ...options, ...place() });
    quotas.push(quota);
    return quota;
  };
  const client = (): DynamoDBClient => new DynamoDBClient(place());

  beforeAll(async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAEXAMPLE');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const sdk = client();
    await createQuotaTable(sdk);
    await sdk.send(
      new CreateTableCommand({
        TableName: 'another',
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      }),
    );
    sdk.destroy();
    asked.clear();
  });
  afterAll(async () => {
    for (const quota of quotas) quota.close();
    vi.unstubAllEnvs();
    await new Promise((resolve) => server.close(resolve));
  });

  let accounts = 0;
  /** Two processes of an account of its own. */
  const two = (options: Partial<QuotaOptions> = {}): [Quota, Quota] => {
    const account = `AKID${++accounts}`;
    const one = () => make({ table: 'quota', account, ...options });
    return [one(), one()];
  };

  test('two processes together never exceed the quota', async () => {
    const minuteMs = 2_000;
    const quotas = two({ minuteMs, longestWaitMs: 60_000 });
    const until = Date.now() + minuteMs * 1.1;
    const times: number[] = [];
    await Promise.all(quotas.flatMap((quota) => callers(5, until, recorded(quota, 'InitUpload', times))));
    expect(mostInAMinute(times, minuteMs)).toBeLessThanOrEqual(100);
    expect(times.length).toBeGreaterThan(0);
  });

  test('two processes together keep to the quota: a tenth of a minute touches at most 12 windows', async () => {
    const minuteMs = 10_000;
    const quotas = two({ minuteMs, longestWaitMs: 60_000 });
    const until = Date.now() + minuteMs * 0.15;
    const times: number[] = [];
    const take = (quota: Quota) => recorded(quota, 'UploadPart', times);
    await Promise.all(quotas.flatMap((quota) => callers(32, until, take(quota))));
    expect(mostInAMinute(times, minuteMs / 10)).toBeLessThanOrEqual(1_200);
    expect(times.length).toBeGreaterThan(0); // how many more is the machine's speed: near-full use is shown by the test's own clock above
  });

  test('slowDown stops the other process too, for that action', async () => {
    const [one, other] = two({ longestWaitMs: 500 });
    await one.pause('UploadPart');
    expect(await failureOf(other.take('UploadPart', never))).toMatchObject({
      name: 'QuotaExceeded',
      message: expect.stringMatching(/^UploadPart: .* would be about \d{4} ms$/),
    });
    await other.take('FinishUpload', never);
  });

  test('slowDown ends, and then the other process goes on', async () => {
    const minuteMs = 6_000;
    const [one, other] = two({ minuteMs });
    const start = Date.now();
    await one.pause('UploadPart');
    await other.take('UploadPart', never);
    expect(Date.now() - start).toBeGreaterThanOrEqual(4 * windowsOf(10_000, minuteMs).ms);
  });

  test('accounts are apart, and not to be read in the table; its items are not kept for ever', async () => {
    const quotas = ['AKIDone', 'AKIDtwo'].map((account) =>
      make({ table: 'quota', account, longestWaitMs: 0 }),
    );
    for (const quota of quotas) await quota.take('InitUpload', never);
    expect([...asked]).toEqual(['DynamoDB_20120810.UpdateItem']); // the table is neither made nor described
    const sdk = client();
    const { Items = [] } = await sdk.send(new ScanCommand({ TableName: 'quota' }));
    sdk.destroy();
    asked.clear();
    expect(Items.length).toBeGreaterThanOrEqual(2);
    for (const item of Items) {
      const { key, expire, ...others } = item;
      expect(key?.S).toMatch(/^[0-9a-f]{16}:(InitUpload|FinishUpload|UploadPart):\d{1,3}$/);
      expect(Object.keys(others)).toEqual(['points']);
      expect(Number(expire?.N)).toBeGreaterThan(Date.now() / 1_000 - 60);
      expect(Number(expire?.N)).toBeLessThan(Date.now() / 1_000 + 3_600);
    }
    expect(Object.keys(Items[0] ?? {})).toContain(QUOTA_TABLE.TimeToLiveSpecification.AttributeName);
  });

  test.each([
    ['missing', /^InitUpload: quota table missing is missing: check the setting QUOTA_TABLE/],
    [
      'another',
      /^InitUpload: quota table another is not made for this: the setting QUOTA_TABLE names another/,
    ],
  ])('a table that is %s is an error that names it and the setting', async (table, message) => {
    const quota = make({ table, account: 'AKIDexample' });
    for (const call of [() => quota.take('InitUpload', never), () => quota.pause('InitUpload')]) {
      expect(await failureOf(call())).toMatchObject({
        name: 'InvalidSetting',
        message: expect.stringMatching(message),
      });
    }
  });
});
