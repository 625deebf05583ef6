import type { FleetObject } from './steps.ts';

/** `lastObjectAt`: when the last object sent its first part. `partsBeforeLast`: parts of all objects until then. */
export type Sending = Readonly<{ firstPartAt: number; lastObjectAt: number; partsBeforeLast: number }>;

export type PartObserver = Readonly<{
  /** Records that VOD confirmed a part. */
  onPart(object: FleetObject): void;
  sending(): Sending;
  /** Parts sent in each minute, by size of their object. */
  byMinute: ReadonlyMap<number, readonly number[]>;
}>;

/** @param now the milliseconds since the start of the run */
export function createPartObserver(now: () => number): PartObserver {
  const byMinute = new Map<number, number[]>();
  let sending: Sending | undefined;
  let parts = 0;
  return {
    byMinute,
    sending: () => sending ?? { firstPartAt: 0, lastObjectAt: 0, partsBeforeLast: 0 },
    onPart(object) {
      const at = now();
      object.lastPartAt = at;
      if (object.firstPartAt === undefined) {
        object.firstPartAt = at;
        sending = { firstPartAt: sending?.firstPartAt ?? at, lastObjectAt: at, partsBeforeLast: parts };
      }
      parts++;
      const counts = byMinute.get(object.size) ?? [];
      byMinute.set(object.size, counts);
      const minute = Math.floor(at / 60_000);
      counts[minute] = (counts[minute] ?? 0) + 1;
    },
  };
}
