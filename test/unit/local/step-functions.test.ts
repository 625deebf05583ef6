import { join } from 'node:path';
import * as v from 'valibot';
import { expect, onTestFinished, test } from 'vitest';
import { ExecutionStore } from '../../../local/aws/execution-store.ts';
import { startStepFunctions } from '../../support/step-functions.ts';
import { newFolder } from '../../support/temp-folder.ts';

/** What fuzzing has found in the local engine's door; `test/fuzz/engine.test.ts` looks for more. */

async function states() {
  const dir = join(await newFolder(), 'executions');
  const executions = new ExecutionStore(dir, { run: async (input) => input, abort: () => {} });
  const { endpoint, close } = await startStepFunctions(executions);
  onTestFinished(close);
  return async (target: string, body: string): Promise<string> => {
    const reply = await fetch(endpoint, { method: 'POST', headers: { 'x-amz-target': target }, body });
    const { __type: type } = v.parse(
      v.object({ __type: v.optional(v.string(), 'done') }),
      await reply.json(),
    );
    return `${reply.status} ${type}`;
  };
}

const starting = (more: object): string =>
  JSON.stringify({ stateMachineArn: ExecutionStore.stateMachineArn, name: 'n', input: '{}', ...more });

test('an operation that JavaScript knows and Step Functions does not is none', async () => {
  const ask = await states();
  for (const name of ['constructor', '__proto__', 'toString', 'AWSStepFunctions.valueOf', 'nothing'])
    expect(await ask(name, '{}')).toBe('400 UnknownOperationException');
});

test('a body that is no JSON is the sender’s fault', async () => {
  const ask = await states();
  for (const body of ['{', 'x'])
    expect(await ask('AWSStepFunctions.StartExecution', body)).toBe('400 SerializationException');
});

test('a body longer than any call may have is not kept', async () => {
  const ask = await states();
  expect(await ask('AWSStepFunctions.StartExecution', ' '.repeat(20_000_000))).toBe(
    '400 RequestTooLargeException',
  );
});

test('an input that is too deep to be written down is none', async () => {
  const ask = await states();
  const input = '['.repeat(20_000) + ']'.repeat(20_000);
  expect(await ask('AWSStepFunctions.StartExecution', starting({ input }))).toBe('400 InvalidExecutionInput');
});

test('a name that no record can have is none', async () => {
  const ask = await states();
  for (const name of ['片', '../n', 'a b', '', 'n'.repeat(81)])
    expect(await ask('AWSStepFunctions.StartExecution', starting({ name }))).toBe('400 InvalidName');
  expect(await ask('AWSStepFunctions.StartExecution', starting({ name: '..' }))).toBe('200 done');
});
