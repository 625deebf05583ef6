import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  ExecutionNotRedrivable,
  ExecutionStatus,
  RedriveExecutionCommand,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { mockClient } from 'aws-sdk-client-mock';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { UploadRequest } from '../../../lib/schemas.ts';
import { executionArn, executionName, restartName, startExecution } from '../../../lib/trigger/executions.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { never } from '../../support/values.ts';

const MACHINE = 'arn:aws:states:eu-central-1:123456789012:stateMachine:upload';
const REQUEST = { bucket: 'films', key: 'a/My clip.mp4', etag: 'e1', sequencer: '0A', size: 5 };

const anyText = fc.string({ minLength: 1 });
const anyKey = fc.string({ unit: 'binary', minLength: 1, maxLength: 200 });
const anyRequest: fc.Arbitrary<UploadRequest> = fc.record(
  { bucket: anyText, key: anyKey, versionId: anyText, etag: anyText, sequencer: anyText },
  { requiredKeys: ['bucket', 'key'] },
);

describe('executionName', () => {
  test('returns a name that Step Functions accepts and logs, for any key', () => {
    fc.assert(
      fc.property(anyRequest, fc.string({ unit: 'binary' }), (request, dedupeKey) => {
        expect(executionName(request, dedupeKey)).toMatch(/^[A-Za-z0-9_-]{32,80}$/);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['a/b/My clip (1).mp4', /^My-clip-1-mp4-[0-9a-f]{32}$/],
    ['Été à Köln.mp4', /^E-te-a-Ko-ln-mp4-[0-9a-f]{32}$/],
    ['电影', /^[0-9a-f]{32}$/],
    ['x'.repeat(100), /^x{40}-[0-9a-f]{32}$/],
  ])('starts with the readable part of %s', (key, name) => {
    expect(executionName({ bucket: 'b', key }, '')).toMatch(name);
  });

  test('is the same for two events of one version', () => {
    fc.assert(
      fc.property(anyRequest, fc.string(), (request, dedupeKey) => {
        const reversed = Object.fromEntries(Object.entries(request).reverse()) as UploadRequest;
        expect(executionName({ ...reversed, size: 7 }, dedupeKey)).toBe(executionName(request, dedupeKey));
      }),
    );
  });

  test.each([
    ['bucket', { bucket: 'other' }],
    ['key', { key: 'b/My clip.mp4' }],
    ['version', { versionId: 'v2' }],
    ['ETag', { etag: 'e2' }],
    ['sequencer', { sequencer: '0B' }],
  ])('differs for another %s', (_, change) => {
    expect(executionName({ ...REQUEST, ...change }, '')).not.toBe(executionName(REQUEST, ''));
  });

  test('differs for another dedupe key', () => {
    const names = ['', 'replay', 'manual'].map((dedupeKey) => executionName(REQUEST, dedupeKey));
    expect(new Set(names).size).toBe(3);
  });

  test('differs if text moves from one field to the next', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 2 }), fc.nat(), (text, at) => {
        const cut = 1 + (at % (text.length - 1));
        const split = { bucket: 'b', key: 'k', etag: text.slice(0, cut), sequencer: text.slice(cut) };
        expect(executionName(split, '')).not.toBe(executionName({ bucket: 'b', key: 'k', etag: text }, ''));
      }),
    );
  });
});

test('executionArn combines the ARN of the state machine and the name', () => {
  expect(executionArn(MACHINE, 'n')).toBe('arn:aws:states:eu-central-1:123456789012:execution:upload:n');
});

describe('startExecution', () => {
  const sfn = mockClient(SFNClient);
  afterAll(() => sfn.restore());
  const client = new SFNClient({ region: 'eu-central-1' });
  const name = executionName(REQUEST, '');
  const stopDate = new Date('2026-01-02T03:04:05Z');
  const newName = restartName(REQUEST, name, stopDate);
  const nameTaken = new ExecutionAlreadyExists({ message: 'exists', $metadata: {} });
  const notRedrivable = new ExecutionNotRedrivable({ message: 'too old', $metadata: {} });
  const start = () => startExecution(client, MACHINE, name, REQUEST, never);
  const describeOf = (name: string) =>
    sfn.on(DescribeExecutionCommand, { executionArn: executionArn(MACHINE, name) });

  beforeEach(() => void sfn.reset());

  test('starts an execution with the request as its input', async () => {
    sfn.on(StartExecutionCommand).resolves({});
    expect(await start()).toEqual({ name, status: 'started' });
    expect(sfn.calls().map(({ args: [{ input }] }) => input)).toEqual([
      { stateMachineArn: MACHINE, name, input: JSON.stringify(REQUEST) },
    ]);
  });

  const ALONE = ['RUNNING', 'SUCCEEDED', 'PENDING_REDRIVE', 'ABORTED'] as const;
  const REDRIVEN = ['FAILED', 'TIMED_OUT'] as const;

  describe('when the name exists', () => {
    beforeEach(() => void sfn.on(StartExecutionCommand).rejects(nameTaken));

    test.each(ALONE)('leaves an execution alone that is %s', async (status) => {
      describeOf(name).resolves({ status });
      expect(await start()).toEqual({ name, status: 'exists' });
      expect(sfn.commandCalls(RedriveExecutionCommand)).toHaveLength(0);
    });

    test.each(REDRIVEN)('redrives an execution that is %s', async (status) => {
      describeOf(name).resolves({ status });
      sfn.on(RedriveExecutionCommand, { executionArn: executionArn(MACHINE, name) }).resolves({});
      expect(await start()).toEqual({ name, status: 'redriven' });
      expect(sfn.commandCalls(RedriveExecutionCommand)).toHaveLength(1);
    });

    test('restarts under another name if the failed execution is too old for a redrive', async () => {
      sfn.on(StartExecutionCommand, { name: newName }).resolves({});
      describeOf(name).resolves({ status: 'FAILED', stopDate });
      sfn.on(RedriveExecutionCommand).rejects(notRedrivable);
      expect(await start()).toEqual({ name: newName, status: 'started' });
    });

    test('redrives the execution of the other name if it failed, too', async () => {
      describeOf(name).resolves({ status: 'FAILED', stopDate });
      describeOf(newName).resolves({ status: 'FAILED' });
      sfn
        .on(RedriveExecutionCommand)
        .rejects(notRedrivable)
        .on(RedriveExecutionCommand, { executionArn: executionArn(MACHINE, newName) })
        .resolves({});
      expect(await start()).toEqual({ name: newName, status: 'redriven' });
    });

    test('leaves an execution alone that another caller has just redriven', async () => {
      describeOf(name).resolvesOnce({ status: 'FAILED', stopDate }).resolves({ status: 'RUNNING' });
      sfn.on(RedriveExecutionCommand).rejects(notRedrivable);
      expect(await start()).toEqual({ name, status: 'exists' });
      expect(sfn.commandCalls(StartExecutionCommand)).toHaveLength(1);
    });

    test.each([
      ['another object', JSON.stringify({ ...REQUEST, key: 'b.mp4' })],
      ['no object', '{"Comment": "Insert your JSON here"}'],
      ['invalid JSON', ''],
    ])('rejects an execution whose input is %s', async (_, input) => {
      describeOf(name).resolves({ status: 'SUCCEEDED', input });
      await expectFailure(start(), 'InvalidInput', 's3://films/a/My clip.mp4');
    });

    test('accepts an execution for the same object with other fields', async () => {
      const input = JSON.stringify({ ...REQUEST, size: 6, options: { classId: 1 } });
      describeOf(name).resolves({ status: 'RUNNING', input });
      expect(await start()).toEqual({ name, status: 'exists' });
    });

    test('throws the errors of DescribeExecution and RedriveExecution', async () => {
      describeOf(name).rejects(new Error('not allowed'));
      await expect(start()).rejects.toThrow('not allowed');
      expect(sfn.commandCalls(RedriveExecutionCommand)).toHaveLength(0);
      describeOf(name).resolves({ status: 'FAILED' });
      sfn.on(RedriveExecutionCommand).rejects(new Error('no redrive'));
      await expect(start()).rejects.toThrow('no redrive');
    });
  });

  test('the tests above cover every status', () => {
    expect(Object.keys(ExecutionStatus).sort()).toEqual([...ALONE, ...REDRIVEN].sort());
  });

  test('throws the error of StartExecution', async () => {
    sfn.on(StartExecutionCommand).rejects(new Error('no network'));
    await expect(start()).rejects.toThrow('no network');
    expect(sfn.calls()).toHaveLength(1);
  });
});
