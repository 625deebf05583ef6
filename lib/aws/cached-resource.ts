/** Keeps one value between invocations, as long as its key is the same. `close` disposes of a replaced value. */
export function cacheByKey<T>(close: (value: T) => void) {
  let cached: { key: string; value: T } | undefined;
  const release = (): void => {
    if (cached) close(cached.value);
    cached = undefined;
  };
  const get = (key: string, create: () => T): T => {
    if (cached?.key !== key) {
      release();
      cached = { key, value: create() };
    }
    return cached.value;
  };
  return { get, release };
}
