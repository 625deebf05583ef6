import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { prefetch } from '../../../lib/upload/prefetch.ts';
import { failureOf, never } from '../../support/values.ts';

/** Reads that run until the test settles them. */
function createReads() {
  const running = new Map<number, PromiseWithResolvers<string>>();
  const signals: AbortSignal[] = [];
  const started: number[] = [];
  let maxRunning = 0;
  const read = async (item: number, signal: AbortSignal): Promise<string> => {
    const work = Promise.withResolvers<string>();
    signals.push(signal);
    started.push(item);
    running.set(item, work);
    maxRunning = Math.max(maxRunning, running.size);
    signal.addEventListener('abort', () => work.reject(new Error(`${item} was aborted`)), { once: true });
    try {
      return await work.promise;
    } finally {
      running.delete(item);
    }
  };
  return { read, running, signals, started, maxRunning: () => maxRunning };
}

const nextTick = () => new Promise((resolve) => setImmediate(resolve));

test('yields the results in the order of the items', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(30),
      fc.integer({ min: 1, max: 8 }),
      fc.scheduler(),
      async (count, concurrency, scheduler) => {
        const items = Array.from({ length: count }, (_, n) => n);
        const read = scheduler.scheduleFunction(async (item: number) => `read ${item}`);
        const results: string[] = [];
        const consume = async () => {
          for await (const { item, result } of prefetch(items, concurrency, read, never))
            results[item] = `${item}: ${result}`;
        };
        await scheduler.waitFor(consume());
        expect(results).toEqual(items.map((item) => `${item}: read ${item}`));
      },
    ),
    { numRuns: 50 },
  );
});

test('runs at most `concurrency` reads at the same time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(30), fc.integer({ min: 1, max: 8 }), async (count, concurrency) => {
      const { read, running, maxRunning } = createReads();
      const items = Array.from({ length: count }, (_, n) => n);
      const reads = prefetch(items, concurrency, read, never);
      for (const item of items) {
        const next = reads.next();
        await nextTick();
        running.get(item)?.resolve('');
        await next;
      }
      await reads.next();
      expect(maxRunning()).toBeLessThanOrEqual(concurrency);
    }),
    { numRuns: 50 },
  );
});

describe('leaves no read running', () => {
  const consumeUntil = async (reads: AsyncGenerator<{ item: number }>, stop: (item: number) => boolean) => {
    for await (const { item } of reads) if (stop(item)) break;
  };

  test('when the consumer stops', async () => {
    const { read, running, signals, started } = createReads();
    const consumed = consumeUntil(prefetch([0, 1, 2, 3, 4, 5], 3, read, never), () => true);
    running.get(0)?.resolve('');
    await consumed;
    expect(started.length).toBeGreaterThan(1);
    expect([...running.keys()]).toEqual([]);
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
  });

  test('when the consumer throws', async () => {
    const { read, running } = createReads();
    const consumed = consumeUntil(prefetch([0, 1, 2, 3], 3, read, never), () => {
      throw new Error('no more');
    });
    running.get(0)?.resolve('');
    await expect(consumed).rejects.toThrow('no more');
    expect([...running.keys()]).toEqual([]);
  });

  test.each([0, 2])('when read %i fails, and throws its error in its turn', async (failing) => {
    const unhandled = recordUnhandledRejections();
    const { read, running, signals } = createReads();
    const failed = failureOf(consumeUntil(prefetch([0, 1, 2, 3, 4, 5], 3, read, never), () => false));
    running.get(failing)?.reject(new Error(`${failing} broke`));
    await nextTick();
    for (let item = 0; item < failing; item++) {
      running.get(item)?.resolve('');
      await nextTick();
    }
    expect((await failed).message).toBe(`${failing} broke`);
    expect([...running.keys()]).toEqual([]);
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
    await nextTick();
    expect(unhandled).toEqual([]);
  });

  test('when a read ignores the abort', async () => {
    const slow = Promise.withResolvers<void>();
    let settled = false;
    const read = async (item: number) => {
      if (item === 0) throw new Error('0 broke');
      await slow.promise;
      settled = true;
    };
    const consumed = consumeUntil(prefetch([0, 1], 2, read, never), () => false);
    const failed = consumed.catch(() => settled);
    await nextTick();
    slow.resolve();
    expect(await failed).toBe(true);
  });

  test('when the signal aborts', async () => {
    const controller = new AbortController();
    const { read, running, started } = createReads();
    const consumed = consumeUntil(prefetch([0, 1, 2, 3, 4, 5], 2, read, controller.signal), () => false);
    controller.abort();
    await expect(consumed).rejects.toThrow('0 was aborted');
    const startedBefore = [...started];
    await nextTick();
    expect([...running.keys()]).toEqual([]);
    expect(started).toEqual(startedBefore);
  });

  test('when the iteration of the items fails', async () => {
    const { read, running } = createReads();
    function* items() {
      yield 0;
      yield 1;
      throw new Error('no third item');
    }
    const consumed = consumeUntil(prefetch(items(), 2, read, never), () => false);
    const failed = consumed.catch((error: Error) => [error.message, ...running.keys()]);
    await nextTick();
    running.get(0)?.resolve('');
    expect(await failed).toEqual(['no third item']);
  });
});

test('reads nothing without items', async () => {
  const { read, started } = createReads();
  expect(await prefetch<number, string>([], 3, read, never).next()).toEqual({ done: true, value: undefined });
  expect(started).toEqual([]);
});

function recordUnhandledRejections(): unknown[] {
  const seen: unknown[] = [];
  const watch = (reason: unknown): void => void seen.push(reason);
  process.on('unhandledRejection', watch);
  onTestFinished(() => void process.off('unhandledRejection', watch));
  return seen;
}
