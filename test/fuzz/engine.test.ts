import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ExecutionStore } from '../../local/aws/execution-store.ts';
import type { ListeningServer } from '../../local/http-server.ts';
import { startStepFunctions } from '../support/step-functions.ts';
import { assertAlways } from './invariants.ts';
import { corrupt, hostileText, jsonText, mutate, words } from './values.ts';
import {
  corruptBytes,
  cuts,
  encodeRequest,
  exchange,
  parseRawResponse,
  toHeaderValue,
  useWatchedFolder,
} from './wire.ts';

const folder = useWatchedFolder();
let executions: ExecutionStore;
let states: ListeningServer;

beforeAll(async () => {
  // Executions end immediately: only the boundary before them is under test.
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
const VALID = [
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
  hostileText.map(toHeaderValue),
);
const requests = fc
  .tuple(
    targets,
    fc.oneof(
      mutate(VALID).map((body) => JSON.stringify(body)),
      fc.constantFrom(...VALID).map((body) => JSON.stringify(body)),
      fc
        .tuple(hostileText, jsonText)
        .map(([name, input]) => JSON.stringify({ stateMachineArn, name, input })),
      corrupt(fc.constant(JSON.stringify(VALID[0]))),
      jsonText,
      hostileText,
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

const ERRORS = words(`
  UnknownOperationException StateMachineDoesNotExist InvalidName ExecutionAlreadyExists
  ExecutionNotRedrivable ExecutionDoesNotExist ValidationException InvalidExecutionInput
  SerializationException
`);
const ErrorBody = v.strictObject({ __type: v.picklist(ERRORS), message: v.string() });
const Result = v.looseObject({});

async function expectInvariants(bytes: Buffer, isComplete: boolean) {
  const response = await exchange(states.port, bytes, isComplete);
  await folder.expectUntouched(response);
  for (const name of await readdir(join(folder.data, 'executions')))
    expect(name).toMatch(/^[A-Za-z0-9._-]{1,120}\.json$/);
  return parseRawResponse(response);
}

test('returns the result or an error of Step Functions for any call', async () => {
  await assertAlways(requests, 200, async (request) => {
    const response = await expectInvariants(encodeRequest(request), true);
    expect([200, 400]).toContain(response?.status);
    if (response?.status === 400 && response.body === '') return; // rejected by Node's own parser
    const body: unknown = JSON.parse(response?.body ?? '');
    if (response?.status === 400) v.parse(ErrorBody, body);
    else
      expect(Object.keys(v.parse(Result, body))).toEqual(
        expect.arrayContaining([expect.stringMatching(/Arn$|Date$/)]),
      );
  });
});

test('survives bytes that are no complete request', async () => {
  await assertAlways(fc.tuple(requests, cuts), 60, async ([request, edits]) => {
    const response = await expectInvariants(corruptBytes(encodeRequest(request), edits), false);
    if (response) expect(response.status).not.toBe(500);
  });
});
