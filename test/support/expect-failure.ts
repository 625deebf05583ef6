import { expect } from 'vitest';
import { failureOf } from './values.ts';

/** Expects that a call fails with an error of this class name whose message matches, or contains the text. Returns the error. */
export async function expectFailure(
  call: Promise<unknown>,
  name: string,
  message: RegExp | string = '',
): Promise<Error> {
  const error = await failureOf(call);
  expect(error).toMatchObject({
    name,
    message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
  });
  return error;
}
