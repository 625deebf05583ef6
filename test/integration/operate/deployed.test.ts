import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import {
  DescribeArchiveCommand,
  DescribeReplayCommand,
  EventBridgeClient,
  StartReplayCommand,
} from '@aws-sdk/client-eventbridge';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { HeadObjectCommand, ListObjectsV2Command, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { ListExecutionsCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import {
  GetQueueAttributesCommand,
  ListMessageMoveTasksCommand,
  SQSClient,
  StartMessageMoveTaskCommand,
} from '@aws-sdk/client-sqs';
import { Uint8ArrayBlobAdapter } from '@smithy/core/serde';
import { mockClient } from 'aws-sdk-client-mock';
import { beforeEach, describe, expect, test } from 'vitest';
import type { StackTarget } from '../../../operate/args.ts';
import { backfill } from '../../../operate/backfill.ts';
import { invoke } from '../../../operate/invoke.ts';
import { redrive } from '../../../operate/redrive.ts';
import { replay } from '../../../operate/replay.ts';
import { findStack } from '../../../operate/stack.ts';

import { recordTerminal } from '../../support/operate.ts';
import { newFolder } from '../../support/temp-folder.ts';

/** Cases that only AWS produces and the local stack cannot: a half-deployed stack, long tasks, rejected calls. */

const cloudFormation = mockClient(CloudFormationClient);
const events = mockClient(EventBridgeClient);
const lambda = mockClient(LambdaClient);
const s3 = mockClient(S3Client);
const sfn = mockClient(SFNClient);
const sqs = mockClient(SQSClient);

const target: StackTarget = { stack: 's3-vod-dev', region: 'eu-central-1' };
const signal = new AbortController().signal;
const EVENTS = 'arn:aws:events:eu-central-1:123456789012';
const OUTPUTS = {
  BucketName: 'films',
  TriggerFunctionName: 's3-vod-dev-trigger',
  StateMachineArn: 'arn:aws:states:eu-central-1:123456789012:stateMachine:upload',
  QueueUrl: 'https://sqs.eu-central-1.amazonaws.com/123456789012/queue',
  QueueArn: 'arn:aws:sqs:eu-central-1:123456789012:queue',
  DeadLetterQueueUrl: 'https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters',
  DeadLetterQueueArn: 'arn:aws:sqs:eu-central-1:123456789012:dead-letters',
  ArchiveArn: `${EVENTS}:archive/films`,
  EventBusArn: `${EVENTS}:event-bus/default`,
  RuleArn: `${EVENTS}:rule/films`,
};

function deployed(
  outputs: Partial<typeof OUTPUTS> = OUTPUTS,
  StackStatus: 'CREATE_COMPLETE' | 'ROLLBACK_COMPLETE' = 'CREATE_COMPLETE',
) {
  const Outputs = Object.entries(outputs).map(([OutputKey, OutputValue]) => ({ OutputKey, OutputValue }));
  const stack = { StackName: 's3-vod-dev', StackStatus, CreationTime: new Date(0), Outputs };
  cloudFormation.on(DescribeStacksCommand, { StackName: 's3-vod-dev' }).resolves({ Stacks: [stack] });
}

beforeEach(() => {
  for (const mock of [cloudFormation, events, lambda, s3, sfn, sqs]) mock.reset();
  deployed();
});

const awsError = (name: string, message: string) => Object.assign(new Error(message), { name });

describe('findStack', () => {
  test('reads the outputs of the stack and sets the region', async () => {
    const stack = await findStack(target);
    expect(stack.output('QueueUrl')).toBe(OUTPUTS.QueueUrl);
    expect(process.env.AWS_REGION).toBe('eu-central-1');
  });

  test('rejects a half-deployed stack by the missing output before any other call', async () => {
    deployed({ BucketName: 'films' }, 'ROLLBACK_COMPLETE');
    const { terminal, out } = recordTerminal();
    const lacking = (output: string) =>
      `stack s3-vod-dev (ROLLBACK_COMPLETE): expected output ${output}, got none. Deploy the stack again.`;
    const request = { bucket: 'films', key: 'a.mp4' };
    const period = { target, from: 0, to: 1, name: 'r' };
    const scope = { target, bucket: 'films', prefix: '', perMinute: 60, restart: false, dryRun: false };
    await expect(invoke({ target, request, detach: false }, terminal, signal)).rejects.toThrow(
      lacking('TriggerFunctionName'),
    );
    await expect(replay(period, terminal, signal)).rejects.toThrow(lacking('ArchiveArn'));
    await expect(redrive({ target, since: 0, dryRun: false }, terminal, signal)).rejects.toThrow(
      lacking('StateMachineArn'),
    );
    await expect(backfill(scope, terminal, signal)).rejects.toThrow(lacking('StateMachineArn'));
    expect(out).toEqual([]);
    const calls = [events.calls(), lambda.calls(), s3.calls(), sfn.calls(), sqs.calls()];
    expect(calls.map(({ length }) => length)).toEqual([0, 0, 0, 0, 0]);
  });

  test.each([
    ['ValidationError', 'Stack with id s3-vod-dev does not exist', /^stack s3-vod-dev: .*does not exist/],
    ['AccessDenied', 'User is not authorized', /^stack s3-vod-dev: AccessDenied .*\. Check the credentials/],
    ['ExpiredToken', 'The security token is expired', /\. Log in again\.$/],
    ['Error', 'Region is missing', /\. Set --region or AWS_REGION/],
    ['CredentialsProviderError', 'none.', /\. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID/],
  ])('reports %s in one line with advice', async (name, message, expected) => {
    cloudFormation.on(DescribeStacksCommand).rejects(awsError(name, message));
    await expect(findStack(target)).rejects.toThrow(expected);
    await expect(findStack(target)).rejects.toThrow(/^[^\n]*$/);
  });
});

describe('replay', () => {
  const to = Date.now();
  const from = to - 3_600_000;
  const args = { target, from, to, name: 'after-the-outage' };

  test('replays from the archive of the stack to its rule and waits until the end', async () => {
    events
      .on(DescribeArchiveCommand, { ArchiveName: 'films' })
      .resolves({ CreationTime: new Date(0), RetentionDays: 30 });
    events.on(StartReplayCommand).resolves({ State: 'STARTING' });
    const last = new Date(from + 1000);
    events
      .on(DescribeReplayCommand, { ReplayName: 'after-the-outage' })
      .resolvesOnce({ State: 'STARTING' })
      .resolvesOnce({ State: 'RUNNING', EventLastReplayedTime: last })
      .resolves({ State: 'COMPLETED', EventLastReplayedTime: last });
    const { terminal, out, progress } = recordTerminal();
    expect(await replay(args, terminal, signal)).toBe(0);
    expect(events.commandCalls(StartReplayCommand)[0]?.args[0].input).toEqual({
      ReplayName: 'after-the-outage',
      EventSourceArn: OUTPUTS.ArchiveArn,
      EventStartTime: new Date(from),
      EventEndTime: new Date(to),
      Destination: { Arn: OUTPUTS.EventBusArn, FilterArns: [OUTPUTS.RuleArn] },
    });
    expect(progress).toEqual(['  starting', `  running, events up to ${last.toISOString()}`]);
    expect(out.at(-1)).toBe(`replay after-the-outage: completed, last event at ${last.toISOString()}`);
  });

  test('returns 1 with the reason when the replay fails', async () => {
    events.on(DescribeArchiveCommand).resolves({ CreationTime: new Date(0), RetentionDays: 0 });
    events.on(StartReplayCommand).resolves({});
    events.on(DescribeReplayCommand).resolves({ State: 'FAILED', StateReason: 'no such rule' });
    const { terminal, out } = recordTerminal();
    expect(await replay(args, terminal, signal)).toBe(1);
    expect(out.at(-1)).toBe('replay after-the-outage: failed, no such rule, no events');
  });

  test.each([[{ CreationTime: new Date(from + 1) }], [{ CreationTime: new Date(0), RetentionDays: 0.01 }]])(
    'rejects a period before the archive begins: %j',
    async (archive) => {
      events.on(DescribeArchiveCommand).resolves(archive);
      await expect(replay(args, recordTerminal().terminal, signal)).rejects.toThrow(
        /^--from .*: expected .* or later, the oldest event in archive films$/,
      );
      expect(events.commandCalls(StartReplayCommand)).toEqual([]);
    },
  );

  test('stops waiting on a signal, and the replay continues', async () => {
    const stop = new AbortController();
    events.on(DescribeArchiveCommand).resolves({});
    events.on(StartReplayCommand).resolves({});
    events.on(DescribeReplayCommand).callsFake(async () => {
      stop.abort();
      return { State: 'RUNNING' };
    });
    const { terminal, out } = recordTerminal();
    expect(await replay(args, terminal, stop.signal)).toBe(130);
    expect(out.at(-1)).toBe('stopped waiting: replay after-the-outage continues');
  });
});

test('invoke stops waiting on a signal, and the execution continues', async () => {
  const stop = new AbortController();
  const response = JSON.stringify({ executions: [{ name: 'a', status: 'started' }] });
  lambda.on(InvokeCommand).resolves({ Payload: Uint8ArrayBlobAdapter.fromString(response) });
  sfn.onAnyCommand().callsFake(async () => {
    stop.abort();
    return { status: 'RUNNING' };
  });
  const { terminal, out } = recordTerminal();
  expect(
    await invoke({ target, request: { bucket: 'films', key: 'a' }, detach: false }, terminal, stop.signal),
  ).toBe(130);
  expect(out).toEqual(['s3://films/a  execution a started', 'stopped waiting: the execution continues']);
});

describe('redrive of dead letters', () => {
  const args = { target, since: 0, dryRun: false };

  beforeEach(() => {
    sqs.on(GetQueueAttributesCommand).resolves({ Attributes: { ApproximateNumberOfMessages: '7' } });
    sqs.on(StartMessageMoveTaskCommand).resolves({ TaskHandle: 'h' });
    sfn.on(ListExecutionsCommand).resolves({ executions: [] });
  });

  test('moves them to the queue of the stack and waits until the end', async () => {
    sqs
      .on(ListMessageMoveTasksCommand)
      .resolvesOnce({
        Results: [
          { Status: 'RUNNING', ApproximateNumberOfMessagesMoved: 3, ApproximateNumberOfMessagesToMove: 7 },
        ],
      })
      .resolves({ Results: [{ Status: 'COMPLETED', ApproximateNumberOfMessagesMoved: 7 }] });
    const { terminal, out, progress } = recordTerminal();
    expect(await redrive(args, terminal, signal)).toBe(0);
    expect(sqs.commandCalls(StartMessageMoveTaskCommand)[0]?.args[0].input).toEqual({
      SourceArn: OUTPUTS.DeadLetterQueueArn,
      DestinationArn: OUTPUTS.QueueArn,
    });
    expect(progress).toEqual(['  3 of 7 dead letters moved']);
    expect(out[1]).toMatch(/^dead letters: 7 moved/);
  });

  test('returns 1 when the move fails, and redrives the executions all the same', async () => {
    const task = {
      Status: 'FAILED',
      ApproximateNumberOfMessagesMoved: 2,
      FailureReason: 'CouldNotDetermineMessageSource',
    };
    sqs.on(ListMessageMoveTasksCommand).resolves({ Results: [task] });
    const { terminal, out, err } = recordTerminal();
    expect(await redrive(args, terminal, signal)).toBe(1);
    expect(err).toEqual(['dead letters: 2 moved, then failed: CouldNotDetermineMessageSource']);
    expect(out.at(-1)).toMatch(/^failed executions since .*: 0;/);
  });
});

describe('backfill', () => {
  const args = { target, bucket: 'films', prefix: '', perMinute: 60_000, restart: false, dryRun: false };
  const keys = Array.from({ length: 12 }, (_, at) => `film-${String(at).padStart(2, '0')}.mp4`);
  const denied = new S3ServiceException({
    name: 'Forbidden',
    $fault: 'client',
    $metadata: { httpStatusCode: 403 },
    message: 'no',
  });
  const checkpoint = () => {
    const [file = ''] = readdirSync('.backfill');
    return JSON.parse(readFileSync(join('.backfill', file), 'utf8'));
  };

  beforeEach(async () => {
    process.chdir(await newFolder());
    s3.on(ListObjectsV2Command).callsFake(async ({ StartAfter: after = '' }) => ({
      Contents: keys.filter((key) => key > after).map((Key) => ({ Key, Size: 5 })),
    }));
    sfn.on(StartExecutionCommand).resolves({});
  });

  const head = (key: string, metadata: Record<string, string> = {}) =>
    s3
      .on(HeadObjectCommand, { Bucket: 'films', Key: key, ChecksumMode: 'ENABLED' })
      .resolves({ ETag: '"e"', ContentLength: 5, Metadata: metadata });

  test('reports an object that S3 rejects, starts the others, and returns 1', async () => {
    s3.on(HeadObjectCommand).resolves({ ETag: '"e"', ContentLength: 5 });
    s3.on(HeadObjectCommand, { Bucket: 'films', Key: 'film-03.mp4', ChecksumMode: 'ENABLED' }).rejects(
      denied,
    );
    const { terminal, out, err } = recordTerminal();
    expect(await backfill(args, terminal, signal)).toBe(1);
    expect(err).toEqual([
      expect.stringMatching(/^rejected {2}film-03\.mp4 {2}HEAD s3:\/\/films\/film-03\.mp4: 403/),
    ]);
    expect(out).toContain('12 objects: started 11, already uploaded 0, skipped 0, rejected 1');
    expect(existsSync('.backfill')).toBe(true);
    expect(readdirSync('.backfill')).toEqual([]);
  });

  test('stops after ten rejections in a row, and continues before them in the next run', async () => {
    s3.on(HeadObjectCommand).rejects(denied);
    head('film-00.mp4');
    head('film-01.mp4', { 'vod-file-id': '1' });
    const first = recordTerminal();
    await expect(backfill(args, first.terminal, signal)).rejects.toThrow(
      /^S3 rejected 10 objects in a row; the last: HEAD/,
    );
    expect(checkpoint()).toMatchObject({ after: 'film-00.mp4', started: 1, rejected: 0 });
    s3.on(HeadObjectCommand).resolves({ ETag: '"e"', ContentLength: 5 });
    head('film-01.mp4', { 'vod-file-id': '1' });
    const second = recordTerminal();
    expect(await backfill(args, second.terminal, signal)).toBe(0);
    expect(second.out[0]).toBe('continuing after film-00.mp4');
    expect(second.out).toContain('12 objects: started 11, already uploaded 1, skipped 0, rejected 0');
  });

  test('skips archived objects unless they are restored', async () => {
    s3.on(HeadObjectCommand).resolves({ ETag: '"e"', ContentLength: 5, StorageClass: 'DEEP_ARCHIVE' });
    const restored = {
      ETag: '"e"',
      ContentLength: 5,
      StorageClass: 'GLACIER' as const,
      Restore: 'ongoing-request="false", expiry-date="…"',
    };
    s3.on(HeadObjectCommand, { Bucket: 'films', Key: 'film-03.mp4', ChecksumMode: 'ENABLED' }).resolves(
      restored,
    );
    const { terminal, out } = recordTerminal();
    expect(await backfill(args, terminal, signal)).toBe(0);
    expect(out.slice(-2)).toEqual([
      '12 objects: started 1, already uploaded 0, skipped 11, rejected 0',
      '  skipped 11: the object is archived; restore it first',
    ]);
  });

  test('stops when Step Functions rejects a start, and repeats it under the same name in the next run', async () => {
    s3.on(HeadObjectCommand).resolves({ ETag: '"e"', ContentLength: 5 });
    sfn
      .on(StartExecutionCommand)
      .resolvesOnce({})
      .rejectsOnce(awsError('AccessDeniedException', 'no'))
      .resolves({});
    const first = recordTerminal();
    await expect(backfill(args, first.terminal, signal)).rejects.toThrow(
      /^start s3:\/\/films\/film-01\.mp4: AccessDeniedException no\. Check the credentials/,
    );
    expect(first.out.at(-2)).toBe('stopped: 1 objects: started 1, already uploaded 0, skipped 0, rejected 0');
    expect(await backfill(args, recordTerminal().terminal, signal)).toBe(0);
    const names = sfn.commandCalls(StartExecutionCommand).map(({ args }) => args[0].input.name);
    expect(names).toHaveLength(13);
    expect(names[2]).toBe(names[1]);
    expect(new Set(names).size).toBe(12);
  });
});
