import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import {
  DescribeArchiveCommand,
  DescribeReplayCommand,
  DescribeRuleCommand,
  EventBridgeClient,
  StartReplayCommand,
} from '@aws-sdk/client-eventbridge';
import {
  GetAccountSettingsCommand,
  GetFunctionConfigurationCommand,
  InvokeCommand,
  LambdaClient,
  ListEventSourceMappingsCommand,
} from '@aws-sdk/client-lambda';
import {
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketNotificationConfigurationCommand,
  GetBucketReplicationCommand,
  GetBucketVersioningCommand,
  GetObjectAnnotationCommand,
  GetObjectLockConfigurationCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { ListExecutionsCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import {
  ChangeMessageVisibilityCommand,
  GetQueueAttributesCommand,
  ListMessageMoveTasksCommand,
  ReceiveMessageCommand,
  SQSClient,
  StartMessageMoveTaskCommand,
} from '@aws-sdk/client-sqs';
import { Uint8ArrayBlobAdapter } from '@smithy/core/serde';
import { mockClient } from 'aws-sdk-client-mock';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { findStack } from '../../../operate/stack.ts';
import { runCommand, runUntil } from '../../support/operate.ts';
import { startParameterStore } from '../../support/parameter-store.ts';
import { newFolder } from '../../support/temp-folder.ts';
import { SECRETS } from '../../support/vod-client.ts';
import { startService } from '../../support/vod-service.ts';

/** Cases that only AWS produces and the local stack cannot: a half-deployed stack, long tasks, rejected calls. */

const cloudFormation = mockClient(CloudFormationClient);
const events = mockClient(EventBridgeClient);
const lambda = mockClient(LambdaClient);
const s3 = mockClient(S3Client);
const sfn = mockClient(SFNClient);
const sqs = mockClient(SQSClient);

const EVENTS = 'arn:aws:events:eu-central-1:123456789012';
const OUTPUTS = {
  BucketName: 'films',
  TriggerFunctionName: 's3-vod-dev-trigger',
  InitFunctionName: 's3-vod-dev-init',
  StateMachineArn: 'arn:aws:states:eu-central-1:123456789012:stateMachine:upload',
  QueueUrl: 'https://sqs.eu-central-1.amazonaws.com/123456789012/queue',
  QueueArn: 'arn:aws:sqs:eu-central-1:123456789012:queue',
  DeadLetterQueueUrl: 'https://sqs.eu-central-1.amazonaws.com/123456789012/dead-letters',
  DeadLetterQueueArn: 'arn:aws:sqs:eu-central-1:123456789012:dead-letters',
  ArchiveArn: `${EVENTS}:archive/films`,
  EventBusArn: `${EVENTS}:event-bus/default`,
  RuleArn: `${EVENTS}:rule/films`,
};

function deploy(
  outputs: Partial<typeof OUTPUTS>,
  StackStatus: 'CREATE_COMPLETE' | 'ROLLBACK_COMPLETE' = 'CREATE_COMPLETE',
) {
  const Outputs = Object.entries(outputs).map(([OutputKey, OutputValue]) => ({ OutputKey, OutputValue }));
  const stack = { StackName: 's3-vod-dev', StackStatus, CreationTime: new Date(0), Outputs };
  cloudFormation.on(DescribeStacksCommand, { StackName: 's3-vod-dev' }).resolves({ Stacks: [stack] });
}

beforeEach(() => {
  for (const mock of [cloudFormation, events, lambda, s3, sfn, sqs]) mock.reset();
  deploy(OUTPUTS);
});

const awsError = (name: string, message: string) => Object.assign(new Error(message), { name });

describe('the stack', () => {
  test('is read from CloudFormation in the region of the option', async () => {
    const stack = await findStack({ stack: 's3-vod-dev', region: 'eu-central-1' });
    expect(stack.output('QueueUrl')).toBe(OUTPUTS.QueueUrl);
    expect(process.env.AWS_REGION).toBe('eu-central-1');
  });

  test.each([
    [['invoke', 's3://films/a.mp4'], 'TriggerFunctionName'],
    [['replay', '--from', '1h'], 'ArchiveArn'],
    [['redrive'], 'StateMachineArn'],
    [['backfill', 's3://films'], 'StateMachineArn'],
    [['doctor'], 'InitFunctionName'],
  ])('%j rejects a half-deployed stack before any other call', async (args, output) => {
    deploy({ BucketName: 'films' }, 'ROLLBACK_COMPLETE');
    const message = `stack s3-vod-dev (ROLLBACK_COMPLETE): expected output ${output}, got none. Deploy the stack again.`;
    expect(await runCommand(...args)).toEqual({ code: 1, out: [], err: [`✘ ${message}`], progress: [] });
    for (const mock of [events, lambda, s3, sfn, sqs]) expect(mock.calls()).toEqual([]);
  });

  test.each([
    ['ValidationError', 'Stack with id s3-vod-dev does not exist', /^✘ stack s3-vod-dev: .*does not exist/],
    [
      'AccessDenied',
      'User is not authorized',
      /^✘ stack s3-vod-dev: AccessDenied .*\. Check the credentials/,
    ],
    ['ExpiredToken', 'The security token is expired', /\. Log in again\.$/],
    ['Error', 'Region is missing', /\. Set --region or AWS_REGION/],
    ['CredentialsProviderError', 'none.', /\. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID/],
  ])('error %s is reported in one line with advice', async (name, message, expected) => {
    cloudFormation.on(DescribeStacksCommand).rejects(awsError(name, message));
    const { code, err } = await runCommand('redrive');
    expect({ code, err }).toEqual({ code: 1, err: [expect.stringMatching(expected)] });
    expect(err[0]).not.toContain('\n');
  });
});

describe('replay', () => {
  const to = new Date(Date.now() - 1000);
  const from = new Date(to.getTime() - 3_600_000);
  const name = 'after-the-outage';
  const args = ['replay', '--from', from.toISOString(), '--to', to.toISOString(), '--name', name];

  beforeEach(() => {
    events
      .on(DescribeArchiveCommand, { ArchiveName: 'films' })
      .resolves({ CreationTime: new Date(0), RetentionDays: 30 });
    events.on(StartReplayCommand).resolves({ State: 'STARTING' });
  });

  test('sends the archive of the stack to its rule and waits until the end', async () => {
    const last = new Date(from.getTime() + 1000);
    events
      .on(DescribeReplayCommand, { ReplayName: name })
      .resolvesOnce({ State: 'STARTING' })
      .resolvesOnce({ State: 'RUNNING', EventLastReplayedTime: last })
      .resolves({ State: 'COMPLETED', EventLastReplayedTime: last });
    const { code, out, progress } = await runCommand(...args);
    expect({ code, last: out.at(-1) }).toEqual({
      code: 0,
      last: `replay after-the-outage: completed, last event at ${last.toISOString()}`,
    });
    expect(progress).toEqual(['  starting', `  running, events up to ${last.toISOString()}`]);
    expect(events.commandCalls(StartReplayCommand)[0]?.args[0].input).toEqual({
      ReplayName: name,
      EventSourceArn: OUTPUTS.ArchiveArn,
      EventStartTime: from,
      EventEndTime: to,
      Destination: { Arn: OUTPUTS.EventBusArn, FilterArns: [OUTPUTS.RuleArn] },
    });
  });

  test('returns 1 with the reason of a failed replay', async () => {
    events.on(DescribeReplayCommand).resolves({ State: 'FAILED', StateReason: 'no such rule' });
    const { code, out } = await runCommand(...args);
    expect(code).toBe(1);
    expect(out.at(-1)).toBe('replay after-the-outage: failed, no such rule, no events');
  });

  test.each([
    [{ CreationTime: new Date(from.getTime() + 1) }],
    [{ CreationTime: new Date(0), RetentionDays: 0.01 }],
  ])('rejects a period before the archive begins: %j', async (archive) => {
    events.on(DescribeArchiveCommand).resolves(archive);
    const { err } = await runCommand(...args);
    expect(err).toEqual([
      expect.stringMatching(/^✘ --from .*: expected .* or later, the oldest event in archive films$/),
    ]);
    expect(events.commandCalls(StartReplayCommand)).toEqual([]);
  });

  test('stops waiting on a signal, and the replay continues', async () => {
    const stop = new AbortController();
    events.on(DescribeReplayCommand).callsFake(async () => {
      stop.abort();
      return { State: 'RUNNING' };
    });
    const { code, out } = await runUntil(stop.signal, ...args);
    expect(code).toBe(130);
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
  const { code, out } = await runUntil(stop.signal, 'invoke', 's3://films/a');
  expect(code).toBe(130);
  expect(out).toEqual(['s3://films/a  execution a started', 'stopped waiting: the execution continues']);
});

describe('redrive of dead letters', () => {
  beforeEach(() => {
    sqs.on(GetQueueAttributesCommand).resolves({ Attributes: { ApproximateNumberOfMessages: '7' } });
    sqs.on(StartMessageMoveTaskCommand).resolves({ TaskHandle: 'h' });
    sqs.on(ReceiveMessageCommand).resolves({});
    sqs.on(ChangeMessageVisibilityCommand).resolves({});
    sfn.on(ListExecutionsCommand).resolves({ executions: [] });
  });

  test('moves them to the queue of the stack and waits until the end', async () => {
    const moving = { ApproximateNumberOfMessagesMoved: 3, ApproximateNumberOfMessagesToMove: 7 };
    sqs
      .on(ListMessageMoveTasksCommand)
      .resolvesOnce({ Results: [{ Status: 'RUNNING', ...moving }] })
      .resolves({ Results: [{ Status: 'COMPLETED', ApproximateNumberOfMessagesMoved: 7 }] });
    const { code, out, progress } = await runCommand('redrive');
    expect({ code, progress }).toEqual({ code: 0, progress: ['  3 of 7 dead letters moved'] });
    expect(out.at(-2)).toMatch(/^dead letters: 7 moved/);
    expect(sqs.commandCalls(StartMessageMoveTaskCommand)[0]?.args[0].input).toEqual({
      SourceArn: OUTPUTS.DeadLetterQueueArn,
      DestinationArn: OUTPUTS.QueueArn,
    });
  });

  test('prints the reasons of the trigger and of EventBridge, and makes the letters visible again', async () => {
    const text = (StringValue: string) => ({ DataType: 'String', StringValue });
    const letter = (n: number, MessageAttributes: Record<string, ReturnType<typeof text>> = {}) => ({
      ...{ MessageId: `m${n}`, ReceiptHandle: `h${n}`, Body: '{}', MessageAttributes },
    });
    const undelivered = { ERROR_CODE: text('NO_PERMISSIONS'), ERROR_MESSAGE: text('denied\n') };
    sqs
      .on(ReceiveMessageCommand)
      .resolvesOnce({ Messages: [letter(1, { reason: text('no key') }), letter(2, undelivered)] })
      .resolvesOnce({ Messages: [letter(3)] })
      .resolves({});
    const { code, out } = await runCommand('redrive', '--dry-run');
    expect(code).toBe(0);
    expect(out.slice(0, -1)).toEqual([
      'dead letters: 7, would move to the queue',
      'dead letter  m1  no key',
      expect.stringMatching(/^dead letter {2}m2 {2}NO_PERMISSIONS denied.$/),
      expect.stringMatching(/^dead letter {2}m3 {2}the trigger ended without a response/),
      'and 4 more dead letters',
    ]);
    const released = sqs.commandCalls(ChangeMessageVisibilityCommand).map(({ args }) => args[0].input);
    expect(released).toEqual(
      ['h1', 'h2', 'h3'].map((ReceiptHandle) => ({
        ...{ QueueUrl: OUTPUTS.DeadLetterQueueUrl, ReceiptHandle, VisibilityTimeout: 0 },
      })),
    );
    expect(sqs.commandCalls(StartMessageMoveTaskCommand)).toEqual([]);
  });

  test('prints at most a hundred reasons', async () => {
    sqs.on(GetQueueAttributesCommand).resolves({ Attributes: { ApproximateNumberOfMessages: '250' } });
    const Messages = Array.from({ length: 10 }, (_, n) => ({ MessageId: `m${n}`, ReceiptHandle: `h${n}` }));
    sqs.on(ReceiveMessageCommand).resolves({ Messages });
    const { out } = await runCommand('redrive', '--dry-run');
    expect(out.filter((line) => line.startsWith('dead letter '))).toHaveLength(100);
    expect(out).toContain('and 150 more dead letters');
  });

  test('returns 1 when the move fails, and redrives the executions all the same', async () => {
    const reason = { FailureReason: 'CouldNotDetermineMessageSource' };
    sqs
      .on(ListMessageMoveTasksCommand)
      .resolves({ Results: [{ Status: 'FAILED', ApproximateNumberOfMessagesMoved: 2, ...reason }] });
    const { code, out, err } = await runCommand('redrive');
    expect(code).toBe(1);
    expect(err).toEqual(['dead letters: 2 moved, then failed: CouldNotDetermineMessageSource']);
    expect(out.at(-1)).toMatch(/^failed executions since .*: 0;/);
  });
});

describe('backfill', () => {
  const args = ['backfill', 's3://films', '--per-minute', '60000'];
  const keys = Array.from({ length: 12 }, (_, at) => `film-${String(at).padStart(2, '0')}.mp4`);
  const $metadata = { httpStatusCode: 403 };
  const denied = new S3ServiceException({ name: 'Forbidden', $fault: 'client', $metadata, message: 'no' });
  const HEAD = { ETag: '"e"', ContentLength: 5 };

  beforeEach(async () => {
    process.chdir(await newFolder());
    s3.on(ListObjectsV2Command).callsFake(async ({ StartAfter: after = '' }) => ({
      Contents: keys.filter((key) => key > after).map((Key) => ({ Key, Size: 5 })),
    }));
    s3.on(HeadObjectCommand).resolves(HEAD);
    const $metadata = { httpStatusCode: 404 };
    s3.on(GetObjectAnnotationCommand).rejects(
      new S3ServiceException({ name: 'NoSuchAnnotation', $fault: 'client', $metadata, message: 'none' }),
    );
    sfn.on(StartExecutionCommand).resolves({});
  });

  const onHead = (Key: string) => s3.on(HeadObjectCommand, { Bucket: 'films', Key, ChecksumMode: 'ENABLED' });

  test('reports an object that S3 rejects, starts the others, and returns 1', async () => {
    onHead('film-03.mp4').rejects(denied);
    const { code, out, err } = await runCommand(...args);
    expect(code).toBe(1);
    expect(err).toEqual([
      expect.stringMatching(/^rejected {2}film-03\.mp4 {2}HEAD s3:\/\/films\/film-03\.mp4: 403/),
    ]);
    expect(out).toContain('12 objects: started 11, already uploaded 0, skipped 0, rejected 1');
    expect(readdirSync('.backfill')).toEqual([]);
  });

  test('stops after ten rejections in a row, and continues before them in the next run', async () => {
    s3.on(HeadObjectCommand).rejects(denied);
    onHead('film-00.mp4').resolves(HEAD);
    onHead('film-01.mp4').resolves({ ...HEAD, Metadata: { 'vod-file-id': '1' } });
    const first = await runCommand(...args);
    expect(first.err.at(-1)).toMatch(/^✘ S3 rejected 10 objects in a row; the last: HEAD/);
    const [file = ''] = readdirSync('.backfill');
    const checkpoint: unknown = JSON.parse(readFileSync(join('.backfill', file), 'utf8'));
    expect(checkpoint).toMatchObject({ after: 'film-00.mp4', started: 1, rejected: 0 });
    s3.on(HeadObjectCommand).resolves(HEAD);
    onHead('film-01.mp4').resolves({ ...HEAD, Metadata: { 'vod-file-id': '1' } });
    const second = await runCommand(...args);
    expect(second).toMatchObject({ code: 0, err: [] });
    expect(second.out[0]).toBe('continuing after film-00.mp4');
    expect(second.out).toContain('12 objects: started 11, already uploaded 1, skipped 0, rejected 0');
  });

  test('skips archived objects unless they are restored', async () => {
    s3.on(HeadObjectCommand).resolves({ ...HEAD, StorageClass: 'DEEP_ARCHIVE' });
    const Restore = 'ongoing-request="false", expiry-date="…"';
    onHead('film-03.mp4').resolves({ ...HEAD, StorageClass: 'GLACIER', Restore });
    const { code, out } = await runCommand(...args);
    expect(code).toBe(0);
    expect(out.slice(-2)).toEqual([
      '12 objects: started 1, already uploaded 0, skipped 11, rejected 0',
      '  skipped 11: the object is archived; restore it first',
    ]);
  });

  test('stops when Step Functions rejects a start, and repeats it under the same name in the next run', async () => {
    sfn
      .on(StartExecutionCommand)
      .resolvesOnce({})
      .rejectsOnce(awsError('AccessDeniedException', 'no'))
      .resolves({});
    const { out, err } = await runCommand(...args);
    expect(err).toEqual([
      expect.stringMatching(
        /^✘ start s3:\/\/films\/film-01\.mp4: AccessDeniedException no\. Check the credentials/,
      ),
    ]);
    expect(out.at(-2)).toBe('stopped: 1 objects: started 1, already uploaded 0, skipped 0, rejected 0');
    expect((await runCommand(...args)).code).toBe(0);
    const names = sfn.commandCalls(StartExecutionCommand).map((call) => call.args[0].input.name);
    expect(names).toHaveLength(13);
    expect(names[2]).toBe(names[1]);
    expect(new Set(names).size).toBe(12);
  });
});

describe('doctor', () => {
  const args = ['doctor', '--region', 'eu-central-1'];
  const checkOf = (line: string): string => /^[✔✘] ([a-z ]+?) {2}/.exec(line)?.[1] ?? line;

  test('names the missing permission of each check that it may not make', async () => {
    const denied = awsError('AccessDenied', 'no');
    events.onAnyCommand().rejects(denied);
    lambda.onAnyCommand().rejects(denied);
    s3.onAnyCommand().rejects(denied);
    const { code, out, err } = await runCommand(...args);
    expect({ code, err }).toEqual({ code: 1, err: [] });
    const permissions = out.map((line) => [
      checkOf(line),
      /✘ .*expected the permission (.+), got/.exec(line)?.[1],
    ]);
    expect(Object.fromEntries(permissions)).toEqual({
      settings: 'lambda:GetFunctionConfiguration',
      keys: 'lambda:GetFunctionConfiguration',
      functions: 'lambda:InvokeFunction',
      kms: 's3:GetEncryptionConfiguration',
      events: 's3:GetBucketNotification',
      rule: 'events:DescribeRule',
      trigger: 'lambda:ListEventSourceMappings',
      concurrency: 'lambda:GetAccountSettings',
      clock: undefined,
      distance: 'lambda:GetFunctionConfiguration',
      versioning: 's3:GetBucketVersioning, s3:GetLifecycleConfiguration',
      'object lock': 's3:GetBucketObjectLockConfiguration',
      replication: 's3:GetReplicationConfiguration',
      notifications: 's3:GetBucketNotification',
      'storage classes': 's3:ListBucket',
    });
  });

  test('reads the bucket, the functions, and the keys of the stack', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'operator');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
    onTestFinished(() => void vi.unstubAllEnvs());
    const parameters = await startParameterStore();
    onTestFinished(parameters.close);
    parameters.set('/dev/id', SECRETS.secretId);
    parameters.set('/dev/key', SECRETS.secretKey);
    const { vod } = await startService();
    const Variables = {
      VOD_ENDPOINT: vod.endpoint,
      VOD_SECRET_ID_PARAMETER: '/dev/id',
      VOD_SECRET_KEY_PARAMETER: '/dev/key',
      AWS_ENDPOINT_URL_SSM: parameters.endpoint,
    };
    const failure = JSON.stringify({ errorType: 'StorageRejected', errorMessage: 'HEAD: 403.' });
    lambda
      .on(GetFunctionConfigurationCommand, { FunctionName: OUTPUTS.InitFunctionName })
      .resolves({ Environment: { Variables } })
      .on(InvokeCommand)
      .resolves({ FunctionError: 'Unhandled', Payload: Uint8ArrayBlobAdapter.fromString(failure) })
      .on(ListEventSourceMappingsCommand)
      .resolves({ EventSourceMappings: [{ UUID: 'u', State: 'Disabled' }] })
      .on(GetAccountSettingsCommand)
      .resolves({ AccountLimit: { ConcurrentExecutions: 20, UnreservedConcurrentExecutions: 10 } });
    events.on(DescribeRuleCommand, { Name: 'films' }).resolves({ State: 'DISABLED' });
    const queue = { QueueArn: 'q', Events: ['s3:ObjectCreated:Copy' as const] };
    const topic = { TopicArn: 't', Events: ['s3:ObjectRemoved:*' as const] };
    s3.on(ListObjectsV2Command, { Bucket: 'films' })
      .resolves({
        Contents: [
          { Key: 'old', StorageClass: 'GLACIER' },
          { Key: 'a.mp4', StorageClass: 'STANDARD_IA' },
        ],
      })
      .on(GetBucketEncryptionCommand)
      .resolves({
        ServerSideEncryptionConfiguration: {
          Rules: [
            { ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: 'arn:k' } },
          ],
        },
      })
      .on(GetBucketNotificationConfigurationCommand)
      .resolves({ QueueConfigurations: [queue], TopicConfigurations: [topic] })
      .on(GetBucketVersioningCommand)
      .resolves({ Status: 'Enabled' })
      .on(GetBucketLifecycleConfigurationCommand)
      .resolves({
        Rules: [{ Status: 'Enabled', NoncurrentVersionExpiration: { NoncurrentDays: 7 }, Filter: {} }],
      })
      .on(GetObjectLockConfigurationCommand)
      .resolves({ ObjectLockConfiguration: { Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 30 } } } })
      .on(GetBucketReplicationCommand)
      .rejects(
        new S3ServiceException({
          name: 'ReplicationConfigurationNotFoundError',
          $fault: 'client',
          $metadata: { httpStatusCode: 404 },
        }),
      );

    const { code, out } = await runCommand(...args);
    expect(code).toBe(1);
    expect(out.filter((line) => line.startsWith('✔')).map(checkOf)).toEqual([
      ...['settings', 'keys', 'distance', 'versioning', 'replication'],
    ]);
    for (const text of [
      'Init fails: StorageRejected: HEAD: 403.',
      'encrypted with arn:k',
      'npm run enable-events',
      'aws events enable-rule --name films',
      '--uuid u --enabled',
      'maxFunctions=10',
      'locked (GOVERNANCE 30 days)',
      '1 other destinations',
      'of 2 objects: 1 GLACIER, 1 STANDARD_IA',
    ]) {
      expect(out.join('\n')).toContain(text);
    }
    const [invoke] = lambda.commandCalls(InvokeCommand);
    expect(JSON.parse(String(invoke?.args[0].input.Payload))).toMatchObject({
      request: { bucket: 'films', key: 'a.mp4', etag: 's3-vod-doctor' },
    });
    expect(parameters.requests()).toEqual([['/dev/id', '/dev/key']]);
  });
});
