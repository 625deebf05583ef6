import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from '../../../local/http-server.ts';
import { createDynalite, createQuotaTable } from '../../support/dynamo.ts';
import { newStack } from '../../support/stack.ts';
import { createBytes } from '../../support/values.ts';
import { accelerateTimers } from './accelerate-timers.ts';

/** Starts a DynamoDB that throttles the next `throttled` requests. */
async function startThrottledTable() {
  const inner = createDynalite();
  const table = { throttled: 0 };
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    if (table.throttled-- <= 0) return void inner.emit('request', request, response);
    request.resume();
    const __type = 'com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException';
    response.writeHead(400, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify({ __type }));
  };
  const front = await listen(createServer(serve), 0);
  const client = new DynamoDBClient({
    endpoint: front.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local-secret' },
  });
  await createQuotaTable(client);
  client.destroy();
  onTestFinished(async () => {
    await front.close();
    const closed = once(inner, 'close');
    inner.close();
    await closed;
  });
  return Object.assign(table, { endpoint: front.endpoint });
}

test('waits while the quota table is throttled, and makes no call without a lease', async () => {
  onTestFinished(accelerateTimers());
  const table = await startThrottledTable();
  process.env.AWS_ENDPOINT_URL_DYNAMODB = table.endpoint;
  onTestFinished(() => void delete process.env.AWS_ENDPOINT_URL_DYNAMODB);
  const calls: string[] = [];
  const stack = await newStack({
    env: { QUOTA_TABLE: 'quota', QUOTA_MINUTE_MS: '100' },
    faults: ({ service, call }) => {
      if (service === 'vod') calls.push(call);
      return undefined;
    },
  });
  table.throttled = 15;
  await stack.put('video.mp4', createBytes(2_000_000));
  await stack.idle();
  expect(table.throttled).toBeLessThan(0);
  expect(stack.ended.map(({ status }) => status)).toEqual(['SUCCEEDED']);
  expect(calls).toEqual(['InitUpload', 'UploadPart', 'UploadPart', 'FinishUpload']);
});
