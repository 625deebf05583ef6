import type { ServerResponse } from 'node:http';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createDynamoClient, type Dynamo, type UpdateItem } from '../../../lib/quota/dynamodb.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { type Answer, scripted } from '../../support/scripted-server.ts';
import { failureOf } from '../../support/values.ts';

/** What dynalite never answers; that it takes what is sent, `quota-dynalite.test.ts` shows. */

useCredentials();

const INPUT: UpdateItem = {
  TableName: 'quota',
  Key: { key: { S: 'a' } },
  UpdateExpression: 'SET points = :points',
  ExpressionAttributeValues: { ':points': { N: '1' } },
  ReturnValues: 'ALL_NEW',
};
const UPDATED = { Attributes: { key: { S: 'a' }, points: { N: '1' }, expire: { N: '2' } } };

const says =
  (status: number, answer: unknown): Answer =>
  (response: ServerResponse) =>
    void response
      .writeHead(status, { 'content-type': 'application/x-amz-json-1.0', 'x-amzn-requestid': 'R1' })
      .end(typeof answer === 'string' ? answer : JSON.stringify(answer));
const refuses = (status: number, type: string): Answer =>
  says(status, { __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: 'not now' });

async function dynamo(...answers: [Answer, ...Answer[]]): Promise<{ client: Dynamo; asked: unknown[] }> {
  const { endpoint, asked } = await scripted(...answers);
  const client = createDynamoClient('eu-central-1', endpoint);
  onTestFinished(() => client.close());
  return { client, asked };
}

test.each([
  ['throttles the table', refuses(400, 'ProvisionedThroughputExceededException')],
  ['throttles the account', refuses(400, 'ThrottlingException')],
  ['is not well', refuses(500, 'InternalServerError')],
  ['is not reached by what is on the way', says(502, '<html>Bad Gateway</html>')],
  ['hangs up', (response: ServerResponse) => void response.destroy()],
])('a service that %s is asked again, and twice at most', async (_, passing) => {
  vi.spyOn(Math, 'random').mockReturnValue(0); // the shortest waits
  onTestFinished(() => void vi.restoreAllMocks());
  const better = await dynamo(passing, passing, says(200, UPDATED));
  expect(await better.client.updateItem(INPUT)).toEqual(UPDATED);
  const worse = await dynamo(passing);
  await failureOf(worse.client.updateItem(INPUT));
  expect([better.asked.length, worse.asked.length]).toEqual([3, 3]);
});

test.each(['ConditionalCheckFailedException', 'ResourceNotFoundException', 'AccessDeniedException'])(
  '%s stays what it is',
  async (type) => {
    const { client, asked } = await dynamo(refuses(400, type));
    expect(await failureOf(client.updateItem(INPUT))).toMatchObject({
      name: type,
      message: 'not now',
      $metadata: { httpStatusCode: 400, requestId: 'R1' },
    });
    expect(asked.length).toBe(1);
  },
);

test.each([
  ['does not begin', () => {}],
  ['does not end', (response: ServerResponse) => void response.writeHead(200).write('{')],
])('an answer that %s is not waited for', async (_, silent) => {
  accelerateTimers();
  const { timeout } = AbortSignal;
  vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout.call(AbortSignal, ms / 25));
  const { client } = await dynamo(silent);
  await expect(client.updateItem(INPUT)).rejects.toThrow(/timeout|timed out|did not|aborted/i);
});

test.each([['{}'], ['no JSON'], ['{"Attributes":{"key":{"S":"a"}}}']])(
  'an answer that is none is an error: %s',
  async (answer) => {
    const { client } = await dynamo(says(200, answer));
    expect(await failureOf(client.updateItem(INPUT))).not.toMatchObject({ name: 'no error' });
  },
);

test('without a region nobody is asked', () => {
  expect(() => createDynamoClient(undefined, undefined)).toThrow('setting AWS_REGION is missing');
});
