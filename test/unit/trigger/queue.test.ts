import { expect, onTestFinished, test, vi } from 'vitest';
import { createQueueClient } from '../../../lib/trigger/queue.ts';
import { startScriptedServer } from '../../support/scripted-server.ts';

/** Starts a scripted server, and a client whose queues it serves. */
async function start(...answers: Parameters<typeof startScriptedServer>) {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'key');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
  const server = await startScriptedServer(...answers);
  const urlOf = (name: string): string => `${server.endpoint}/123456789012/${name}`;
  const client = createQueueClient({
    url: urlOf('events'),
    deadLetterUrl: urlOf('dead-letters'),
    region: 'eu-central-1',
  });
  onTestFinished(() => {
    client.close();
    vi.unstubAllEnvs();
  });
  const requests = () =>
    server.requests.map(({ headers, body }) => ({
      target: headers['x-amz-target'],
      type: headers['content-type'],
      ...JSON.parse(body.toString()),
    }));
  return { client, requests, urlOf, received: server.requests };
}

test('postpones a message, and accepts a response without a body', async () => {
  const { client, requests, urlOf, received } = await start((response) => response.writeHead(200).end());
  await client.postpone('handle', 45);
  expect(requests()).toEqual([
    {
      target: 'AmazonSQS.ChangeMessageVisibility',
      type: 'application/x-amz-json-1.0',
      ...{ QueueUrl: urlOf('events'), ReceiptHandle: 'handle', VisibilityTimeout: 45 },
    },
  ]);
  expect(received[0]?.headers.authorization).toMatch(/\/eu-central-1\/sqs\/aws4_request/);
});

test('rejects a message with a reason that SQS accepts', async () => {
  const { client, requests, urlOf } = await start((response) =>
    response.writeHead(200).end('{"MessageId":"m"}'),
  );
  await client.reject('the body', `a\u0000b\ud800 🎬\n${'x'.repeat(2000)}`);
  await client.reject('the body', '');
  const [first, second] = requests();
  expect(first).toMatchObject({
    target: 'AmazonSQS.SendMessage',
    ...{ QueueUrl: urlOf('dead-letters'), MessageBody: 'the body' },
    MessageAttributes: { reason: { DataType: 'String', StringValue: expect.any(String) } },
  });
  expect(first.MessageAttributes.reason.StringValue).toMatch(/^a\ufffdb\ufffd 🎬\nx{990,}$/u);
  expect(second.MessageAttributes.reason.StringValue).not.toBe('');
});

test('tries again after an error of the service, then reports it', async () => {
  const { client, requests } = await start(
    (response) => response.writeHead(503).end(),
    (response) => response.writeHead(200).end('{}'),
    (response) =>
      response.writeHead(400).end('{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}'),
  );
  await client.postpone('handle', 1);
  expect(requests()).toHaveLength(2);
  await expect(client.reject('body', 'reason')).rejects.toMatchObject({
    name: 'QueueDoesNotExist',
    message: 'gone',
  });
});
