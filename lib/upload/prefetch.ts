/**
 * Runs `read` for up to `concurrency` items at the same time, also while the consumer processes a result. Yields the results in
 * order. When the consumer stops or a read fails, it aborts the other reads and waits for them.
 * @param discard receives each result that the consumer does not get
 */
export async function* prefetch<T, R>(
  items: Iterable<T>,
  concurrency: number,
  read: (item: T, signal: AbortSignal) => Promise<R>,
  signal: AbortSignal,
  discard: (result: R) => void = () => {},
): AsyncGenerator<{ item: T; result: R }> {
  const stop = new AbortController();
  const anySignal = AbortSignal.any([signal, stop.signal]);
  const source = items[Symbol.iterator]();
  const running: { item: T; reading: Promise<R> }[] = [];
  const startReads = (): void => {
    while (running.length < concurrency) {
      const next = source.next();
      if (next.done) return;
      const reading = read(next.value, anySignal);
      reading.catch(() => {}); // handled when it is this item's turn
      running.push({ item: next.value, reading });
    }
  };
  try {
    startReads();
    for (let [first] = running; first; [first] = running) {
      const result = await first.reading;
      running.shift();
      startReads();
      yield { item: first.item, result };
    }
  } finally {
    stop.abort();
    const unused = await Promise.allSettled(running.map(({ reading }) => reading));
    for (const read of unused) if (read.status === 'fulfilled') discard(read.value);
  }
}
