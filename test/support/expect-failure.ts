import { expect } from 'vitest';
import { failureOf } from './values.ts';

/** Expects that a call fails with an error of this class name and with such a message. */
export async function expectFailure(call: Promise<unknown>, name: string, message = /^/): Promise<void> {
  expect(await failureOf(call)).toMatchObject({ name, message: expect.stringMatching(message) });
}
