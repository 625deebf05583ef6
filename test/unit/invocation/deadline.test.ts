import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DeadlineExceeded, deadlineFrom, shutdownReserveMs } from '../../../lib/invocation/deadline.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A clock that starts now, as `context.getRemainingTimeInMillis` does. */
function clockOf(limit: number): () => number {
  const end = Date.now() + limit;
  return () => end - Date.now();
}

describe('deadlineFrom', () => {
  test.each([
    [1_000, 200],
    [2_000, 200],
    [30_000, 3_000],
    [100_000, 10_000],
    [900_000, 10_000],
  ])('of %i ms, reserves %i ms for the shutdown', (limit, reserve) => {
    expect(shutdownReserveMs(limit)).toBe(reserve);
    const deadline = deadlineFrom(clockOf(limit));
    expect([deadline.limit, deadline.remaining()]).toEqual([limit, limit - reserve]);
  });

  test('follows the clock of the invocation', () => {
    const limits = fc.integer({ min: 1, max: 900_000 });
    fc.assert(
      fc.property(limits, fc.nat(1_000_000), fc.nat(900_000), (limit, passed, work) => {
        let left = limit;
        const deadline = deadlineFrom(() => left);
        left -= passed;
        const expected = Math.max(0, limit - passed - shutdownReserveMs(limit));
        expect(deadline.remaining()).toBe(expected);
        expect(deadline.hasTimeFor(work)).toBe(expected > work);
        deadline.release();
      }),
    );
  });
});

describe('signal', () => {
  test('aborts when the time for work is over, not earlier', () => {
    const { signal, remaining } = deadlineFrom(clockOf(30_000));
    vi.advanceTimersByTime(26_999);
    expect([signal.aborted, remaining()]).toEqual([false, 1]);
    vi.advanceTimersByTime(1);
    expect([signal.aborted, remaining()]).toEqual([true, 0]);
    expect(signal.reason).toBeInstanceOf(DeadlineExceeded);
    expect(signal.reason).toMatchObject({
      name: 'DeadlineExceeded',
      message: 'the time limit of 30000 ms was over',
    });
  });

  test('aborts immediately if the limit is shorter than the reserve', () => {
    const { signal, hasTimeFor } = deadlineFrom(() => 150);
    expect(hasTimeFor(0)).toBe(false);
    vi.advanceTimersByTime(1);
    expect(signal.aborted).toBe(true);
  });

  test('aborts with the reason of the engine when the engine stops', () => {
    const stopped = new AbortController();
    const { signal, remaining, hasTimeFor } = deadlineFrom(clockOf(30_000), stopped.signal);
    expect([signal.aborted, hasTimeFor(0)]).toEqual([false, true]);
    stopped.abort(new Error('the engine stops'));
    expect([signal.aborted, remaining(), hasTimeFor(0)]).toEqual([true, 0, false]);
    expect(signal.reason).toMatchObject({ message: 'the engine stops' });
  });

  test('is aborted from the start if the engine has stopped', () => {
    const { signal, remaining } = deadlineFrom(clockOf(30_000), AbortSignal.abort());
    expect([signal.aborted, remaining()]).toEqual([true, 0]);
  });

  test('aborts at the end of the time if the engine does not stop', () => {
    const { signal } = deadlineFrom(clockOf(30_000), new AbortController().signal);
    vi.advanceTimersByTime(27_000);
    expect(signal.reason).toBeInstanceOf(DeadlineExceeded);
  });

  test('never aborts after release, which stops the timer', () => {
    const { signal, release } = deadlineFrom(clockOf(30_000));
    release();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(60_000);
    expect(signal.aborted).toBe(false);
  });
});
