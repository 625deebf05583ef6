/**
 * A resource that serves one amount after the other: a network card or a share of a core. It may run ahead by `burst`, which it
 * regains while it is idle.
 */
export type Meter = Readonly<{
  /** Adds an amount of work. Returns the milliseconds from `now` until it is done. */
  use(amount: number, now: number): number;
}>;

export function createMeter(perSecond: number, burst = 0): Meter {
  const burstMs = (burst / perSecond) * 1000;
  let busyUntil = 0;
  return {
    use(amount, now) {
      busyUntil = Math.max(busyUntil, now) + (amount / perSecond) * 1000;
      return Math.max(0, busyUntil - now - burstMs);
    },
  };
}
