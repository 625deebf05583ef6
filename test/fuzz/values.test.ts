import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mutated } from './values.ts';

function* arraysIn(value: unknown): Generator<unknown[]> {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) yield value;
  for (const inner of Object.values(value)) yield* arraysIn(inner);
}

test('mutates an array only by what JSON can express, whatever an entry is named', () => {
  fc.assert(
    fc.property(mutated([{ list: [[1, 2], ['a']] }]), (value) => {
      for (const array of arraysIn(value))
        expect(Object.getOwnPropertyNames(array)).toEqual([...array.keys(), 'length'].map(String));
    }),
    { numRuns: 5_000 },
  );
});
