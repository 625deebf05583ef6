import type { ServerResponse } from 'node:http';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createMemoryCounter, createTableCounter, type WindowCounter } from '../../../lib/quota/counter.ts';
import { connectTable } from '../../../lib/quota/table.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import { startQuotaTable } from '../../support/dynamo.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { type Responder, startScriptedServer } from '../../support/scripted-server.ts';

useCredentials();

/** A window that expires in an hour. */
const WINDOW = { key: 'UploadPart:1', expire: Math.ceil(Date.now() / 1000) + 3_600 };
const NEXT_WINDOW = { ...WINDOW, key: 'UploadPart:2' };

async function createDynaliteCounter(): Promise<WindowCounter> {
  const { location } = await startQuotaTable();
  const table = connectTable('quota', location);
  onTestFinished(table.close);
  return createTableCounter(table);
}

describe.each<[string, () => WindowCounter | Promise<WindowCounter>]>([
  ['in memory', () => createMemoryCounter()],
  ['in a table', createDynaliteCounter],
])('a counter %s', (_, create) => {
  test('adds concurrent calls and returns each count once', async () => {
    const counter = await create();
    const counts = await Promise.all(Array.from({ length: 10 }, () => counter.add(WINDOW, 3)));
    expect(new Set(counts.map(({ calls }) => calls))).toEqual(new Set([3, 6, 9, 12, 15, 18, 21, 24, 27, 30]));
  });

  test('keeps windows apart', async () => {
    const counter = await create();
    await counter.add(WINDOW, 3);
    expect(await counter.add(NEXT_WINDOW, 1)).toEqual({ calls: 1, pausedUntil: 0 });
  });

  test('returns the pause of a window, whether or not calls were counted before', async () => {
    const counter = await create();
    await counter.add(WINDOW, 3);
    for (const window of [WINDOW, NEXT_WINDOW]) await counter.pause(window, 6);
    expect(await counter.add(WINDOW, 2)).toEqual({ calls: 5, pausedUntil: 6 });
    expect(await counter.add(NEXT_WINDOW, 2)).toEqual({ calls: 2, pausedUntil: 6 });
  });
});

test('the counter in memory forgets expired windows', async () => {
  const counter = createMemoryCounter();
  await counter.add({ ...WINDOW, expire: 1 }, 3);
  expect(await counter.add(WINDOW, 1)).toEqual({ calls: 1, pausedUntil: 0 });
});

/** Responses that dynalite never gives. */
describe('a table that does not work', () => {
  const COUNTED = { Attributes: { key: { S: 'a' }, calls: { N: '1' }, expire: { N: '2' } } };

  const respond =
    (status: number, body: unknown): Responder =>
    (response: ServerResponse) =>
      void response
        .writeHead(status, { 'content-type': 'application/x-amz-json-1.0', 'x-amzn-requestid': 'R1' })
        .end(typeof body === 'string' ? body : JSON.stringify(body));
  const reject = (status: number, type: string): Responder =>
    respond(status, { __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: 'not now' });

  async function createScriptedCounter(...answers: [Responder, ...Responder[]]) {
    const { endpoint, requests } = await startScriptedServer(...answers);
    const table = connectTable('quota-dev', { region: 'eu-central-1', endpoint });
    onTestFinished(table.close);
    return { counter: createTableCounter(table), requests };
  }

  test.each([
    ['throttled table', reject(400, 'ProvisionedThroughputExceededException')],
    ['throttled account', reject(400, 'ThrottlingException')],
    ['server error', reject(500, 'InternalServerError')],
    ['error page of a proxy', respond(502, '<html>Bad Gateway</html>')],
    ['closed connection', (response: ServerResponse) => void response.destroy()],
    ['empty object', respond(200, '{}')],
    ['body that is not JSON', respond(200, 'no JSON')],
    ['item without a count', respond(200, { Attributes: { key: { S: 'a' } } })],
    ['count that is not a number', respond(200, { Attributes: { calls: { N: 'x' } } })],
  ])('retries twice, then throws QuotaExceeded: %s', async (_, failure) => {
    const recovering = await createScriptedCounter(failure, failure, respond(200, COUNTED));
    expect(await recovering.counter.add(WINDOW, 1)).toEqual({ calls: 1, pausedUntil: 0 });
    const failing = await createScriptedCounter(failure);
    const message =
      /^quota table quota-dev: no count received, so no call may start. Retrying later \(.+\)\.$/;
    await expectFailure(failing.counter.add(WINDOW, 1), 'QuotaExceeded', message);
    expect([recovering.requests.length, failing.requests.length]).toEqual([3, 3]);
  });

  test.each([
    ['AccessDeniedException', 'dynamodb:UpdateItem'],
    ['ValidationException', '`key` (S)'],
    ['UnrecognizedClientException', 'credentials'],
    ['ResourceNotFoundException', 'region'],
  ])('throws InvalidSetting after %s, without a retry', async (type, hint) => {
    const { counter, requests } = await createScriptedCounter(reject(400, type));
    for (const call of [() => counter.add(WINDOW, 1), () => counter.pause(WINDOW, 6)]) {
      const message = /^quota table quota-dev: .* Check QUOTA_TABLE.* \(.*not now\)\.$/;
      const failure = await expectFailure(call(), 'InvalidSetting', message);
      const $metadata = { httpStatusCode: 400, requestId: 'R1' };
      expect(failure.cause).toMatchObject({ name: type, message: 'not now', $metadata });
      expect(failure.message).toContain(hint);
    }
    expect(requests.length).toBe(2);
  });

  test.each([
    ['start', () => {}],
    ['end', (response: ServerResponse) => void response.writeHead(200).write('{')],
  ])('gives up on a response that does not %s', async (_, stall) => {
    accelerateTimers();
    const { timeout } = AbortSignal;
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout.call(AbortSignal, ms / 25));
    const { counter } = await createScriptedCounter(stall);
    await expectFailure(counter.add(WINDOW, 1), 'QuotaExceeded', /timeout|timed out|did not|aborted/i);
  });

  test('needs a region', () => {
    expect(() => connectTable('quota', {})).toThrow('setting AWS_REGION: missing');
  });
});
