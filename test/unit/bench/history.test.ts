import { expect, test } from 'vitest';
import { countHistoryEvents } from '../../../bench/history.ts';
import { simulateExecution } from '../../../bench/simulate-execution.ts';

const GiB = 1024 ** 3;
const OBJECT = { size: 10 * GiB, isMissing: () => true, partsPerSecond: 20, hashBytesPerSecond: 300e6 };

test('countHistoryEvents counts five events per task, four per map plus two per item, and two per other state', () => {
  const none = { Task: 0, Map: 0, Choice: 0, Pass: 0, Succeed: 0, items: 0 };
  expect(countHistoryEvents(none)).toBe(2);
  expect(countHistoryEvents({ ...none, Task: 1 })).toBe(2 + 5);
  expect(countHistoryEvents({ ...none, Map: 1, items: 3 })).toBe(2 + 4 + 6);
  expect(countHistoryEvents({ ...none, Choice: 1, Pass: 1, Succeed: 1 })).toBe(2 + 6);
});

test('simulateExecution runs the deployed state machine, sends each part once, and hands over at the time limit', async () => {
  const run = await simulateExecution(OBJECT);
  expect(run).toMatchObject({ sentParts: 10_240, entered: { items: 40, Task: 42, Map: 1 } });

  const slow = await simulateExecution({ ...OBJECT, partsPerSecond: 0.1 });
  expect(slow).toMatchObject({ sentParts: 10_240, entered: { items: 40, Task: 122 } });

  const hashedTwice = await simulateExecution({ ...OBJECT, hashBytesPerSecond: 10e6 });
  expect(hashedTwice.entered.Task).toBe(43);
});

test('simulateExecution sends only the parts that VOD lacks', async () => {
  const run = await simulateExecution({ ...OBJECT, size: GiB, isMissing: (part) => part % 2 === 0 });
  expect(run).toMatchObject({ sentParts: 512, entered: { items: 2 } });
});
