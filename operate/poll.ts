import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds between two looks: soon at first, so that what is quick is told at once. */
const FIRST_MS = 100;
const LONGEST_MS = 5_000;

/** Looks until `look` answers something. @throws the signal's reason */
export async function pollUntil<T>(look: () => Promise<T | undefined>, signal: AbortSignal): Promise<T> {
  for (let pause = FIRST_MS; ; pause = Math.min(LONGEST_MS, pause * 1.5)) {
    const seen = await look();
    if (seen !== undefined) return seen;
    await sleep(pause, undefined, { signal });
  }
}
