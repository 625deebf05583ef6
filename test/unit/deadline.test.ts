import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DeadlineExceeded, deadlineFrom, shutdownReserveMs } from '../../lib/deadline.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** An invocation's clock that starts now, as `context.getRemainingTimeInMillis` does. */
function invocation(limit: number): () => number {
  const end = Date.now() + limit;
  return () => end - Date.now();
}

test.each([
  [1_000, 200],
  [2_000, 200],
  [30_000, 3_000],
  [100_000, 10_000],
  [900_000, 10_000],
])('of %i ms, %i are kept back to hand over', (limit, reserve) => {
  expect(shutdownReserveMs(limit)).toBe(reserve);
  const deadline = deadlineFrom(invocation(limit));
  expect([deadline.limit, deadline.remaining()]).toEqual([limit, limit - reserve]);
});

test('what remains and what is allowed follow the clock', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 900_000 }),
      fc.nat(1_000_000),
      fc.nat(900_000),
      (limit, passed, work) => {
        let left = limit;
        const deadline = deadlineFrom(() => left);
        left -= passed;
        const expected = Math.max(0, limit - passed - shutdownReserveMs(limit));
        expect(deadline.remaining()).toBe(expected);
        expect(deadline.hasTimeFor(work)).toBe(expected > work);
        deadline.release();
      },
    ),
  );
});

describe('the signal', () => {
  test('aborts when the time for work is over, and not before', () => {
    const { signal, remaining } = deadlineFrom(invocation(30_000));
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

  test('aborts at once where there is no time for work at all', () => {
    const { signal, hasTimeFor: allows } = deadlineFrom(() => 150);
    expect(allows(0)).toBe(false);
    vi.advanceTimersByTime(1);
    expect(signal.aborted).toBe(true);
  });

  test('aborts when the invocation is ended from outside, with its reason', () => {
    const ended = new AbortController();
    const { signal, remaining, hasTimeFor: allows } = deadlineFrom(invocation(30_000), ended.signal);
    expect([signal.aborted, allows(0)]).toEqual([false, true]);
    ended.abort(new Error('the engine stops'));
    expect([signal.aborted, remaining(), allows(0)]).toEqual([true, 0, false]);
    expect(signal.reason).toMatchObject({ message: 'the engine stops' });
  });

  test('is aborted from the start where the invocation was ended already', () => {
    const { signal, remaining } = deadlineFrom(invocation(30_000), AbortSignal.abort());
    expect([signal.aborted, remaining()]).toEqual([true, 0]);
  });

  test('with an outside end there is still the end of the time', () => {
    const { signal } = deadlineFrom(invocation(30_000), new AbortController().signal);
    vi.advanceTimersByTime(27_000);
    expect(signal.reason).toBeInstanceOf(DeadlineExceeded);
  });

  test('a deadline that is released aborts nothing any more and holds no timer', () => {
    const { signal, release } = deadlineFrom(invocation(30_000));
    release();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(60_000);
    expect(signal.aborted).toBe(false);
  });
});
