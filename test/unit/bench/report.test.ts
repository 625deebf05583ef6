import { expect, test } from 'vitest';
import { evaluate, formatResult } from '../../../bench/report.ts';

test('evaluate compares the ratio of value to reference with the target', () => {
  const finding = { value: 180, unit: 'B/s', reference: 200 } as const;
  expect(evaluate('hash', { atLeast: 0.9 }, finding)).toEqual({
    scenario: 'hash',
    value: 180,
    unit: 'B/s',
    reference: 200,
    ratio: 0.9,
    reach: 0.9,
    ok: true,
  });
  expect(evaluate('hash', { atLeast: 0.91 }, finding).ok).toBe(false);
  expect(evaluate('hash', { atMost: 0.89 }, finding).ok).toBe(false);
});

test('evaluate compares the value itself if there is no reference', () => {
  const result = evaluate('cost', { atMost: 0.002 }, { value: 0.0019, unit: '$' });
  expect(result).toMatchObject({ value: 0.0019, reference: null, ratio: null, reach: 0.002, ok: true });
});

test('a condition that does not hold fails the scenario and appears in the output', () => {
  const finding = { value: 2, unit: 'B/s', reference: 1, conditions: { 'no 4400': false } } as const;
  const result = evaluate('quota', { atLeast: 1 }, finding);
  expect(result.ok).toBe(false);
  expect(formatResult(result, { atLeast: 1 }, 'the quota', finding).join('\n')).toContain('MISS no 4400');
});
