import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Action, createQuota, type Quota, type QuotaOptions } from '../../../lib/quota/quota.ts';
import { maxCallsPerPeriod, recordedTake, sleep, startCallers } from '../../support/callers.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { failureOf, never } from '../../support/values.ts';

describe('a quota in memory', () => {
  beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
  afterEach(() => void vi.useRealTimers());

  const create = (options: Partial<QuotaOptions> = {}): Quota => createQuota(options);

  test.each([60_000, 6_000])('is used almost fully, never exceeded: minute of %i ms', async (minuteMs) => {
    const times: number[] = [];
    const take = recordedTake(create({ minuteMs }), 'UploadPart', times);
    const done = startCallers(64, Date.now() + minuteMs * 1.2, async () => {
      await take();
      await sleep(20);
    });
    await vi.advanceTimersByTimeAsync(minuteMs * 1.3);
    await Promise.all(done);
    const max = maxCallsPerPeriod(times, minuteMs);
    expect(max).toBeLessThanOrEqual(10_000);
    expect(max).toBeGreaterThanOrEqual(9_600);
  });

  test.each([
    ['CommitUpload', 100],
    ['ModifyMediaInfo', 20],
  ] as const)('limits %s to %i calls in every sliding second', async (action, limit) => {
    const times: number[] = [];
    const take = recordedTake(create(), action, times);
    const done = startCallers(64, Date.now() + 10_000, async () => {
      await take();
      await sleep(20);
    });
    await vi.advanceTimersByTimeAsync(20_000);
    await Promise.all(done);
    expect(maxCallsPerPeriod(times, 1_000)).toBeLessThanOrEqual(limit);
    expect(times.length).toBeGreaterThanOrEqual(limit * 4.5); // half of the limit, for ten seconds
  });

  test('names the second in the error of a long wait', async () => {
    const quota = create({ maxWaitMs: 0 });
    const calls = Array.from({ length: 51 }, () => failureOf(quota.take('ApplyUpload', never)));
    await vi.advanceTimersByTimeAsync(0);
    const failures = (await Promise.all(calls)).filter(({ name }) => name === 'QuotaExceeded');
    expect(failures.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^ApplyUpload: the quota of 100 calls per second is used up\. /),
    ]);
  });

  /** Calls of InitUpload or FinishUpload that fit into one window. */
  const CALLS_PER_WINDOW = 2;
  const takeWindow = async (quota: Quota, action: Action): Promise<void> => {
    for (let n = 0; n < CALLS_PER_WINDOW; n++) await quota.take(action, never);
  };

  test('counts each action separately', async () => {
    const quota = create({ maxWaitMs: 0 });
    for (const action of ['InitUpload', 'FinishUpload', 'UploadPart'] as const)
      await takeWindow(quota, action);
    await expectFailure(quota.take('InitUpload', never), 'QuotaExceeded');
    await quota.take('UploadPart', never);
  });

  test('rejects a long wait immediately, with the action and the wait', async () => {
    const quota = create({ maxWaitMs: 2_000 });
    const calls = Array.from({ length: 300 }, () => failureOf(quota.take('InitUpload', never)));
    await vi.advanceTimersByTimeAsync(0);
    const [first, ...others] = await Promise.all([calls[0], ...calls.slice(3 * CALLS_PER_WINDOW)]);
    expect(first).toMatchObject({ name: 'no error' });
    for (const other of others) expect(other?.name).toBe('QuotaExceeded');
    expect(others.at(-1)?.message).toMatch(
      /^InitUpload: the quota of 100 calls per minute is used up\. Expected a wait of at most 2000 ms, got about \d{4,} ms\. Retrying later\.$/,
    );
    await vi.advanceTimersByTimeAsync(2_000);
    const started = (await Promise.all(calls)).filter(({ name }) => name === 'no error').length;
    expect([2 * CALLS_PER_WINDOW, 3 * CALLS_PER_WINDOW]).toContain(started); // the windows that start within the wait
  });

  test('starts calls in the order of their arrival, whichever of them abort', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(fc.nat(3_000)), { maxLength: 40 }), async (aborts) => {
        const quota = create({ maxWaitMs: 60_000 });
        const started: number[] = [];
        const aborted: number[] = [];
        const calls = aborts.map(async (abort, n) => {
          const controller = new AbortController();
          if (abort !== null) setTimeout(() => controller.abort(n), abort);
          await quota.take('FinishUpload', controller.signal).then(
            () => started.push(n),
            (reason) => aborted.push(reason),
          );
        });
        await vi.advanceTimersByTimeAsync(60_000);
        await Promise.all(calls);
        expect(started).toEqual(started.toSorted((a, b) => a - b));
        expect([...started, ...aborted].sort((a, b) => a - b)).toEqual(aborts.map((_, n) => n));
        for (const n of aborted) expect(aborts[n]).not.toBeNull();
      }),
      { numRuns: 30 },
    );
  });

  test('ends a wait when its signal aborts, with the reason of the signal and without a timer left', async () => {
    const quota = create();
    await takeWindow(quota, 'InitUpload');
    const timers = vi.getTimerCount();
    const controller = new AbortController();
    const waits = [0, 1].map(() => failureOf(quota.take('InitUpload', controller.signal)));
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(timers + 1);
    const now = Date.now();
    controller.abort(new Error('time limit'));
    expect((await Promise.all(waits)).map(({ message }) => message)).toEqual(['time limit', 'time limit']);
    expect([Date.now(), vi.getTimerCount()]).toEqual([now, timers]);
  });

  test('counts no call whose signal has aborted before', async () => {
    const quota = create({ maxWaitMs: 0 });
    const aborted = AbortSignal.abort(new Error('over'));
    expect(await failureOf(quota.take('InitUpload', aborted))).toMatchObject({ message: 'over' });
    await quota.take('InitUpload', never);
  });

  test('pauses for five windows and then continues', async () => {
    const quota = create();
    const start = Date.now();
    await Promise.all(Array.from({ length: 30 }, () => quota.take('UploadPart', never)));
    await Promise.all(Array.from({ length: 30 }, () => quota.pause('UploadPart')));
    const times: number[] = [];
    const waits = Array.from({ length: 20 }, recordedTake(quota, 'UploadPart', times));
    await quota.take('InitUpload', never);
    await vi.advanceTimersByTimeAsync(5_000);
    await Promise.all(waits);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(start + 4 * 618);
    expect(Math.max(...times)).toBeLessThanOrEqual(start + 6 * 619);
  });

  test('pauses a call with a limit per second so briefly that the next one waits inside take', async () => {
    const quota = create();
    for (const offset of [0, 300, 700]) {
      await vi.advanceTimersByTimeAsync(offset); // another moment of a window
      const start = Date.now();
      await quota.pause('CommitUpload');
      const wait = quota.take('CommitUpload', never).then(() => Date.now() - start);
      await vi.advanceTimersByTimeAsync(4_000);
      const waited = await wait;
      expect([waited >= 1_020, waited <= 3_060]).toEqual([true, true]);
    }
  });

  test('does not limit or pause SmallFileUpload', async () => {
    const quota = create({ maxWaitMs: 0 });
    await quota.pause('SmallFileUpload');
    for (let n = 0; n < 1_000; n++) await quota.take('SmallFileUpload', never);
    expect(vi.getTimerCount()).toBe(0);
  });
});
