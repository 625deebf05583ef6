/**
 * Spaces turns evenly, with at most `perMinute` in any minute.
 * @returns a function that reserves the next turn: it takes the time and returns how long to wait, both in milliseconds
 */
export function createRateLimiter(perMinute: number): (now: number) => number {
  const interval = Math.ceil(60_000 / perMinute);
  let next = Number.NEGATIVE_INFINITY;
  return (now) => {
    const turn = Math.max(now, next);
    next = turn + interval;
    return turn - now;
  };
}
