import { expect, test } from 'vitest';
import { type Progress, reportProgress, watchProgress } from '../../../lib/invocation/progress.ts';
import { pinOf } from '../../support/values.ts';

const part = (bytes: number): Progress => ({ stage: 'part', pin: pinOf(9), bytes });

test('reports reach each subscriber in order until it unsubscribes', () => {
  const received: Record<'a' | 'b', Progress[]> = { a: [], b: [] };
  reportProgress(part(0));
  const stopA = watchProgress((progress) => received.a.push(progress));
  reportProgress(part(1));
  const stopB = watchProgress((progress) => received.b.push(progress));
  reportProgress(part(2));
  stopA();
  stopA(); // a second call does not affect the other subscriber
  reportProgress(part(3));
  stopB();
  reportProgress(part(4));
  expect(received).toEqual({ a: [part(1), part(2)], b: [part(2), part(3)] });
});
