import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { AwsServiceError } from '../../../lib/aws/json-client.ts';
import type { Dynamo, UpdateItem } from '../../../lib/quota/dynamodb.ts';
import { createQuota, type Quota } from '../../../lib/quota/quota.ts';
import { callers, mostInAMinute, passing, recorded } from '../../support/callers.ts';
import { failureOf, never } from '../../support/values.ts';

/** The account's quota in a table that the test itself keeps: shared by many processes, or out of reach. */

const refusal = (type: string, message: string): AwsServiceError =>
  new AwsServiceError(type, message, { httpStatusCode: 400, requestId: undefined });
const unconditional = refusal('ConditionalCheckFailedException', 'The conditional request failed');

/** Processes that share a table: what DynamoDB does with an update, with 3 to 9 ms on the way, by the clock of the test. */
describe('with a table and many processes', () => {
  const items = new Map<string, { points: number; expire: number }>();
  let writes = 0;

  beforeEach(() => {
    vi.useFakeTimers({ now: 1_700_000_000_000 });
    items.clear();
    writes = 0;
  });
  afterEach(() => void vi.useRealTimers());

  const dynamo: Dynamo = {
    async updateItem(input) {
      await passing(1 + Math.random() * 4);
      const answer = update(input);
      await passing(1 + Math.random() * 4);
      if (!answer) throw unconditional;
      return answer;
    },
    close() {},
  };

  function update({ Key, ConditionExpression, ExpressionAttributeValues }: UpdateItem) {
    writes++;
    const key = Key.key.S;
    const value = (name: string): number => Number(ExpressionAttributeValues[name]?.N);
    const old = items.get(key);
    if (ConditionExpression === undefined)
      items.set(key, { points: value(':points'), expire: value(':expire') });
    else if (ConditionExpression === 'expire > :where_expire') {
      if (!old || old.expire <= value(':where_expire')) return;
      items.set(key, { ...old, points: old.points + value(':new_points') });
    } else {
      if (old && old.expire > value(':where_expire')) return;
      items.set(key, { points: value(':new_points'), expire: value(':new_expire') });
    }
    const { points, expire } = items.get(key) ?? { points: 0, expire: 0 };
    return { Attributes: { key: { S: key }, points: { N: `${points}` }, expire: { N: `${expire}` } } };
  }

  const aProcess = (): Quota => createQuota({ table: 'quota', account: 'AKIDexample', dynamo });
  const processes = (count: number): Quota[] => Array.from({ length: count }, aProcess);

  test.each([
    { count: 1, inFlight: 64, writesPerCall: 0.12 },
    { count: 2, inFlight: 32, writesPerCall: 0.15 },
    { count: 8, inFlight: 16, writesPerCall: 0.3 },
    { count: 40, inFlight: 12, writesPerCall: 0.7 },
  ])(
    '$count together use nearly all of the quota, and never more than it',
    async ({ count, inFlight, writesPerCall }) => {
      const minuteMs = 60_000;
      const times: number[] = [];
      const done = processes(count).flatMap((quota) => {
        const take = recorded(quota, 'UploadPart', times, 10_000);
        return callers(inFlight, Date.now() + minuteMs * 1.2, async () => {
          await take();
          await passing(60 + Math.random() * 80);
        });
      });
      await vi.advanceTimersByTimeAsync(minuteMs * 2);
      await Promise.all(done);
      const most = mostInAMinute(times, minuteMs);
      expect(most).toBeLessThanOrEqual(10_000);
      expect(most).toBeGreaterThanOrEqual(9_500);
      expect(writes / times.length).toBeLessThan(writesPerCall);
    },
  );

  test.each([
    { everyMs: 10, writesPerCall: 0.15 },
    { everyMs: 40, writesPerCall: 0.15 },
    { everyMs: 250, writesPerCall: 0.6 },
  ])(
    'a process that calls every $everyMs ms writes less often than it calls',
    async ({ everyMs, writesPerCall }) => {
      const quota = aProcess();
      const times: number[] = [];
      const take = recorded(quota, 'UploadPart', times);
      const done = callers(1, Date.now() + 20_000, async () => {
        await take();
        await passing(everyMs);
      });
      await vi.advanceTimersByTimeAsync(21_000);
      await Promise.all(done);
      expect(times.length).toBeGreaterThan(18_000 / everyMs);
      expect(writes / times.length).toBeLessThan(writesPerCall);
    },
  );

  test('a table so slow that each lease is over when it comes lets nobody go, and keeps nobody', async () => {
    const updateItem: Dynamo['updateItem'] = async (input) => {
      const answer = update(input);
      await passing(1_500);
      return answer ?? Promise.reject(unconditional);
    };
    const quota = createQuota({ table: 'quota', account: 'AKIDexample', dynamo: { ...dynamo, updateItem } });
    const wait = failureOf(quota.take('UploadPart', never));
    await vi.advanceTimersByTimeAsync(7_000);
    expect(await wait).toMatchObject({ name: 'QuotaExceeded' });
  });

  test('what is left of a lease is lost soon after its window', async () => {
    const quota = aProcess();
    const take = async () => {
      const done = quota.take('UploadPart', never);
      await vi.advanceTimersByTimeAsync(20);
      await done;
    };
    for (let n = 0; n < 20; n++) await take();
    let before: number;
    do {
      before = writes;
      await take();
    } while (writes === before); // the first call out of a lease of several
    before = writes;
    await take();
    expect(writes).toBe(before);
    await vi.advanceTimersByTimeAsync(2_000);
    await take();
    expect(writes).toBeGreaterThan(before);
  });

  test('a clock that is a second wrong does no harm', async () => {
    const minuteMs = 60_000;
    const times: number[] = [];
    const quotas = processes(2);
    const clock = Date.now;
    // All that the second one does between its awaits sees another clock: a context of its own.
    const ahead = new AsyncLocalStorage<number>();
    vi.spyOn(Date, 'now').mockImplementation(() => clock() + (ahead.getStore() ?? 0));
    onTestFinished(() => void vi.restoreAllMocks());
    const until = clock() + minuteMs * 1.2;
    const done = quotas.flatMap((quota, n) =>
      ahead.run(n * 1_000, () =>
        callers(32, until, async () => {
          await recorded(quota, 'UploadPart', [])();
          times.push(clock());
          await passing(100);
        }),
      ),
    );
    await vi.advanceTimersByTimeAsync(minuteMs * 1.5);
    await Promise.all(done);
    expect(mostInAMinute(times, minuteMs)).toBeLessThanOrEqual(10_000);
    expect(mostInAMinute(times, minuteMs)).toBeGreaterThanOrEqual(9_000);
  });

  test('300 of them that want one call each all get it, soon enough', async () => {
    const start = Date.now();
    const times: number[] = [];
    const done = processes(300).map((quota) => recorded(quota, 'InitUpload', times, 60_000)());
    await vi.advanceTimersByTimeAsync(15 * 60_000);
    await Promise.all(done);
    expect(times.length).toBe(300);
    expect(Math.max(...times) - start).toBeLessThan(6 * 60_000);
    expect(mostInAMinute(times, 60_000)).toBeLessThanOrEqual(100);
  });
});

describe('when the table cannot be asked', () => {
  const aProcess = (updateItem: Dynamo['updateItem']): Quota =>
    createQuota({ table: 'quota-dev', account: 'AKIDexample', dynamo: { updateItem, close() {} } });

  const throttled = refusal('ProvisionedThroughputExceededException', 'Rate exceeded');

  test.each<[string, Error, RegExp]>([
    [
      'throttled',
      throttled,
      /^UploadPart: quota table quota-dev cannot be asked, and no call is made unasked: .*Rate exceeded$/,
    ],
    [
      'unreachable',
      Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
      /ECONNREFUSED/,
    ],
    ['undone by another', unconditional, /request failed/],
  ])('%s: no call is made, and the state machine tries again', async (_, fault, message) => {
    const quota = aProcess(() => Promise.reject(fault));
    const failures = await Promise.all(
      Array.from({ length: 20 }, () => failureOf(quota.take('UploadPart', never))),
    );
    const slowDowns = [
      await failureOf(quota.pause('UploadPart')),
      await failureOf(quota.pause('UploadPart')),
    ];
    for (const failure of [...failures, ...slowDowns]) {
      expect(failure).toMatchObject({ name: 'QuotaExceeded', message: expect.stringMatching(message) });
    }
  });

  test.each([
    'AccessDeniedException',
    'ValidationException',
    'UnrecognizedClientException',
    'ResourceNotFoundException',
  ])('%s: somebody has to set it right', async (name) => {
    const quota = aProcess(() => Promise.reject(refusal(name, 'no')));
    expect(await failureOf(quota.take('InitUpload', never))).toMatchObject({
      name: 'InvalidSetting',
      message: expect.stringMatching(/^InitUpload: quota table quota-dev .*QUOTA_TABLE/),
    });
  });

  test('an answer that does not come holds nobody whose time is over', async () => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<never>();
    const quota = aProcess(() => {
      asked.resolve();
      return answer.promise;
    });
    const controller = new AbortController();
    const wait = failureOf(quota.take('InitUpload', controller.signal));
    await asked.promise;
    controller.abort(new Error('the time is over'));
    expect(await wait).toMatchObject({ message: 'the time is over' });
    answer.reject(throttled);
  });
});
