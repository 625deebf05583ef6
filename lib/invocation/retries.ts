import pRetry from 'p-retry';
import { VodUnavailable } from '../errors.ts';
import { reportRetries } from './progress.ts';

/** Retries inside an invocation, with exponential backoff and jitter. The state machine does the later ones. */
const RETRY = { retries: 4, minTimeout: 200, factor: 3, maxTimeout: 5_000, randomize: true } as const;

/**
 * Repeats `attempt` while it throws {VodUnavailable}.
 * @param attempt gets its number, from 1, and a function that remembers an error that it handles itself
 * @throws its last error, or the reason of the signal
 */
export async function retryUnavailable<T>(
  signal: AbortSignal,
  attempt: (number: number, remember: (error: Error) => void) => Promise<T>,
): Promise<T> {
  let lastError: Error | undefined;
  const remember = (error: Error): void => {
    lastError = error;
  };
  const countedAttempt = (number: number): Promise<T> => {
    if (number > 1) reportRetries({ of: 'VOD', count: 1 });
    return attempt(number, remember);
  };
  try {
    return await pRetry(countedAttempt, {
      ...RETRY,
      signal,
      shouldRetry: ({ error }) => {
        remember(error);
        return error instanceof VodUnavailable;
      },
    });
  } catch (error) {
    throw signal.aborted && lastError ? lastError : error; // more informative than the end of the time
  }
}
