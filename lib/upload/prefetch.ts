/**
 * Reads ahead: runs `read` for up to `ahead` items at once, also while a result is worked on; yields results in order.
 * When the reader stops early or a read fails, the others are aborted and waited for: nothing is left running.
 */
export async function* prefetch<T, R>(
  items: Iterable<T>,
  concurrency: number,
  read: (item: T, signal: AbortSignal) => Promise<R>,
  signal: AbortSignal,
  discard: (result: R) => void = () => {},
): AsyncGenerator<{ item: T; result: R }> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const source = items[Symbol.iterator]();
  const running: { item: T; reading: Promise<R> }[] = [];
  const fill = (): void => {
    while (running.length < concurrency) {
      const next = source.next();
      if (next.done) return;
      const reading = read(next.value, either);
      reading.catch(() => {}); // a later item may fail before its turn comes; it is reported then
      running.push({ item: next.value, reading });
    }
  };
  try {
    fill();
    for (let [head] = running; head; [head] = running) {
      const result = await head.reading;
      running.shift();
      fill();
      yield { item: head.item, result };
    }
  } finally {
    stop.abort();
    const unread = await Promise.allSettled(running.map(({ reading }) => reading));
    for (const one of unread) if (one.status === 'fulfilled') discard(one.value);
  }
}
