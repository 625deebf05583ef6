import { join } from 'node:path';
import { CloudFormation } from '@aws-sdk/client-cloudformation';
import { EventBridge } from '@aws-sdk/client-eventbridge';
import { Lambda } from '@aws-sdk/client-lambda';
import { paginateListExecutions, SFN } from '@aws-sdk/client-sfn';
import { SQS } from '@aws-sdk/client-sqs';
import * as v from 'valibot';
import { describe, expect, onTestFinished, test } from 'vitest';
import { JsonStore } from '../../../cli/json-store.ts';
import { findRunning } from '../../../cli/running-file.ts';
import { executionArn } from '../../../lib/trigger/executions.ts';
import { ExecutionStore } from '../../../local/aws/execution-store.ts';
import { lambdaResources } from '../../../local/aws/lambda-api.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { newStack } from '../../support/stack.ts';
import { newFolder } from '../../support/temp-folder.ts';

/** Starts a stack. Returns the settings of SDK clients that call its AWS server. */
async function startServer(data: string) {
  await newStack({ data });
  return {
    endpoint: (await findRunning(data))?.engine ?? '',
    credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
    region: 'us-east-1',
    maxAttempts: 1,
  };
}

describe('Step Functions', () => {
  const { stateMachineArn } = ExecutionStore;

  /** Starts a server with finished executions e0 to e6, of which e0, e3, and e6 succeeded. */
  async function startWithExecutions(): Promise<SFN> {
    const data = await newFolder();
    const store = new JsonStore(join(data, 'executions'), v.any());
    for (let n = 0; n < 7; n++) {
      const name = `e${n}`;
      const status = n % 3 === 0 ? 'SUCCEEDED' : 'FAILED';
      const times = { startDate: 1_700_000_000_000 + n, stopDate: 1_700_000_001_000 };
      const arn = executionArn(stateMachineArn, name);
      store.put(name, { name, arn, status, input: {}, redriveCount: 0, ...times });
    }
    const client = new SFN(await startServer(data));
    onTestFinished(() => client.destroy());
    return client;
  }

  test('lists executions by status, newest first, page by page', async () => {
    const client = await startWithExecutions();
    const failed = { stateMachineArn, statusFilter: 'FAILED' } as const;
    const pages: string[][] = [];
    for await (const { executions = [] } of paginateListExecutions({ client, pageSize: 2 }, failed))
      pages.push(executions.map(({ name = '' }) => name));
    expect(pages).toEqual([
      ['e5', 'e4'],
      ['e2', 'e1'],
    ]);
    const { executions = [] } = await client.listExecutions({ stateMachineArn });
    expect(executions.map(({ name }) => name)).toEqual(['e6', 'e5', 'e4', 'e3', 'e2', 'e1', 'e0']);
    expect(executions[0]).toMatchObject({ status: 'SUCCEEDED', startDate: new Date(1_700_000_000_006) });
  });

  test('rejects the redrive of an old execution, an unknown page, and an unknown state machine', async () => {
    const client = await startWithExecutions();
    const old = { executionArn: executionArn(stateMachineArn, 'e1') };
    expect((await client.describeExecution(old)).redriveStatus).toBe('NOT_REDRIVABLE');
    await expectFailure(client.redriveExecution(old), 'ExecutionNotRedrivable');
    await expectFailure(client.listExecutions({ stateMachineArn, nextToken: 'none' }), 'InvalidToken');
    const noMachine = client.listExecutions({ stateMachineArn: `${stateMachineArn}s` });
    await expectFailure(noMachine, 'StateMachineDoesNotExist');
  });
});

test('resources that do not exist are rejected with the error of the service', async () => {
  const config = await startServer(await newFolder());
  const [events, sqs] = [new EventBridge(config), new SQS(config)];
  const [lambda, stacks] = [new Lambda(config), new CloudFormation(config)];
  onTestFinished(() => {
    for (const client of [events, sqs, lambda, stacks]) client.destroy();
  });
  await expectFailure(events.describeArchive({ ArchiveName: 'a' }), 'ResourceNotFoundException');
  await expectFailure(events.describeRule({ Name: 'r' }), 'ResourceNotFoundException');
  await expectFailure(sqs.listMessageMoveTasks({ SourceArn: 'a' }), 'ResourceNotFoundException');
  await expectFailure(lambda.invoke({ FunctionName: 'part' }), 'ResourceNotFoundException');
  await expectFailure(sqs.getQueueAttributes({ QueueUrl: `${config.endpoint}/1/q` }), 'QueueDoesNotExist');
  const noStack = stacks.describeStacks({ StackName: 's' });
  await expectFailure(noStack, 'ValidationError', /^Stack with id s does not exist$/);
  const replay = events.startReplay({
    ReplayName: 'r',
    EventSourceArn: 'arn:aws:events:us-east-1:000000000000:archive/other',
    ...{ EventStartTime: new Date(0), EventEndTime: new Date(1) },
    Destination: { Arn: 'arn:aws:events:us-east-1:000000000000:event-bus/default' },
  });
  await expectFailure(replay, 'ValidationException', 'EventSourceArn');
});

test.each([
  ['AWSStepFunctions.DeleteStateMachine', '{}', /"UnknownOperationException"/],
  ['AmazonSQS.constructor', '{}', /"UnknownOperationException"/],
  ['AWSStepFunctions.StartExecution', '{"name": 7}', /"ValidationException".*stateMachineArn/],
])('%s with the body %s is rejected with status 400', async (target, body, message) => {
  const { endpoint } = await startServer(await newFolder());
  const response = await fetch(endpoint, { method: 'POST', headers: { 'x-amz-target': target }, body });
  expect(response.status).toBe(400);
  expect(await response.text()).toMatch(message);
});

test('the configuration of a local function contains its settings and no secret', () => {
  const secrets = {
    ...{ VOD_SECRET_ID: 'id-4711', VOD_SECRET_KEY: 'key-4711', VOD_TOKEN: 'token-4711' },
    ...{ AWS_SECRET_ACCESS_KEY: 'aws-4711', AWS_SESSION_TOKEN: 'session-4711', OTHER: 'other-4711' },
  };
  const settings = {
    VOD_ENDPOINT: 'http://127.0.0.1:1',
    VOD_SECRET_KEY_PARAMETER: '/key',
    WRITE_BACK: 'tags',
  };
  const resources = lambdaResources({ ...secrets, ...settings });
  expect(resources['/2015-03-31/functions/init/configuration']).toMatchObject({
    Environment: { Variables: settings },
  });
  expect(JSON.stringify(resources)).not.toContain('4711');
});
