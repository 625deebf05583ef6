import { inspect } from 'node:util';
import { S3ServiceException } from '@aws-sdk/client-s3';
import { SFNServiceException } from '@aws-sdk/client-sfn';
import * as v from 'valibot';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { HandlerContext, LambdaContext } from '../../../handlers/create-handler.ts';
import { StorageRejected } from '../../../lib/errors.ts';
import { captureJsonLines } from '../../support/capture-json-lines.ts';

const invocation = (awsRequestId: string): LambdaContext => ({
  callbackWaitsForEmptyEventLoop: false,
  functionName: 'f',
  functionVersion: '$LATEST',
  invokedFunctionArn: 'arn:aws:lambda:eu-central-1:000000000000:function:f',
  memoryLimitInMB: '1024',
  awsRequestId,
  logGroupName: 'g',
  logStreamName: 's',
  getRemainingTimeInMillis: () => 60_000,
  done: () => {},
  fail: () => {},
  succeed: () => {},
});

type Event = { key?: string | undefined };

/** Creates a handler as a new process does: the logger reads its level when the module is loaded. */
async function createDemo(run: (event: Event, context: HandlerContext) => Promise<unknown>) {
  vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'INFO');
  vi.stubEnv('AWS_LAMBDA_INITIALIZATION_TYPE', 'on-demand'); // provisioned concurrency has no cold starts
  onTestFinished(() => void vi.unstubAllEnvs());
  vi.resetModules();
  const { createHandler } = await import('../../../handlers/create-handler.ts');
  const schema = v.object({ key: v.optional(v.string()) });
  const handler = createHandler('demo', schema, ({ key }) => ({ key }), run);
  return { handler, output: captureJsonLines() };
}

test('concurrent invocations log their own request ID and object; only the first is a cold start', async () => {
  const both = Promise.withResolvers<void>();
  let running = 0;
  const { handler, output } = await createDemo(async ({ key }, { log }) => {
    if (++running === 2) both.resolve();
    await both.promise;
    log.info('work');
    if (key === 'bad') throw new Error('no');
    return { key };
  });
  const good = handler({ key: 'good' }, invocation('1'));
  await Promise.allSettled([good, handler({ key: 'bad' }, invocation('2'))]);
  await handler({ key: 'later' }, invocation('3'));
  const lines = output().map(({ message, function_request_id: id, cold_start: cold, key, step }) => [
    ...[id, key, message, cold, step],
  ]);
  expect(lines.sort()).toEqual([
    ['1', 'good', 'demo done', true, 'demo'],
    ['1', 'good', 'work', true, 'demo'],
    ['2', 'bad', 'demo failed', false, 'demo'],
    ['2', 'bad', 'work', false, 'demo'],
    ['3', 'later', 'demo done', false, 'demo'],
    ['3', 'later', 'work', false, 'demo'],
  ]);
});

const $metadata = { httpStatusCode: 400, requestId: '4711', attempts: 1 };
const $fault = 'client';
const signatureError = () =>
  new SFNServiceException({
    name: 'InvalidSignatureException',
    message:
      'It does not match.\n\nThe Canonical String should have been\nx-amz-security-token:the-session-token',
    ...{ $fault, $metadata },
  });

test('logs an error and its causes without the request details of AWS', async () => {
  const expired = { name: 'ExpiredToken', message: 'It has expired' };
  const cause = new S3ServiceException({ ...expired, $fault, $metadata });
  Object.assign(cause, { 'Token-0': 'the-session-token', StringToSign: 'what-was-signed' });
  const { handler, output } = await createDemo(async (_, { log }) => {
    log.error('one of several', { error: signatureError() });
    throw new StorageRejected('GET s3://b/k: 400', { cause });
  });
  await expect(handler({}, invocation('1'))).rejects.toThrow('GET s3://b/k: 400');
  expect(output()).toMatchObject([
    { error: { name: 'InvalidSignatureException', message: 'It does not match.', $metadata } },
    {
      error: {
        name: 'StorageRejected',
        message: 'GET s3://b/k: 400',
        stack: expect.stringContaining('create-handler.test.ts'),
        cause: { ...expired, $metadata: { requestId: '4711' } },
      },
    },
  ]);
  expect(JSON.stringify(output())).not.toMatch(/the-session-token|what-was-signed/);
});

test('throws an AWS error without its request details', async () => {
  const { handler } = await createDemo(() => Promise.reject(signatureError()));
  const error: unknown = await handler({}, invocation('1')).catch((thrown) => thrown);
  expect(error).toMatchObject({ name: 'InvalidSignatureException', message: 'It does not match.' });
  expect(inspect(error)).toContain('create-handler.test.ts');
  expect(inspect(error)).not.toContain('the-session-token');
});
