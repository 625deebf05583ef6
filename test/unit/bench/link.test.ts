import { expect, test } from 'vitest';
import { BandwidthLimit } from '../../../local/network-simulator.ts';

test('a connection takes as long as its bytes, whatever pieces they come in', () => {
  const pace = new BandwidthLimit(1_000_000);
  pace.begin(0);
  expect(pace.take(100_000, 0)).toBeCloseTo(100);
  expect(pace.take(50_000, 100)).toBeCloseTo(50);
  expect(pace.take(50_000, 100)).toBeCloseTo(100);
});

test('a timer that is late is made good, a peer that is slow is not', () => {
  const pace = new BandwidthLimit(1_000_000);
  pace.begin(0);
  pace.take(100_000, 0);
  expect(pace.take(100_000, 105)).toBeCloseTo(95);
  expect(pace.take(100_000, 1_200)).toBeCloseTo(80);
});

test('idle time between two bodies is not saved up', () => {
  const pace = new BandwidthLimit(1_000_000);
  pace.begin(0);
  pace.take(100_000, 0);
  pace.begin(5_000);
  expect(pace.take(100_000, 5_000)).toBeCloseTo(100);
});
