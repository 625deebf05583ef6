import { expect, test } from 'vitest';
import { simulateExecution } from '../../../bench/simulate-execution.ts';

const GiB = 1024 ** 3;
const OBJECT = { size: 10 * GiB, isMissing: () => true, partsPerSecond: 20, hashBytesPerSecond: 300e6 };

test('simulateExecution runs the deployed state machine, sends each part once, and hands over at the time limit', async () => {
  const run = await simulateExecution(OBJECT);
  expect(run).toMatchObject({ sentParts: 10_240, batches: 16, invocations: 18 });

  const slow = await simulateExecution({ ...OBJECT, partsPerSecond: 0.1 });
  expect(slow).toMatchObject({ sentParts: 10_240, batches: 16, invocations: 130 });

  const hashedTwice = await simulateExecution({ ...OBJECT, hashBytesPerSecond: 10e6 });
  expect(hashedTwice.invocations).toBe(19);
});

test('simulateExecution sends only the parts that VOD lacks', async () => {
  const run = await simulateExecution({ ...OBJECT, size: GiB, isMissing: (part) => part % 2 === 0 });
  expect(run).toMatchObject({ sentParts: 512, batches: 2 });
});
