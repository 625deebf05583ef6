import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ExecutionStore } from '../../local/aws/execution-store.ts';
import type { ListeningServer } from '../../local/http-server.ts';
import { startStepFunctions } from '../support/step-functions.ts';
import { always, DOOR_MS } from './invariants.ts';
import { jsonText, mutated, nasty, spoilt } from './values.ts';
import { bytesOf, cuts, exchange, onLine, readAnswer, spoiltBytes, useFolder } from './wire.ts';

/** The calls of Step Functions that the local engine knows, by whatever request; see `law.ts`. */

const folder = useFolder();
let executions: ExecutionStore;
let states: ListeningServer;

beforeAll(async () => {
  // Executions that end at once: what is tried here is the door before them.
  executions = new ExecutionStore(join(folder.data, 'executions'), {
    run: async (input) => input,
    abort: () => {},
  });
  states = await startStepFunctions(executions);
});
afterAll(async () => {
  await states.close();
  await executions.close();
});

const { stateMachineArn } = ExecutionStore;
const executionArn = 'arn:aws:states:us-east-1:000000000000:execution:upload:known';
const GOOD = [
  { stateMachineArn, name: 'known', input: '{"bucket":"b","key":"k"}' },
  { stateMachineArn, name: '../../canary', input: '{}' },
  { stateMachineArn, name: '..', input: '{"__proto__":{"polluted":1}}' },
  { stateMachineArn, name: '片', input: '1' },
  { executionArn },
  { executionArn: `${executionArn}/../../../canary` },
];

const targets = fc.oneof(
  fc
    .constantFrom('StartExecution', 'StartExecution', 'DescribeExecution', 'RedriveExecution')
    .map((name) => `AWSStepFunctions.${name}`),
  fc.constantFrom('constructor', 'AWSStepFunctions.__proto__', 'toString', 'AWSStepFunctions.hasOwnProperty'),
  nasty.map(onLine).map((text) => Buffer.from(text).toString('latin1').trim()),
);
const requests = fc
  .tuple(
    targets,
    fc.oneof(
      mutated(GOOD).map((body) => JSON.stringify(body)),
      fc.constantFrom(...GOOD).map((body) => JSON.stringify(body)),
      fc.tuple(nasty, jsonText).map(([name, input]) => JSON.stringify({ stateMachineArn, name, input })),
      spoilt(fc.constant(JSON.stringify(GOOD[0]))),
      jsonText,
      nasty,
    ),
  )
  .map(([target, body]) => ({
    method: 'POST',
    target: '/',
    headers: [
      ['host', 'x'],
      ['connection', 'close'],
      ['content-type', 'application/x-amz-json-1.0'],
      ['x-amz-target', target],
      ['content-length', String(Buffer.byteLength(body))],
    ] as const,
    body,
  }));

const REFUSALS = [
  'UnknownOperationException',
  'StateMachineDoesNotExist',
  'InvalidName',
  'ExecutionAlreadyExists',
  'ExecutionNotRedrivable',
  'ExecutionDoesNotExist',
  'ValidationException',
  'InvalidExecutionInput',
  'SerializationException',
];
const Refusal = v.strictObject({ __type: v.picklist(REFUSALS), message: v.string() });
const Result = v.looseObject({});

async function expectLawful(bytes: Buffer, whole: boolean) {
  const said = await exchange(states.port, bytes, whole);
  await folder.expectUntouched(said);
  for (const name of await readdir(join(folder.data, 'executions')))
    expect(name).toMatch(/^[A-Za-z0-9._-]{1,120}\.json$/);
  return readAnswer(said);
}

test(
  'calls of every kind, some of it wrong: the result, or a refusal that Step Functions has',
  async () => {
    await always(requests, 200, async (request) => {
      const answer = await expectLawful(bytesOf(request), true);
      expect([200, 400]).toContain(answer?.status);
      if (answer?.status === 400 && answer.body === '') return; // what Node's own parser refuses
      const body: unknown = JSON.parse(answer?.body ?? '');
      if (answer?.status === 400) v.parse(Refusal, body);
      else
        expect(Object.keys(v.parse(Result, body))).toEqual(
          expect.arrayContaining([expect.stringMatching(/Arn$|Date$/)]),
        );
    });
  },
  DOOR_MS,
);

test(
  'bytes that are no request, or not a whole one: refused, or hung up on; and it goes on',
  async () => {
    await always(fc.tuple(requests, cuts), 60, async ([request, spoils]) => {
      const answer = await expectLawful(spoiltBytes(bytesOf(request), spoils), false);
      if (answer) expect(answer.status).not.toBe(500);
    });
  },
  DOOR_MS,
);
