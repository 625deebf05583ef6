/**
 * At most `perMinute` turns in any minute, evenly.
 * @returns a function that takes the time, in milliseconds, and answers how many of them to wait for one's turn
 */
export function createRateLimiter(perMinute: number): (now: number) => number {
  const apart = Math.ceil(60_000 / perMinute);
  let next = Number.NEGATIVE_INFINITY;
  return (now) => {
    const turn = Math.max(now, next);
    next = turn + apart;
    return turn - now;
  };
}
