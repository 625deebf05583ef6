import { expect, test } from 'vitest';
import { type Progress, reportProgress, watchProgress } from '../../lib/progress.ts';
import { pinOf } from '../support/values.ts';

const part = (bytes: number): Progress => ({ stage: 'part', pin: pinOf(9), bytes });

test('each watcher hears each step, in order, until it stops watching', () => {
  const heard: Record<'a' | 'b', Progress[]> = { a: [], b: [] };
  reportProgress(part(0));
  const stopA = watchProgress((step) => heard.a.push(step));
  reportProgress(part(1));
  const stopB = watchProgress((step) => heard.b.push(step));
  reportProgress(part(2));
  stopA();
  reportProgress(part(3));
  stopB();
  reportProgress(part(4));
  expect(heard).toEqual({ a: [part(1), part(2)], b: [part(2), part(3)] });
});

test('to stop twice stops nobody else', () => {
  const heard: Progress[] = [];
  const stopFirst = watchProgress(() => {});
  const stopSecond = watchProgress((step) => heard.push(step));
  stopFirst();
  stopFirst();
  reportProgress(part(1));
  stopSecond();
  expect(heard).toEqual([part(1)]);
});
