import { expect } from 'vitest';
import { failureOf } from './values.ts';

/** Expects that a call fails with an error of this class name whose message matches, or contains the text. */
export async function expectFailure(
  call: Promise<unknown>,
  name: string,
  message: RegExp | string = '',
): Promise<void> {
  expect(await failureOf(call)).toMatchObject({
    name,
    message: typeof message === 'string' ? expect.stringContaining(message) : expect.stringMatching(message),
  });
}
