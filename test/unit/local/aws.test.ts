import { join } from 'node:path';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { DescribeArchiveCommand, EventBridgeClient, StartReplayCommand } from '@aws-sdk/client-eventbridge';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  DescribeExecutionCommand,
  ListExecutionsCommand,
  type ListExecutionsCommandOutput,
  RedriveExecutionCommand,
  SFNClient,
} from '@aws-sdk/client-sfn';
import { GetQueueAttributesCommand, ListMessageMoveTasksCommand, SQSClient } from '@aws-sdk/client-sqs';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { JsonStore } from '../../../cli/json-store.ts';
import { findRunning } from '../../../cli/running-file.ts';
import { executionArn } from '../../../lib/trigger/executions.ts';
import { ExecutionStore } from '../../../local/aws/execution-store.ts';
import { newStack } from '../../support/stack.ts';
import { newFolder } from '../../support/temp-folder.ts';

/** The engine's AWS calls, made with AWS's own SDK: what is refused, and what only few would see. */

const credentials = { accessKeyId: 'any', secretAccessKey: 'any' };

async function engineOn(data: string) {
  const world = await newStack({ data });
  const endpoint = (await findRunning(data))?.engine ?? '';
  return { world, config: { endpoint, credentials, region: 'us-east-1', maxAttempts: 1 } };
}

test('executions are listed by status, the latest begun first, page by page', async () => {
  const data = await newFolder();
  const journal = new JsonStore(join(data, 'executions'), v.any());
  for (let at = 0; at < 7; at++) {
    const name = `e${at}`;
    const arn = executionArn(ExecutionStore.stateMachineArn, name);
    const status = at % 3 === 0 ? 'SUCCEEDED' : 'FAILED';
    const times = { startDate: 1_700_000_000_000 + at, stopDate: 1_700_000_001_000 };
    journal.put(name, { name, arn, status, input: {}, redriveCount: 0, ...times });
  }
  const { config } = await engineOn(data);
  const sfn = new SFNClient(config);
  const { stateMachineArn } = ExecutionStore;
  const pages: string[][] = [];
  let nextToken: string | undefined;
  do {
    const page: ListExecutionsCommandOutput = await sfn.send(
      new ListExecutionsCommand({ stateMachineArn, statusFilter: 'FAILED', maxResults: 2, nextToken }),
    );
    pages.push((page.executions ?? []).map(({ name = '' }) => name));
    nextToken = page.nextToken;
  } while (nextToken);
  expect(pages).toEqual([
    ['e5', 'e4'],
    ['e2', 'e1'],
  ]);
  const all = await sfn.send(new ListExecutionsCommand({ stateMachineArn }));
  expect(all.executions?.map(({ name }) => name)).toEqual(['e6', 'e5', 'e4', 'e3', 'e2', 'e1', 'e0']);
  expect(all.executions?.[0]).toMatchObject({ status: 'SUCCEEDED', startDate: new Date(1_700_000_000_006) });

  const old = { executionArn: executionArn(stateMachineArn, 'e1') };
  expect(await sfn.send(new DescribeExecutionCommand(old))).toMatchObject({
    redriveStatus: 'NOT_REDRIVABLE',
  });
  await expect(sfn.send(new RedriveExecutionCommand(old))).rejects.toMatchObject({
    name: 'ExecutionNotRedrivable',
  });
  const bad = { stateMachineArn, nextToken: 'nobody' };
  await expect(sfn.send(new ListExecutionsCommand(bad))).rejects.toMatchObject({ name: 'InvalidToken' });
  const other = { stateMachineArn: `${stateMachineArn}s` };
  await expect(sfn.send(new ListExecutionsCommand(other))).rejects.toMatchObject({
    name: 'StateMachineDoesNotExist',
  });
  sfn.destroy();
});

test('what is not there is refused by its name', async () => {
  const { config } = await engineOn(await newFolder());
  const [events, sqs, lambda, stacks] = [
    new EventBridgeClient(config),
    new SQSClient(config),
    new LambdaClient(config),
    new CloudFormationClient(config),
  ];
  const unknown = { name: 'ResourceNotFoundException' };
  await expect(events.send(new DescribeArchiveCommand({ ArchiveName: 'a' }))).rejects.toMatchObject(unknown);
  await expect(sqs.send(new ListMessageMoveTasksCommand({ SourceArn: 'a' }))).rejects.toMatchObject(unknown);
  await expect(lambda.send(new InvokeCommand({ FunctionName: 'init' }))).rejects.toMatchObject(unknown);
  await expect(
    sqs.send(new GetQueueAttributesCommand({ QueueUrl: `${config.endpoint}/1/q` })),
  ).rejects.toMatchObject({
    name: 'QueueDoesNotExist',
  });
  await expect(stacks.send(new DescribeStacksCommand({ StackName: 's' }))).rejects.toMatchObject({
    name: 'ValidationError',
    message: 'Stack with id s does not exist',
  });
  const replay = {
    ReplayName: 'r',
    EventSourceArn: 'arn:aws:events:us-east-1:000000000000:archive/other',
    EventStartTime: new Date(0),
    EventEndTime: new Date(1),
    Destination: { Arn: 'arn:aws:events:us-east-1:000000000000:event-bus/default' },
  };
  await expect(events.send(new StartReplayCommand(replay))).rejects.toMatchObject({
    name: 'ValidationException',
    message: expect.stringContaining('EventSourceArn'),
  });
  for (const client of [events, sqs, lambda, stacks]) client.destroy();
});

test.each([
  ['AWSStepFunctions.DeleteStateMachine', '{}', /"UnknownOperationException"/],
  ['AmazonSQS.constructor', '{}', /"UnknownOperationException"/],
  ['AWSStepFunctions.StartExecution', '{', /"SerializationException"/],
  ['AWSStepFunctions.StartExecution', '{"name": 7}', /"ValidationException".*stateMachineArn/],
])('%s of %s is answered with a 400', async (target, body, message) => {
  const { config } = await engineOn(await newFolder());
  const reply = await fetch(config.endpoint, { method: 'POST', headers: { 'x-amz-target': target }, body });
  expect(reply.status).toBe(400);
  expect(await reply.text()).toMatch(message);
});
