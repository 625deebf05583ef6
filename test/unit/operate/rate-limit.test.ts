import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRateLimiter } from '../../../operate/rate-limit.ts';

const MINUTE = 60_000;

test('grants at most perMinute turns in any minute', () => {
  const gaps = fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 3 * MINUTE })), { maxLength: 300 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2_000 }), gaps, (perMinute, waits) => {
      const reserveTurn = createRateLimiter(perMinute);
      let now = 0;
      const turns = waits.map((wait) => {
        now += wait;
        now += reserveTurn(now);
        return now;
      });
      for (const [first, turn] of turns.entries()) {
        const within = turns.slice(first).filter((later) => later < turn + MINUTE);
        expect(within.length).toBeLessThanOrEqual(perMinute);
      }
    }),
  );
});

test('spaces turns evenly and does not delay a late one', () => {
  const reserveTurn = createRateLimiter(60);
  expect([reserveTurn(0), reserveTurn(0), reserveTurn(0), reserveTurn(10_000), reserveTurn(10_500)]).toEqual([
    0, 1000, 2000, 0, 500,
  ]);
});
