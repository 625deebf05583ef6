import * as v from 'valibot';
import { type Clock, systemClock } from '../invocation/deadline.ts';
import { NumberAttribute, type QuotaTable } from './table.ts';

/** Counts calls by time window: in a DynamoDB table that all processes share, or in the memory of one process. */

/** `calls`: calls counted in the window. `pausedUntil`: number of the first window in which calls may start again, or 0. */
export type WindowCount = Readonly<{ calls: number; pausedUntil: number }>;

/** `key` names one window of one action. `expire`: Unix time in seconds after which the count can be deleted. */
export type CountedWindow = Readonly<{ key: string; expire: number }>;

export type WindowCounter = Readonly<{
  /**
   * Adds `calls` to the count of a window and returns the new count. A retry after a lost response can count the calls
   * twice. They are never counted less than once.
   * @throws {QuotaExceeded} when the table does not respond or throttles
   * @throws {InvalidSetting} when the table is missing, has another key, or may not be written
   */
  add(window: CountedWindow, calls: number): Promise<WindowCount>;
  /** Marks a window as paused. @throws as `add` does */
  pause(window: CountedWindow, pausedUntil: number): Promise<void>;
}>;

export function createMemoryCounter(clock: Clock = systemClock): WindowCounter {
  const windows = new Map<string, { expire: number; count: WindowCount }>();
  const update = (
    { key, expire }: CountedWindow,
    change: (count: WindowCount) => WindowCount,
  ): WindowCount => {
    for (const [oldest, window] of windows) {
      if (window.expire * 1000 > clock.now()) break;
      windows.delete(oldest);
    }
    const count = change(windows.get(key)?.count ?? { calls: 0, pausedUntil: 0 });
    windows.set(key, { expire, count });
    return count;
  };
  return {
    add: async (window, calls) => update(window, (count) => ({ ...count, calls: count.calls + calls })),
    pause: async (window, pausedUntil) => void update(window, (count) => ({ ...count, pausedUntil })),
  };
}

const Counted = v.object({
  Attributes: v.object({ calls: NumberAttribute, pausedUntil: v.optional(NumberAttribute, { N: '0' }) }),
});

/** https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html */
export function createTableCounter(table: QuotaTable): WindowCounter {
  const update = async <const S extends v.GenericSchema>(
    { key, expire }: CountedWindow,
    expression: string,
    value: number,
    schema: S,
  ): Promise<v.InferOutput<S>> =>
    table.update(
      key,
      expression,
      { ':expire': { N: String(expire) }, ':value': { N: String(value) } },
      schema,
    );
  return {
    add: async (window, calls) =>
      (await update(window, 'SET expire = :expire ADD calls :value', calls, Counted)).Attributes,
    pause: async (window, pausedUntil) =>
      void (await update(window, 'SET expire = :expire, pausedUntil = :value', pausedUntil, v.unknown())),
  };
}
