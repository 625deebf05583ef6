import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Action, createQuota, type Quota, type QuotaOptions } from '../../../lib/quota/quota.ts';
import { windowsOf } from '../../../lib/quota/rate-limiter.ts';
import { callers, mostInAMinute, passing, recorded } from '../../support/callers.ts';
import { failureOf, never } from '../../support/values.ts';

/** The account's quota, kept by one process. */

const LIMITED: Action[] = ['InitUpload', 'FinishUpload', 'UploadPart'];

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
    await Promise.all(Array.from({ length: 30 }, () => quota.pause('UploadPart')));
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
    await quota.pause('SmallFileUpload');
    for (let n = 0; n < 1_000; n++) await quota.take('SmallFileUpload', never);
    expect(vi.getTimerCount()).toBe(0);
  });
});
