/**
 * One value at a time, for as long as it is asked for by the same key: what a function keeps from one invocation to the next.
 * `close` ends a value that another takes the place of.
 */
export function cacheByKey<T>(close: (value: T) => void) {
  let kept: { key: string; value: T } | undefined;
  const release = (): void => {
    if (kept) close(kept.value);
    kept = undefined;
  };
  const get = (key: string, make: () => T): T => {
    if (kept?.key !== key) {
      release();
      kept = { key, value: make() };
    }
    return kept.value;
  };
  return { get, release };
}
