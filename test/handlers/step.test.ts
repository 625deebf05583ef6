import * as v from 'valibot';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { Invocation } from '../../handlers/step.ts';
import { jsonOutput } from '../support/output.ts';

/** The wrapping that every handler shares, as its log shows it. */

const invocation = (awsRequestId: string): Invocation => ({
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

test('the first invocation alone is a cold start, and each log line names its own invocation and object', async () => {
  vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'INFO');
  vi.stubEnv('AWS_LAMBDA_INITIALIZATION_TYPE', 'on-demand'); // with provisioned concurrency none is cold
  onTestFinished(() => void vi.unstubAllEnvs());
  vi.resetModules(); // the logger reads its level when it is loaded
  const output = jsonOutput();
  const { step } = await import('../../handlers/step.ts');
  const both = Promise.withResolvers<void>();
  let running = 0;
  const handler = step(
    'demo',
    v.object({ key: v.string() }),
    ({ key }) => ({ key }),
    async ({ key }, { log }) => {
      if (++running === 2) both.resolve();
      await both.promise;
      log.info('work');
      if (key === 'bad') throw new Error('no');
      return { key };
    },
  );
  await Promise.allSettled([
    handler({ key: 'good' }, invocation('1')),
    handler({ key: 'bad' }, invocation('2')),
  ]);
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
