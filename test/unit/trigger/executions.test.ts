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
import { beforeEach, describe, expect, test } from 'vitest';
import type { UploadRequest } from '../../../lib/schemas.ts';
import { executionArn, executionName, startExecution } from '../../../lib/trigger/executions.ts';

const MACHINE = 'arn:aws:states:eu-central-1:123456789012:stateMachine:upload';
const REQUEST: UploadRequest = {
  bucket: 'films',
  key: 'a/My clip.mp4',
  etag: 'e1',
  sequencer: '0A',
  size: 5,
};

const anyRequest: fc.Arbitrary<UploadRequest> = fc.record(
  {
    bucket: fc.string({ minLength: 1 }),
    key: fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
    versionId: fc.string({ minLength: 1 }),
    etag: fc.string({ minLength: 1 }),
    sequencer: fc.string({ minLength: 1 }),
  },
  { requiredKeys: ['bucket', 'key'] },
);

describe('the name', () => {
  test('is allowed for any key, and as long as it may be at most', () => {
    fc.assert(
      fc.property(anyRequest, fc.string({ unit: 'binary' }), (request, dedupeKey) => {
        expect(executionName(request, dedupeKey)).toMatch(/^[A-Za-z0-9._-]{32,80}$/);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['a/b/My clip (1).mp4', /^My-clip-1-.mp4-[0-9a-f]{32}$/],
    ['Été à Köln.mp4', /^E-te-a-Ko-ln.mp4-[0-9a-f]{32}$/],
    ['电影', /^[0-9a-f]{32}$/],
    ['x'.repeat(100), /^x{40}-[0-9a-f]{32}$/],
  ])('of %s can be read', (key, name) => {
    expect(executionName({ bucket: 'b', key }, '')).toMatch(name);
  });

  test('is the same for the same state, heard of twice', () => {
    fc.assert(
      fc.property(anyRequest, fc.string(), (request, dedupeKey) => {
        const again = Object.fromEntries(Object.entries(request).reverse()) as UploadRequest;
        expect(executionName({ ...again, size: 7 }, dedupeKey)).toBe(executionName(request, dedupeKey));
      }),
    );
  });

  test.each([
    ['bucket', { bucket: 'other' }],
    ['key', { key: 'b/My clip.mp4' }],
    ['version', { versionId: 'v2' }],
    ['etag', { etag: 'e2' }],
    ['sequencer', { sequencer: '0B' }],
  ])('is another for another %s', (_, change) => {
    expect(executionName({ ...REQUEST, ...change }, '')).not.toBe(executionName(REQUEST, ''));
  });

  test('is another for another occasion', () => {
    const names = ['', 'replay', 'manual'].map((dedupeKey) => executionName(REQUEST, dedupeKey));
    expect(new Set(names).size).toBe(3);
  });

  test('cannot be made to meet by moving text from one field to the next', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 2 }), fc.nat(), (text, at) => {
        const cut = 1 + (at % (text.length - 1));
        const split: UploadRequest = {
          bucket: 'b',
          key: 'k',
          etag: text.slice(0, cut),
          sequencer: text.slice(cut),
        };
        expect(executionName(split, '')).not.toBe(executionName({ bucket: 'b', key: 'k', etag: text }, ''));
      }),
    );
  });
});

test('an execution’s ARN is its machine’s and its name', () => {
  expect(executionArn(MACHINE, 'n')).toBe('arn:aws:states:eu-central-1:123456789012:execution:upload:n');
});

describe('starting', () => {
  const sfn = mockClient(SFNClient);
  const client = new SFNClient({ region: 'eu-central-1' });
  const name = executionName(REQUEST, '');
  const executionArnOfIt = executionArn(MACHINE, name);
  const start = () => startExecution(client, MACHINE, REQUEST, '', new AbortController().signal);
  const known = new ExecutionAlreadyExists({ message: 'exists', $metadata: {} });

  beforeEach(() => void sfn.reset());

  test('started: with the request as its input', async () => {
    sfn.on(StartExecutionCommand).resolves({});
    expect(await start()).toEqual({ name, status: 'started' });
    expect(sfn.calls().map(({ args: [{ input }] }) => input)).toEqual([
      { stateMachineArn: MACHINE, name, input: JSON.stringify(REQUEST) },
    ]);
  });

  test.each(['RUNNING', 'SUCCEEDED', 'PENDING_REDRIVE', 'ABORTED'] as const)(
    'known: it is %s',
    async (status) => {
      sfn.on(StartExecutionCommand).rejects(known);
      sfn.on(DescribeExecutionCommand, { executionArn: executionArnOfIt }).resolves({ status });
      expect(await start()).toEqual({ name, status: 'exists' });
      expect(sfn.commandCalls(RedriveExecutionCommand)).toHaveLength(0);
    },
  );

  test.each(['FAILED', 'TIMED_OUT'] as const)('redriven: it had %s', async (status) => {
    sfn.on(StartExecutionCommand).rejects(known);
    sfn.on(DescribeExecutionCommand, { executionArn: executionArnOfIt }).resolves({ status });
    sfn.on(RedriveExecutionCommand, { executionArn: executionArnOfIt }).resolves({});
    expect(await start()).toEqual({ name, status: 'redriven' });
    expect(sfn.commandCalls(RedriveExecutionCommand)).toHaveLength(1);
  });

  test('begun again under another name: it failed too long ago to be redriven', async () => {
    const again = executionName(REQUEST, `${name} after 2026-01-02T03:04:05.000Z`);
    sfn.on(StartExecutionCommand).rejects(known).on(StartExecutionCommand, { name: again }).resolves({});
    sfn
      .on(DescribeExecutionCommand)
      .resolves({ status: 'FAILED', stopDate: new Date('2026-01-02T03:04:05Z') });
    sfn
      .on(RedriveExecutionCommand)
      .rejects(new ExecutionNotRedrivable({ message: 'too old', $metadata: {} }));
    expect(await start()).toEqual({ name: again, status: 'started' });
  });

  test('that one, failed in its turn, is gone on with', async () => {
    const again = executionName(REQUEST, `${name} after 2026-01-02T03:04:05.000Z`);
    sfn.on(StartExecutionCommand).rejects(known);
    sfn
      .on(DescribeExecutionCommand)
      .resolves({ status: 'FAILED', stopDate: new Date('2026-01-02T03:04:05Z') });
    sfn
      .on(RedriveExecutionCommand)
      .rejects(new ExecutionNotRedrivable({ message: 'too old', $metadata: {} }))
      .on(RedriveExecutionCommand, { executionArn: executionArn(MACHINE, again) })
      .resolves({});
    expect(await start()).toEqual({ name: again, status: 'redriven' });
  });

  test('known: somebody else has redriven it in the same moment', async () => {
    sfn.on(StartExecutionCommand).rejects(known);
    sfn
      .on(DescribeExecutionCommand)
      .resolvesOnce({ status: 'FAILED', stopDate: new Date() })
      .resolves({ status: 'RUNNING' });
    sfn
      .on(RedriveExecutionCommand)
      .rejects(new ExecutionNotRedrivable({ message: 'it is RUNNING', $metadata: {} }));
    expect(await start()).toEqual({ name, status: 'exists' });
    expect(sfn.commandCalls(StartExecutionCommand)).toHaveLength(1);
  });

  test.each([
    ['another object', JSON.stringify({ ...REQUEST, key: 'b.mp4' })],
    ['no object', '{"Comment": "Insert your JSON here"}'],
    ['no JSON', ''],
  ])('refused: the name is taken by an execution of %s', async (_, input) => {
    sfn.on(StartExecutionCommand).rejects(known);
    sfn.on(DescribeExecutionCommand).resolves({ status: 'SUCCEEDED', input });
    await expect(start()).rejects.toThrow(
      expect.objectContaining({
        name: 'InvalidInput',
        message: expect.stringContaining('s3://films/a/My clip.mp4'),
      }),
    );
  });

  test('known: the same object heard of with other words', async () => {
    sfn.on(StartExecutionCommand).rejects(known);
    const input = JSON.stringify({ ...REQUEST, size: 6, options: { classId: 1 } });
    sfn.on(DescribeExecutionCommand).resolves({ status: 'RUNNING', input });
    expect(await start()).toEqual({ name, status: 'exists' });
  });

  test('every status is thought of above', () => {
    const thoughtOf = ['RUNNING', 'SUCCEEDED', 'PENDING_REDRIVE', 'FAILED', 'TIMED_OUT', 'ABORTED'];
    expect(Object.keys(ExecutionStatus).sort()).toEqual(thoughtOf.sort());
  });

  test('any other failure is the caller’s, who tries again', async () => {
    sfn.on(StartExecutionCommand).rejects(new Error('no network'));
    await expect(start()).rejects.toThrow('no network');
    expect(sfn.calls()).toHaveLength(1);
  });

  test('so is one of looking', async () => {
    sfn.on(StartExecutionCommand).rejects(known);
    sfn.on(DescribeExecutionCommand).rejects(new Error('not allowed to look'));
    await expect(start()).rejects.toThrow('not allowed to look');
    expect(sfn.commandCalls(RedriveExecutionCommand)).toHaveLength(0);
  });

  test('so is one of redriving', async () => {
    sfn.on(StartExecutionCommand).rejects(known);
    sfn.on(DescribeExecutionCommand).resolves({ status: 'FAILED' });
    sfn.on(RedriveExecutionCommand).rejects(new Error('too old to redrive'));
    await expect(start()).rejects.toThrow('too old to redrive');
  });
});
