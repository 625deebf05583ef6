import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mutate } from './values.ts';

function* listArrays(value: unknown): Generator<unknown[]> {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) yield value;
  for (const inner of Object.values(value)) yield* listArrays(inner);
}

test('gives arrays only elements, even for an entry named constructor or __proto__', () => {
  fc.assert(
    fc.property(mutate([{ list: [[1, 2], ['a']] }]), (value) => {
      for (const array of listArrays(value))
        expect(Object.getOwnPropertyNames(array)).toEqual([...array.keys(), 'length'].map(String));
    }),
    { numRuns: 500 },
  );
});
