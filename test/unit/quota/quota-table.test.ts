import type { IncomingMessage } from 'node:http';
import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createTableCounter } from '../../../lib/quota/counter.ts';
import { createQuota, type Quota, type QuotaOptions } from '../../../lib/quota/quota.ts';
import { dividePeriod, PART_WINDOWS } from '../../../lib/quota/rate-limiter.ts';
import { connectTable, QUOTA_TABLE } from '../../../lib/quota/table.ts';
import { maxCallsPerPeriod, recordedTake, startCallers } from '../../support/callers.ts';
import { createQuotaTable, startQuotaTable } from '../../support/dynamo.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { never } from '../../support/values.ts';

useCredentials();

describe('a quota in a table', () => {
  async function startTable() {
    const dynalite = await startQuotaTable();
    const createProcess = (options: Partial<QuotaOptions> = {}, name = 'quota'): Quota => {
      const table = connectTable(name, dynalite.location);
      onTestFinished(table.close);
      return createQuota({ counter: createTableCounter(table), ...options });
    };
    return { ...dynalite, createProcess };
  }

  test.each([
    { action: 'InitUpload', minuteMs: 2_000, share: 1, limit: 100 },
    // A tenth of a minute touches at most 12 windows.
    { action: 'UploadPart', minuteMs: 10_000, share: 0.1, limit: 1_200 },
  ] as const)('two processes never exceed it: $action', async ({ action, minuteMs, share, limit }) => {
    const { createProcess } = await startTable();
    const until = Date.now() + minuteMs * share * 1.2;
    const times: number[] = [];
    const callers = [1, 2].flatMap(() => {
      const quota = createProcess({ minuteMs, maxWaitMs: 60_000 });
      return startCallers(16, until, recordedTake(quota, action, times));
    });
    await Promise.all(callers);
    expect(maxCallsPerPeriod(times, minuteMs * share)).toBeLessThanOrEqual(limit);
    // How many more depends on the machine: rate-limiter.test.ts shows the use of the quota in virtual time.
    expect(times.length).toBeGreaterThan(0);
  });

  test('pauses the other process too, for that action only', async () => {
    const { createProcess } = await startTable();
    const [one, other] = [createProcess(), createProcess({ maxWaitMs: 500 })];
    await one.pause('UploadPart');
    const message = /^UploadPart: .* got about \d{4} ms\. Retrying later\.$/;
    await expectFailure(other.take('UploadPart', never), 'QuotaExceeded', message);
    await other.take('FinishUpload', never);
  });

  test('continues in the other process after the pause', async () => {
    const { createProcess } = await startTable();
    const minuteMs = 6_000;
    const [one, other] = [createProcess({ minuteMs }), createProcess({ minuteMs })];
    const start = Date.now();
    await one.pause('UploadPart');
    await other.take('UploadPart', never);
    expect(Date.now() - start).toBeGreaterThanOrEqual(4 * dividePeriod(10_000, minuteMs, PART_WINDOWS).ms);
  });

  test('has items that separate the actions and expire; only UpdateItem is called', async () => {
    const { server, client, createProcess } = await startTable();
    const operations = new Set<unknown>();
    server.on('request', ({ headers }: IncomingMessage) => operations.add(headers['x-amz-target']));
    const quota = createProcess({ maxWaitMs: 0 });
    await quota.take('InitUpload', never);
    await quota.pause('FinishUpload');
    expect([...operations]).toEqual(['DynamoDB_20120810.UpdateItem']);
    const { Items = [] } = await client.send(new ScanCommand({ TableName: 'quota' }));
    expect(Items.length).toBe(1 + 5);
    for (const { key, [QUOTA_TABLE.TimeToLiveSpecification.AttributeName]: expire, ...others } of Items) {
      expect(key?.S).toMatch(/^(InitUpload|FinishUpload):\d+$/);
      expect([['calls'], ['pausedUntil']]).toContainEqual(Object.keys(others));
      expect(Number(expire?.N)).toBeGreaterThan(Date.now() / 1_000 + 300);
      expect(Number(expire?.N)).toBeLessThan(Date.now() / 1_000 + 3_600);
    }
  });

  test.each([
    ['missing', /^quota table missing: not found\. Check QUOTA_TABLE and the region \(Resource.+\)\.$/],
    [
      'other',
      /^quota table other: wrong key schema, expected `key` \(S\)\. .*QUOTA_TABLE \(Validation.+\)\.$/,
    ],
  ])('names the table and the setting in an error: %s', async (table, message) => {
    const { client, createProcess } = await startTable();
    await createQuotaTable(client, 'other', 'id');
    const quota = createProcess({}, table);
    await expectFailure(quota.take('InitUpload', never), 'InvalidSetting', message);
    await expectFailure(quota.pause('InitUpload'), 'InvalidSetting', message);
  });
});
