import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { CreateTableCommand, DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import fc from 'fast-check';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest';
import { Refusal } from '../../lib/aws.ts';
import type { Dynamo, UpdateItem } from '../../lib/dynamo.ts';
import { QuotaExceeded } from '../../lib/errors.ts';
import { type Action, createQuota, QUOTA_TABLE, type Quota, type QuotaOptions } from '../../lib/quota.ts';
import { windowsOf } from '../../lib/turnstile.ts';
import { failureOf } from './values.ts';

const never = new AbortController().signal;
const LIMITED: Action[] = ['InitUpload', 'FinishUpload', 'UploadPart'];

/** As the service counts: a call is no longer counted once it is a minute old. */
function mostInAMinute(times: readonly number[], minuteMs: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [last, time] of sorted.entries()) {
    while ((sorted[first] ?? time) + minuteMs <= time) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

describe('windows', () => {
  const SLACK = 0.02;

  test('however calls fall into them, up to 2 % of a minute late, no sliding minute sees more than the quota', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 500, max: 60_000 }),
        fc.nat(3_000_000_000),
        fc.array(fc.record({ used: share, from: share, to: share }), { minLength: 1, maxLength: 230 }),
        (each, minuteMs, first, schedule) => {
          const { calls, ms } = windowsOf(each * 100, minuteMs);
          expect(calls).toBe(each);
          const arrivals = schedule.flatMap(({ used, from, to }, n) =>
            Array.from({ length: Math.ceil(used * calls) }, (_, call) => {
              const place = from + ((to - from) * call) / calls;
              return (first + n) * ms + place * (ms + minuteMs * SLACK) * (1 - 1e-9);
            }),
          );
          expect(mostInAMinute(arrivals, minuteMs)).toBeLessThanOrEqual(each * 100);
        },
      ),
    );
  });

  test.each([100, 10_000])('the worst case is the quota of %i, to the call', (limit) => {
    const minuteMs = 60_000;
    const { calls, ms } = windowsOf(limit, minuteMs);
    // The first window's calls come as late as they may, and none before them.
    const latest = ms + minuteMs * SLACK - 1e-3;
    const arrivals = Array.from({ length: 150 }, (_, n) =>
      Array.from({ length: calls }, () => Math.max(latest, n * ms)),
    );
    expect(mostInAMinute(arrivals.flat(), minuteMs)).toBe(limit);
  });

  test.each([100, 10_000])('nearly all of a quota of %i can be used', (limit) => {
    const { calls, ms, lateMs } = windowsOf(limit, 60_000);
    expect((calls * 60_000) / ms / limit).toBeCloseTo(0.9706, 4);
    expect([ms, lateMs]).toEqual([expect.closeTo(618.18, 1), 600]);
  });
});

/** So many callers of `work` at once, each calling again and again until the clock says `until`. */
const callers = (count: number, until: number, work: () => Promise<void>): Promise<void>[] =>
  Array.from({ length: count }, async () => {
    while (Date.now() < until) await work();
  });

const passing = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** `take` that stays until it is let go, as the state machine would see to, and writes down when that was. */
function recorded(quota: Quota, action: Action, times: number[], retryMs = 0): () => Promise<void> {
  return async () => {
    for (;;) {
      try {
        await quota.take(action, never);
        times.push(Date.now());
        return;
      } catch (error) {
        if (!(error instanceof QuotaExceeded)) throw error;
        await passing(Math.random() * retryMs);
      }
    }
  };
}

describe('in memory', () => {
  beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
  afterEach(() => void vi.useRealTimers());

  const inMemory = (options: Partial<QuotaOptions> = {}): Quota =>
    createQuota({ account: 'AKIDexample', ...options });

  test.each([60_000, 6_000])(
    'with a minute of %i ms nearly all of the quota is used, and never more than it',
    async (minuteMs) => {
      const quota = inMemory({ minuteMs, longestWaitMs: 5_000 });
      const times: number[] = [];
      const take = recorded(quota, 'UploadPart', times);
      const done = callers(64, Date.now() + minuteMs * 1.2, async () => {
        await take();
        await passing(20);
      });
      await vi.advanceTimersByTimeAsync(minuteMs * 1.3);
      await Promise.all(done);
      const most = mostInAMinute(times, minuteMs);
      expect(most).toBeLessThanOrEqual(10_000);
      expect(most).toBeGreaterThanOrEqual(9_600);
    },
  );

  /** Calls of InitUpload, and of FinishUpload, that do not wait for each other. */
  const AT_ONCE = 5;
  const all = async (quota: Quota, action: Action): Promise<void> => {
    for (let n = 0; n < AT_ONCE; n++) await quota.take(action, never);
  };

  test('each action has a quota of its own', async () => {
    const quota = inMemory({ longestWaitMs: 0 });
    for (const action of LIMITED) await all(quota, action);
    expect(await failureOf(quota.take('InitUpload', never))).toMatchObject({ name: 'QuotaExceeded' });
    await quota.take('UploadPart', never);
  });

  test('a long wait is an error at once, which names the action and the wait', async () => {
    const quota = inMemory({ longestWaitMs: 2_000 });
    const outcomes = Array.from({ length: 300 }, () => failureOf(quota.take('InitUpload', never)));
    await vi.advanceTimersByTimeAsync(0);
    const [first, ...others] = await Promise.all([outcomes[0], ...outcomes.slice(2 * AT_ONCE)]);
    expect(first).toMatchObject({ name: 'no error' });
    for (const { name } of others.filter((other) => other !== undefined)) expect(name).toBe('QuotaExceeded');
    expect(others.at(-1)?.message).toMatch(
      /^InitUpload: the account's quota of 100 calls a minute is in use: the longest wait is 2000 ms, this one would be about \d{4,} ms$/,
    );
    await vi.advanceTimersByTimeAsync(2_000);
    const made = (await Promise.all(outcomes)).filter(({ name }) => name === 'no error').length;
    expect([AT_ONCE, 2 * AT_ONCE]).toContain(made); // one window's, or two when one ends within the wait
  });

  test('callers are let go in the order in which they came, whoever gives up', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(fc.nat(3_000)), { maxLength: 40 }), async (aborts) => {
        const quota = inMemory({ longestWaitMs: 60_000 });
        const gone: number[] = [];
        const given: number[] = [];
        const calls = aborts.map(async (abort, n) => {
          const controller = new AbortController();
          if (abort !== null) setTimeout(() => controller.abort(n), abort);
          await quota.take('FinishUpload', controller.signal).then(
            () => gone.push(n),
            (reason) => given.push(reason),
          );
        });
        await vi.advanceTimersByTimeAsync(60_000);
        await Promise.all(calls);
        expect(gone).toEqual(gone.toSorted((a, b) => a - b));
        expect([...gone, ...given].sort((a, b) => a - b)).toEqual(aborts.map((_, n) => n));
        for (const n of given) expect(aborts[n]).not.toBeNull();
      }),
      { numRuns: 30 },
    );
  });

  test('an abort ends the wait at once, with its reason and without a timer left', async () => {
    const quota = inMemory();
    await all(quota, 'InitUpload');
    const timers = vi.getTimerCount();
    const controller = new AbortController();
    const waits = [0, 1].map(() => failureOf(quota.take('InitUpload', controller.signal)));
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(timers + 1);
    const now = Date.now();
    controller.abort(new Error('the time is over'));
    expect(await Promise.all(waits)).toEqual([
      expect.objectContaining({ message: 'the time is over' }),
      expect.objectContaining({ message: 'the time is over' }),
    ]);
    expect([Date.now(), vi.getTimerCount()]).toEqual([now, timers]);
  });

  test('who comes with an aborted signal takes nothing', async () => {
    const quota = inMemory({ longestWaitMs: 0 });
    const aborted = AbortSignal.abort(new Error('over'));
    expect(await failureOf(quota.take('InitUpload', aborted))).toMatchObject({ message: 'over' });
    await quota.take('InitUpload', never);
  });

  test('after slowDown nobody calls for five windows, and then they do', async () => {
    const quota = inMemory();
    const start = Date.now();
    await Promise.all(Array.from({ length: 30 }, () => quota.take('UploadPart', never)));
    await Promise.all(Array.from({ length: 30 }, () => quota.slowDown('UploadPart')));
    const times: number[] = [];
    const waits = Array.from({ length: 20 }, recorded(quota, 'UploadPart', times));
    await quota.take('InitUpload', never);
    await vi.advanceTimersByTimeAsync(5_000);
    await Promise.all(waits);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(start + 4 * 618);
    expect(Math.max(...times)).toBeLessThanOrEqual(start + 6 * 619);
  });

  test('SmallFileUpload has no limit and no pause', async () => {
    const quota = inMemory({ longestWaitMs: 0 });
    await quota.slowDown('SmallFileUpload');
    for (let n = 0; n < 1_000; n++) await quota.take('SmallFileUpload', never);
    expect(vi.getTimerCount()).toBe(0);
  });
});

const refusal = (type: string, message: string): Refusal =>
  new Refusal(type, message, { httpStatusCode: 400, requestId: undefined });
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
      await failureOf(quota.slowDown('UploadPart')),
      await failureOf(quota.slowDown('UploadPart')),
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

/** The same over HTTP with a DynamoDB that is not ours. */
describe('with dynalite', () => {
  // The package has no types.
  const dynalite: (options: { createTableMs: number }) => Server = createRequire(import.meta.url)('dynalite');
  const server = dynalite({ createTableMs: 0 });
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
  const { TimeToLiveSpecification, ...asCreated } = QUOTA_TABLE;

  beforeAll(async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIAEXAMPLE');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const sdk = client();
    await sdk.send(
      new CreateTableCommand({
        TableName: 'quota',
        BillingMode: asCreated.BillingMode,
        AttributeDefinitions: [...asCreated.AttributeDefinitions],
        KeySchema: [...asCreated.KeySchema],
      }),
    );
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
    await one.slowDown('UploadPart');
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
    await one.slowDown('UploadPart');
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
    expect(Object.keys(Items[0] ?? {})).toContain(TimeToLiveSpecification.AttributeName);
  });

  test.each([
    ['missing', /^InitUpload: quota table missing is missing: check the setting QUOTA_TABLE/],
    [
      'another',
      /^InitUpload: quota table another is not made for this: the setting QUOTA_TABLE names another/,
    ],
  ])('a table that is %s is an error that names it and the setting', async (table, message) => {
    const quota = make({ table, account: 'AKIDexample' });
    for (const call of [() => quota.take('InitUpload', never), () => quota.slowDown('InitUpload')]) {
      expect(await failureOf(call())).toMatchObject({
        name: 'InvalidSetting',
        message: expect.stringMatching(message),
      });
    }
  });
});
