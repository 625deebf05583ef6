import { expect, test } from 'vitest';
import { judge, lines } from '../../../bench/report.ts';

test('a number is judged by its ratio to the reference', () => {
  const finding = { value: 180, unit: 'B/s', reference: 200 } as const;
  expect(judge('hash', { atLeast: 0.9 }, finding)).toEqual({
    scenario: 'hash',
    value: 180,
    unit: 'B/s',
    reference: 200,
    ratio: 0.9,
    reach: 0.9,
    ok: true,
  });
  expect(judge('hash', { atLeast: 0.91 }, finding).ok).toBe(false);
  expect(judge('hash', { atMost: 0.89 }, finding).ok).toBe(false);
});

test('without a reference it is judged by itself', () => {
  expect(judge('cost', { atMost: 0.002 }, { value: 0.0019, unit: '$' })).toEqual({
    scenario: 'cost',
    value: 0.0019,
    unit: '$',
    reference: null,
    ratio: null,
    reach: 0.002,
    ok: true,
  });
});

test('what must be so besides can spoil it', () => {
  const finding = { value: 2, unit: 'B/s', reference: 1, besides: { 'no 4400': false } } as const;
  const outcome = judge('quota', { atLeast: 1 }, finding);
  expect(outcome.ok).toBe(false);
  expect(lines(outcome, { atLeast: 1 }, 'the quota', finding).join('\n')).toContain('MISS no 4400');
});
