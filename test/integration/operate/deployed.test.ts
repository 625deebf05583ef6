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
import { keptScreen } from '../../support/operate.ts';
import { newFolder } from '../../support/temp-folder.ts';

/** What only AWS itself answers: a half-deployed stack, long tasks, refusals. No server here can play that part. */

const cloudFormation = mockClient(CloudFormationClient);
const events = mockClient(EventBridgeClient);
const lambda = mockClient(LambdaClient);
const s3 = mockClient(S3Client);
const sfn = mockClient(SFNClient);
const sqs = mockClient(SQSClient);

const where: StackTarget = { stack: 's3-vod-dev', region: 'eu-central-1' };
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

const refusal = (name: string, message: string) => Object.assign(new Error(message), { name });

describe('the stack', () => {
  test('is asked for what it puts out', async () => {
    const stack = await findStack(where);
    expect(stack.output('QueueUrl')).toBe(OUTPUTS.QueueUrl);
    expect(process.env.AWS_REGION).toBe('eu-central-1');
  });

  test('half deployed: one line names what it lacks, and nothing is begun', async () => {
    deployed({ BucketName: 'films' }, 'ROLLBACK_COMPLETE');
    const { screen, out } = keptScreen();
    const lacks = (output: string) =>
      `stack s3-vod-dev (ROLLBACK_COMPLETE) has no output ${output}: it is half deployed, or from another template: deploy it again`;
    const request = { bucket: 'films', key: 'a.mp4' };
    const stretch = { where, from: 0, to: 1, name: 'r' };
    const scope = { where, bucket: 'films', prefix: '', perMinute: 60, restart: false, dryRun: false };
    await expect(invoke({ where, request, detach: false }, screen, signal)).rejects.toThrow(
      lacks('TriggerFunctionName'),
    );
    await expect(replay(stretch, screen, signal)).rejects.toThrow(lacks('ArchiveArn'));
    await expect(redrive({ where, since: 0, dryRun: false }, screen, signal)).rejects.toThrow(
      lacks('StateMachineArn'),
    );
    await expect(backfill(scope, screen, signal)).rejects.toThrow(lacks('StateMachineArn'));
    expect(out).toEqual([]);
    const calls = [events.calls(), lambda.calls(), s3.calls(), sfn.calls(), sqs.calls()];
    expect(calls.map(({ length }) => length)).toEqual([0, 0, 0, 0, 0]);
  });

  test.each([
    ['ValidationError', 'Stack with id s3-vod-dev does not exist', /^stack s3-vod-dev: .*does not exist/],
    ['AccessDenied', 'User is not authorized', /^stack s3-vod-dev: AccessDenied .*: check whose credentials/],
    ['ExpiredToken', 'The security token is expired', /: log in again$/],
    ['Error', 'Region is missing', /: name it with --region or AWS_REGION/],
    ['CredentialsProviderError', 'none.', /: set AWS_PROFILE, or AWS_ACCESS_KEY_ID/],
  ])('%s is told with what to do', async (name, message, told) => {
    cloudFormation.on(DescribeStacksCommand).rejects(refusal(name, message));
    await expect(findStack(where)).rejects.toThrow(told);
    await expect(findStack(where)).rejects.toThrow(/^[^\n]*$/);
  });
});

describe('replay', () => {
  const to = Date.now();
  const from = to - 3_600_000;
  const given = { where, from, to, name: 'after-the-outage' };

  test('is of this stack’s archive, to this stack’s rule, and followed to its end', async () => {
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
    const { screen, out, bars } = keptScreen();
    expect(await replay(given, screen, signal)).toBe(0);
    expect(events.commandCalls(StartReplayCommand)[0]?.args[0].input).toEqual({
      ReplayName: 'after-the-outage',
      EventSourceArn: OUTPUTS.ArchiveArn,
      EventStartTime: new Date(from),
      EventEndTime: new Date(to),
      Destination: { Arn: OUTPUTS.EventBusArn, FilterArns: [OUTPUTS.RuleArn] },
    });
    expect(bars).toEqual(['  starting', `  running, events up to ${last.toISOString()}`]);
    expect(out.at(-1)).toBe(`replay after-the-outage: completed, the last of them of ${last.toISOString()}`);
  });

  test('that fails: exit code 1, with what AWS says of it', async () => {
    events.on(DescribeArchiveCommand).resolves({ CreationTime: new Date(0), RetentionDays: 0 });
    events.on(StartReplayCommand).resolves({});
    events.on(DescribeReplayCommand).resolves({ State: 'FAILED', StateReason: 'no such rule' });
    const { screen, out } = keptScreen();
    expect(await replay(given, screen, signal)).toBe(1);
    expect(out.at(-1)).toBe('replay after-the-outage: failed, no such rule, there were none');
  });

  test.each([[{ CreationTime: new Date(from + 1) }], [{ CreationTime: new Date(0), RetentionDays: 0.01 }]])(
    'of a time older than the archive is refused before it begins: %j',
    async (archive) => {
      events.on(DescribeArchiveCommand).resolves(archive);
      await expect(replay(given, keptScreen().screen, signal)).rejects.toThrow(
        /^--from .*archive films holds the events since/,
      );
      expect(events.commandCalls(StartReplayCommand)).toEqual([]);
    },
  );

  test('is left to itself on Ctrl-C', async () => {
    const stop = new AbortController();
    events.on(DescribeArchiveCommand).resolves({});
    events.on(StartReplayCommand).resolves({});
    events.on(DescribeReplayCommand).callsFake(async () => {
      stop.abort();
      return { State: 'RUNNING' };
    });
    const { screen, out } = keptScreen();
    expect(await replay(given, screen, stop.signal)).toBe(130);
    expect(out.at(-1)).toBe('stopped watching: replay after-the-outage goes on');
  });
});

test('invoke, left to itself on Ctrl-C', async () => {
  const stop = new AbortController();
  const answer = JSON.stringify({ executions: [{ name: 'a', status: 'started' }] });
  lambda.on(InvokeCommand).resolves({ Payload: Uint8ArrayBlobAdapter.fromString(answer) });
  sfn.onAnyCommand().callsFake(async () => {
    stop.abort();
    return { status: 'RUNNING' };
  });
  const { screen, out } = keptScreen();
  expect(
    await invoke({ where, request: { bucket: 'films', key: 'a' }, detach: false }, screen, stop.signal),
  ).toBe(130);
  expect(out).toEqual(['s3://films/a  execution a started', 'stopped watching: the execution goes on']);
});

describe('redrive of dead letters', () => {
  const given = { where, since: 0, dryRun: false };

  beforeEach(() => {
    sqs.on(GetQueueAttributesCommand).resolves({ Attributes: { ApproximateNumberOfMessages: '7' } });
    sqs.on(StartMessageMoveTaskCommand).resolves({ TaskHandle: 'h' });
    sfn.on(ListExecutionsCommand).resolves({ executions: [] });
  });

  test('moves them to the queue of this stack, and is followed to its end', async () => {
    sqs
      .on(ListMessageMoveTasksCommand)
      .resolvesOnce({
        Results: [
          { Status: 'RUNNING', ApproximateNumberOfMessagesMoved: 3, ApproximateNumberOfMessagesToMove: 7 },
        ],
      })
      .resolves({ Results: [{ Status: 'COMPLETED', ApproximateNumberOfMessagesMoved: 7 }] });
    const { screen, out, bars } = keptScreen();
    expect(await redrive(given, screen, signal)).toBe(0);
    expect(sqs.commandCalls(StartMessageMoveTaskCommand)[0]?.args[0].input).toEqual({
      SourceArn: OUTPUTS.DeadLetterQueueArn,
      DestinationArn: OUTPUTS.QueueArn,
    });
    expect(bars).toEqual(['  3 of 7 dead letters moved']);
    expect(out[1]).toMatch(/^dead letters: 7 moved/);
  });

  test('that stops half way: exit code 1; the executions are attended to all the same', async () => {
    const task = {
      Status: 'FAILED',
      ApproximateNumberOfMessagesMoved: 2,
      FailureReason: 'CouldNotDetermineMessageSource',
    };
    sqs.on(ListMessageMoveTasksCommand).resolves({ Results: [task] });
    const { screen, out, err } = keptScreen();
    expect(await redrive(given, screen, signal)).toBe(1);
    expect(err).toEqual(['dead letters: 2 moved, then failed: CouldNotDetermineMessageSource']);
    expect(out.at(-1)).toMatch(/^failed executions since .*: 0;/);
  });
});

describe('backfill', () => {
  const given = { where, bucket: 'films', prefix: '', perMinute: 60_000, restart: false, dryRun: false };
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

  test('an object that S3 refuses is named; the others are started, and the exit code is 1', async () => {
    s3.on(HeadObjectCommand).resolves({ ETag: '"e"', ContentLength: 5 });
    s3.on(HeadObjectCommand, { Bucket: 'films', Key: 'film-03.mp4', ChecksumMode: 'ENABLED' }).rejects(
      denied,
    );
    const { screen, out, err } = keptScreen();
    expect(await backfill(given, screen, signal)).toBe(1);
    expect(err).toEqual([
      expect.stringMatching(/^refused {2}film-03\.mp4 {2}HEAD s3:\/\/films\/film-03\.mp4: 403/),
    ]);
    expect(out).toContain('12 objects: started 11, carried 0, skipped 0, refused 1');
    expect(existsSync('.backfill')).toBe(true);
    expect(readdirSync('.backfill')).toEqual([]);
  });

  test('ten in a row are the policy’s fault: it stops, and goes on before them when that is mended', async () => {
    s3.on(HeadObjectCommand).rejects(denied);
    head('film-00.mp4');
    head('film-01.mp4', { 'vod-file-id': '1' });
    const first = keptScreen();
    await expect(backfill(given, first.screen, signal)).rejects.toThrow(
      /^10 objects in a row were refused; the last: HEAD/,
    );
    expect(checkpoint()).toMatchObject({ after: 'film-00.mp4', started: 1, refused: 0 });
    s3.on(HeadObjectCommand).resolves({ ETag: '"e"', ContentLength: 5 });
    head('film-01.mp4', { 'vod-file-id': '1' });
    const second = keptScreen();
    expect(await backfill(given, second.screen, signal)).toBe(0);
    expect(second.out[0]).toBe('going on after film-00.mp4');
    expect(second.out).toContain('12 objects: started 11, carried 1, skipped 0, refused 0');
  });

  test('archived objects are skipped, restored ones are not', async () => {
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
    const { screen, out } = keptScreen();
    expect(await backfill(given, screen, signal)).toBe(0);
    expect(out.slice(-2)).toEqual([
      '12 objects: started 1, carried 0, skipped 11, refused 0',
      '  skipped 11: it is archived: restore it first',
    ]);
  });

  test('what Step Functions refuses ends it; begun again it is heard of under the same name', async () => {
    s3.on(HeadObjectCommand).resolves({ ETag: '"e"', ContentLength: 5 });
    sfn
      .on(StartExecutionCommand)
      .resolvesOnce({})
      .rejectsOnce(refusal('AccessDeniedException', 'no'))
      .resolves({});
    const first = keptScreen();
    await expect(backfill(given, first.screen, signal)).rejects.toThrow(
      /^start s3:\/\/films\/film-01\.mp4: AccessDeniedException no: check whose credentials/,
    );
    expect(first.out.at(-2)).toBe('stopped: 1 objects: started 1, carried 0, skipped 0, refused 0');
    expect(await backfill(given, keptScreen().screen, signal)).toBe(0);
    const names = sfn.commandCalls(StartExecutionCommand).map(({ args }) => args[0].input.name);
    expect(names).toHaveLength(13);
    expect(names[2]).toBe(names[1]);
    expect(new Set(names).size).toBe(12);
  });
});
