import { expect, test } from 'vitest';
import { historyEvents } from '../../../bench/history.ts';
import { simulateExecution } from '../../../bench/simulate-execution.ts';

const GiB = 1024 ** 3;

test('a task is five events, a map four and two for each item, all else two', () => {
  const none = { Task: 0, Map: 0, Choice: 0, Pass: 0, Succeed: 0, items: 0 };
  expect(historyEvents(none)).toBe(2);
  expect(historyEvents({ ...none, Task: 1 })).toBe(2 + 5);
  expect(historyEvents({ ...none, Map: 1, items: 3 })).toBe(2 + 4 + 6);
  expect(historyEvents({ ...none, Choice: 1, Pass: 1, Succeed: 1 })).toBe(2 + 6);
});

test('the state machine that ships is run through: each part once, hand-overs where the time is over', async () => {
  const journey = { size: 10 * GiB, isMissing: () => true, partsPerSecond: 20, hashBytesPerSecond: 300e6 };
  const course = await simulateExecution(journey);
  expect(course).toMatchObject({ sentParts: 10_240, entered: { items: 40, Task: 42, Map: 1 } });

  const slow = await simulateExecution({ ...journey, partsPerSecond: 0.1 });
  expect(slow).toMatchObject({ sentParts: 10_240, entered: { items: 40, Task: 122 } });

  const hashedTwice = await simulateExecution({ ...journey, hashBytesPerSecond: 10e6 });
  expect(hashedTwice.entered.Task).toBe(43);
});

test('what the service holds is not sent', async () => {
  const isMissing = (part: number) => part % 2 === 0;
  const course = await simulateExecution({
    size: GiB,
    isMissing,
    partsPerSecond: 20,
    hashBytesPerSecond: 300e6,
  });
  expect(course).toMatchObject({ sentParts: 512, entered: { items: 2 } });
});
