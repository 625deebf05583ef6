import { AsyncLocalStorage } from 'node:async_hooks';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { QuotaExceeded } from '../../../lib/errors.ts';
import { createMemoryCounter, type WindowCounter } from '../../../lib/quota/counter.ts';
import { createQuota, type Quota } from '../../../lib/quota/quota.ts';
import { dividePeriod, PART_WINDOWS } from '../../../lib/quota/rate-limiter.ts';
import { maxCallsPerPeriod, recordedTake, sleep, startCallers } from '../../support/callers.ts';
import { failureOf, never } from '../../support/values.ts';

describe('dividePeriod', () => {
  const SLACK = 0.02;

  test.each([
    ['minute', PART_WINDOWS, { min: 500, max: 60_000 }],
    ['second', 2, { min: 20, max: 1_000 }],
  ])(
    'keeps every sliding %s within the quota, when calls arrive up to 2 % of it late',
    (_, windows, length) => {
      const share = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 5 }),
          fc.integer(length),
          fc.nat(3_000_000_000),
          fc.array(fc.record({ used: share, from: share, to: share }), { minLength: 1, maxLength: 230 }),
          (callsPerWindow, periodMs, first, schedule) => {
            const { calls, ms } = dividePeriod(callsPerWindow * windows, periodMs, windows);
            expect(calls).toBe(callsPerWindow);
            const arrivals = schedule.flatMap(({ used, from, to }, n) =>
              Array.from({ length: Math.ceil(used * calls) }, (_, call) => {
                const place = from + ((to - from) * call) / calls;
                return (first + n) * ms + place * (ms + periodMs * SLACK) * (1 - 1e-9);
              }),
            );
            expect(maxCallsPerPeriod(arrivals, periodMs)).toBeLessThanOrEqual(callsPerWindow * windows);
          },
        ),
      );
    },
  );

  test.each([100, 10_000])('allows exactly the quota of %i in the worst case', (limit) => {
    const minuteMs = 60_000;
    const { calls, ms } = dividePeriod(limit, minuteMs, PART_WINDOWS);
    // The calls of the first window arrive as late as possible, and none arrives earlier.
    const latest = ms + minuteMs * SLACK - 1e-3;
    const arrivals = Array.from({ length: 150 }, (_, n) =>
      Array.from({ length: calls }, () => Math.max(latest, n * ms)),
    );
    expect(maxCallsPerPeriod(arrivals.flat(), minuteMs)).toBe(limit);
  });

  test.each([100, 10_000])('makes 97 percent of a quota of %i usable', (limit) => {
    const { calls, ms, graceMs } = dividePeriod(limit, 60_000, PART_WINDOWS);
    expect((calls * 60_000) / ms / limit).toBeCloseTo(0.9706, 4);
    expect([ms, graceMs]).toEqual([expect.closeTo(618.18, 1), 600]);
  });
});

/** Many processes in virtual time share one counter. A request takes 1 to 5 ms each way. */
describe('processes that share a counter', () => {
  let shared: WindowCounter;
  let writes: number;

  beforeEach(() => {
    vi.useFakeTimers({ now: 1_700_000_000_000 });
    shared = createMemoryCounter();
    writes = 0;
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  const counter: WindowCounter = {
    async add(window, calls) {
      await sleep(1 + Math.random() * 4);
      writes++;
      const count = await shared.add(window, calls);
      await sleep(1 + Math.random() * 4);
      return count;
    },
    pause: (window, until) => shared.pause(window, until),
  };
  const createProcess = (): Quota => createQuota({ counter });
  const createProcesses = (count: number): Quota[] => Array.from({ length: count }, createProcess);

  test.each([
    [1, 64, 0.06],
    [2, 32, 0.07],
    [8, 16, 0.14],
    [40, 12, 0.35],
  ])(
    '%i with %i callers each use nearly all of the quota, with few writes',
    async (count, inFlight, maxWrites) => {
      const minuteMs = 60_000;
      const times: number[] = [];
      const done = createProcesses(count).flatMap((quota) => {
        const take = recordedTake(quota, 'UploadPart', times, 10_000);
        return startCallers(inFlight, Date.now() + minuteMs * 1.2, async () => {
          await take();
          await sleep(60 + Math.random() * 80);
        });
      });
      await vi.advanceTimersByTimeAsync(minuteMs * 2);
      await Promise.all(done);
      const max = maxCallsPerPeriod(times, minuteMs);
      expect(max).toBeLessThanOrEqual(10_000);
      expect(max).toBeGreaterThanOrEqual(9_500);
      expect(writes / times.length).toBeLessThan(maxWrites);
    },
  );

  test.each([
    [10, 0.06],
    [40, 0.08],
    [250, 0.45],
  ])('one that calls every %i ms makes at most %f writes per call', async (everyMs, maxWrites) => {
    const times: number[] = [];
    const take = recordedTake(createProcess(), 'UploadPart', times);
    const done = startCallers(1, Date.now() + 20_000, async () => {
      await take();
      await sleep(everyMs);
    });
    await vi.advanceTimersByTimeAsync(21_000);
    await Promise.all(done);
    expect(times.length).toBeGreaterThan(18_000 / everyMs);
    expect(writes / times.length).toBeLessThan(maxWrites);
  });

  test('a counter so slow that every lease arrives after its end starts no call, and rejects the waiting ones', async () => {
    const add: WindowCounter['add'] = async (window, calls) => {
      const count = await shared.add(window, calls);
      await sleep(1_500);
      return count;
    };
    const quota = createQuota({ counter: { ...counter, add } });
    const wait = failureOf(quota.take('UploadPart', never));
    await vi.advanceTimersByTimeAsync(7_000);
    expect(await wait).toMatchObject({ name: 'QuotaExceeded' });
  });

  test('the rest of a lease expires soon after its window', async () => {
    const quota = createProcess();
    const take = async () => {
      const done = quota.take('UploadPart', never);
      await vi.advanceTimersByTimeAsync(20);
      await done;
    };
    for (let n = 0; n < 20; n++) await take();
    for (const last = writes; writes === last; ) await take(); // until the first call of a new lease
    const before = writes;
    await take();
    expect(writes).toBe(before);
    await vi.advanceTimersByTimeAsync(2_000);
    await take();
    expect(writes).toBeGreaterThan(before);
  });

  test('two of them keep to the quota when their clocks differ by a second', async () => {
    const minuteMs = 60_000;
    const times: number[] = [];
    const clock = Date.now;
    // Each process sees its own clock, also after an await.
    const ahead = new AsyncLocalStorage<number>();
    vi.spyOn(Date, 'now').mockImplementation(() => clock() + (ahead.getStore() ?? 0));
    const until = clock() + minuteMs * 1.2;
    const done = createProcesses(2).flatMap((quota, n) =>
      ahead.run(n * 1_000, () =>
        startCallers(32, until, async () => {
          await recordedTake(quota, 'UploadPart', [])();
          times.push(clock());
          await sleep(100);
        }),
      ),
    );
    await vi.advanceTimersByTimeAsync(minuteMs * 1.5);
    await Promise.all(done);
    expect(maxCallsPerPeriod(times, minuteMs)).toBeLessThanOrEqual(10_000);
    expect(maxCallsPerPeriod(times, minuteMs)).toBeGreaterThanOrEqual(9_000);
  });

  test('300 of them with one call each all make it within six minutes', async () => {
    const start = Date.now();
    const times: number[] = [];
    const done = createProcesses(300).map((quota) => recordedTake(quota, 'InitUpload', times, 60_000)());
    await vi.advanceTimersByTimeAsync(15 * 60_000);
    await Promise.all(done);
    expect(times.length).toBe(300);
    expect(Math.max(...times) - start).toBeLessThan(6 * 60_000);
    expect(maxCallsPerPeriod(times, 60_000)).toBeLessThanOrEqual(100);
  });

  test('a pause reaches the others with their next lease', async () => {
    const [one, other] = [createProcess(), createProcess()];
    await one.pause('UploadPart');
    const start = Date.now();
    const waits = Promise.all([other.take('UploadPart', never), one.take('UploadPart', never)]);
    await vi.advanceTimersByTimeAsync(5_000);
    await waits;
    expect(Date.now()).toBeGreaterThanOrEqual(start + 4 * 618);
  });
});

describe('a counter that fails', () => {
  const fail = (): Promise<never> => Promise.reject(new QuotaExceeded('no response'));

  test('rejects all waiting calls, and every pause', async () => {
    const quota = createQuota({ counter: { add: fail, pause: fail } });
    const calls = Array.from({ length: 20 }, () => quota.take('UploadPart', never));
    const failures = await Promise.all(calls.map(failureOf));
    for (let n = 0; n < 2; n++) failures.push(await failureOf(quota.pause('UploadPart')));
    for (const failure of failures) expect(failure.message).toBe('no response');
  });

  test('does not hold a call whose signal aborts', async () => {
    const requested = Promise.withResolvers<void>();
    const response = Promise.withResolvers<never>();
    const add = (): Promise<never> => {
      requested.resolve();
      return response.promise;
    };
    const quota = createQuota({ counter: { add, pause: fail } });
    const controller = new AbortController();
    const wait = failureOf(quota.take('InitUpload', controller.signal));
    await requested.promise;
    controller.abort(new Error('time limit'));
    expect(await wait).toMatchObject({ message: 'time limit' });
    response.reject(new QuotaExceeded('no response'));
  });
});
