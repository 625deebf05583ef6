import fc from 'fast-check';
import { ERROR_NAMES } from '../support/sources.ts';

/**
 * The invariants of every boundary: it maps bad input to the right result or a typed error. It never hangs, crashes, changes a
 * prototype, or reveals a secret. `npm test` makes a short run; CONTRIBUTING.md describes long ones.
 */

/** The secret of every boundary that has one. No response and no error may contain it. */
export const SECRET = 'SecretOfTheFuzzer-f1E2d3C4';

const { FUZZ_RUNS, FUZZ_SECONDS } = process.env;

const RUN_TIMEOUT_MS = 20_000;

/** Errors appear in logs and in the history of an execution. */
const MAX_MESSAGE_CHARS = 8 * 1024;

/** Asserts that `predicate` holds for all inputs: `runs` of them, unless FUZZ_RUNS or FUZZ_SECONDS says otherwise. */
export function assertAlways<T>(
  inputs: fc.Arbitrary<T>,
  runs: number,
  predicate: (input: T) => Promise<void> | void,
): Promise<void> {
  const before = describePrototypes();
  const property = fc.asyncProperty(inputs, async (input) => {
    await predicate(input);
    if (describePrototypes() !== before) throw new Error(`a prototype changed: ${describePrototypes()}`);
  });
  return fc.assert(property, {
    numRuns: Number(FUZZ_RUNS ?? (FUZZ_SECONDS ? Number.MAX_SAFE_INTEGER : runs)),
    timeout: RUN_TIMEOUT_MS,
    ...(FUZZ_SECONDS && { interruptAfterTimeLimit: Number(FUZZ_SECONDS) * 1000 }),
  });
}

const describePrototypes = (): string =>
  [Object, Array, Function, String, Number, Map, Promise]
    .map(({ prototype }) => Reflect.ownKeys(prototype).map(String).join())
    .join(';');

export const isProjectError = (error: Error): boolean => ERROR_NAMES.includes(error.name);

/**
 * Returns the value of a call or its typed error.
 * @throws {Error} if the error has another type, reveals the secret, or is too long
 */
export async function attempt<T>(
  call: () => Promise<T> | T,
  isTyped: (error: Error) => boolean = isProjectError,
): Promise<Readonly<{ value: T }> | Readonly<{ error: Error }>> {
  try {
    return { value: await call() };
  } catch (error) {
    if (!(error instanceof Error) || !isTyped(error))
      throw new Error(`not a typed error: ${error}`, { cause: error });
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
      if (`${cause.message}${cause.stack}`.includes(SECRET))
        throw new Error(`an error reveals the secret: ${cause.stack}`);
    if (isProjectError(error) && error.message.length > MAX_MESSAGE_CHARS)
      throw new Error(`the message has ${error.message.length} characters`);
    return { error };
  }
}
