import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRateLimiter } from '../../../operate/rate-limit.ts';

const MINUTE = 60_000;

test('whenever they come, in any minute there are no more turns than were asked for', () => {
  const gaps = fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 3 * MINUTE })), { maxLength: 300 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2_000 }), gaps, (perMinute, waits) => {
      const pace = createRateLimiter(perMinute);
      let now = 0;
      const turns = waits.map((wait) => {
        now += wait;
        now += pace(now);
        return now;
      });
      for (const [first, turn] of turns.entries()) {
        const within = turns.slice(first).filter((later) => later < turn + MINUTE);
        expect(within.length).toBeLessThanOrEqual(perMinute);
      }
    }),
  );
});

test('who comes late enough does not wait; who comes at once is served evenly', () => {
  const pace = createRateLimiter(60);
  expect([pace(0), pace(0), pace(0), pace(10_000), pace(10_500)]).toEqual([0, 1000, 2000, 0, 500]);
});
