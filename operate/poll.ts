import { setTimeout as sleep } from 'node:timers/promises';

/** The delay grows from the first to the longest, so that short work is reported soon. */
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;

/** Calls `read` until it returns a value. @throws the reason of the signal */
export async function pollUntil<T>(read: () => Promise<T | undefined>, signal: AbortSignal): Promise<T> {
  for (let delay = FIRST_DELAY_MS; ; delay = Math.min(MAX_DELAY_MS, delay * 1.5)) {
    const value = await read();
    if (value !== undefined) return value;
    await sleep(delay, undefined, { signal });
  }
}
