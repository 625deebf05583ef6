import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ExecutionStore } from '../../../local/aws/execution-store.ts';
import { startStepFunctions } from '../../support/step-functions.ts';
import { newFolder } from '../../support/temp-folder.ts';

/** Invalid requests that fuzzing found. `test/fuzz/engine.test.ts` looks for more. */

const ErrorBody = v.object({ __type: v.optional(v.string(), 'started') });

/** Starts the server. Returns a function that sends a call and returns the status and the error type. */
async function startServer() {
  const dir = join(await newFolder(), 'executions');
  const executions = new ExecutionStore(dir, { run: async (input) => input, abort: () => {} });
  const { endpoint, close } = await startStepFunctions(executions);
  onTestFinished(close);
  return async (target: string, body: string): Promise<string> => {
    const response = await fetch(endpoint, { method: 'POST', headers: { 'x-amz-target': target }, body });
    return `${response.status} ${v.parse(ErrorBody, await response.json()).__type}`;
  };
}

// Every JavaScript object has properties of these names.
const PROPERTIES = ['constructor', '__proto__', 'toString', 'AWSStepFunctions.valueOf'];
test.each(['nothing', ...PROPERTIES])('the unknown target %s is rejected', async (target) => {
  const call = await startServer();
  expect(await call(target, '{}')).toBe('400 UnknownOperationException');
});

describe('StartExecution', () => {
  const { stateMachineArn } = ExecutionStore;
  const start = async (changes: object): Promise<string> => {
    const body = JSON.stringify({ stateMachineArn, name: 'n', input: '{}', ...changes });
    return (await startServer())('AWSStepFunctions.StartExecution', body);
  };

  test.each([
    ['{', 'SerializationException'],
    ['x', 'SerializationException'],
    [' '.repeat(20_000_000), 'RequestTooLargeException'],
  ])('rejects the body %.20j with %s', async (body, type) => {
    const call = await startServer();
    expect(await call('AWSStepFunctions.StartExecution', body)).toBe(`400 ${type}`);
  });

  test('rejects an input that is nested too deeply to be written', async () => {
    const input = '['.repeat(20_000) + ']'.repeat(20_000);
    expect(await start({ input })).toBe('400 InvalidExecutionInput');
  });

  test.each(['片', '../n', 'clip.mp4', '..', 'a b', '', 'n'.repeat(81)])(
    'rejects the name "%s", whose execution Step Functions may not log',
    async (name) => {
      expect(await start({ name })).toBe('400 InvalidName');
    },
  );

  test('accepts letters, digits, hyphens, and underscores', async () => {
    expect(await start({ name: 'Clip_1-mp4' })).toBe('200 started');
  });
});
