import fc from 'fast-check';
import * as errors from '../../lib/errors.ts';

/**
 * The law of every door: bad input is answered with the right result or a typed error. It never hangs, crashes, pollutes a
 * prototype, or tells a secret. In `npm test` each door is tried a little; CONTRIBUTING.md says how to try it for long.
 */

/** What nobody may be told: doors that know secrets know this one. */
export const SECRET = 'SecretOfTheFuzzer-f1E2d3C4';

const { FUZZ_RUNS, FUZZ_SECONDS, FUZZ_SEED } = process.env;
export const LONG = FUZZ_RUNS !== undefined || FUZZ_SECONDS !== undefined;

/** Milliseconds of one try, and of one door. */
const TRY_MS = 20_000;
export const DOOR_MS = LONG ? 24 * 60 * 60 * 1000 : 60_000;

/** `predicate` holds for all inputs. What fails is shrunk and told with its seed. */
export function always<T>(
  inputs: fc.Arbitrary<T>,
  quickly: number,
  predicate: (input: T) => Promise<void> | void,
): Promise<void> {
  const before = prototypes();
  const property = fc.asyncProperty(inputs, async (input) => {
    await predicate(input);
    if (prototypes() !== before) throw new Error(`a prototype was polluted: ${prototypes()}`);
  });
  return fc.assert(property, {
    numRuns: Number(FUZZ_RUNS ?? (FUZZ_SECONDS ? Number.MAX_SAFE_INTEGER : quickly)),
    timeout: TRY_MS,
    ...(FUZZ_SECONDS && { interruptAfterTimeLimit: Number(FUZZ_SECONDS) * 1000 }),
    ...(FUZZ_SEED && { seed: Number(FUZZ_SEED) }),
  });
}

const prototypes = (): string =>
  [Object, Array, Function, String, Number, Map, Promise]
    .map(({ prototype }) => Reflect.ownKeys(prototype).map(String).join())
    .join(';');

type Refused = Readonly<{ refused: Error }>;

/** What a door lets in; or its typed error, whose words are few and tell no secret. */
export async function admitted<T>(
  call: () => Promise<T> | T,
  isTyped: (error: Error) => boolean = isOfTheChain,
): Promise<Readonly<{ value: T }> | Refused> {
  try {
    return { value: await call() };
  } catch (error) {
    if (!(error instanceof Error) || !isTyped(error)) {
      throw new Error(`not a typed error: ${error}`, { cause: error });
    }
    for (let told: unknown = error; told instanceof Error; told = told.cause) {
      if (`${told.message}${told.stack}`.includes(SECRET)) throw new Error(`a secret is told: ${told.stack}`);
    }
    if (isOfTheChain(error) && error.message.length > LONGEST_MESSAGE)
      throw new Error(`${error.message.length} characters of message`);
    return { refused: error };
  }
}

/** An error is read by people, and is part of the state machine's history. */
const LONGEST_MESSAGE = 8 * 1024;

const ofTheChain = Object.values(errors).filter(
  (value) => 'prototype' in value && value.prototype instanceof Error,
);
export const isOfTheChain = (error: Error): boolean => ofTheChain.some(({ name }) => name === error.name);
