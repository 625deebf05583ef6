import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { expect, onTestFinished, test, vi } from 'vitest';
import { PRICES } from '../../../bench/prices.ts';
import { addMetric, METRICS, NAMESPACE, withMetrics } from '../../../handlers/metrics.ts';
import { InvalidInput, QuotaExceeded } from '../../../lib/errors.ts';
import { reportProgress, reportRetries } from '../../../lib/invocation/progress.ts';
import { headObject } from '../../../lib/s3/head-object.ts';
import { Outcome } from '../../../lib/schemas.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import { captureJsonLines } from '../../support/capture-json-lines.ts';
import { newS3Client } from '../../support/s3-client.ts';
import { startScriptedServer } from '../../support/scripted-server.ts';
import { sqsRecord } from '../../support/sqs.ts';
import { BUCKET, newStack } from '../../support/stack.ts';
import { createBytes, never, pinOf } from '../../support/values.ts';
import { FILE, respond, respondHttp, startScriptedVod } from '../../support/vod-account.ts';

/** Simulates Lambda. Returns a function that lists the metric lines so far, of all steps or of one, without `_aws`. */
function inLambda() {
  vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', 'any');
  vi.stubEnv('STAGE', 'test');
  onTestFinished(() => void vi.unstubAllEnvs());
  const output = captureJsonLines();
  return (name?: string) =>
    output()
      .filter(({ step }) => name === undefined || step === name)
      .map(({ _aws, ...line }) => line);
}

const Line = v.looseObject({
  _aws: v.object({
    CloudWatchMetrics: v.array(
      v.object({
        Dimensions: v.array(v.array(v.string())),
        Metrics: v.array(v.object({ Name: v.string() })),
      }),
    ),
  }),
});

const invocation = (step = 'part', id = 'id') => ({ step, id, env: { ...process.env } });

test('writes one line in the embedded metric format', async () => {
  vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', 'any');
  onTestFinished(() => void vi.unstubAllEnvs());
  const output = captureJsonLines();
  const result = { next: 'done', outcome: 'uploaded' };
  expect(await withMetrics(invocation('finish', 'the id'), async () => result)).toBe(result);
  expect(output()).toEqual([
    {
      _aws: {
        Timestamp: expect.any(Number),
        CloudWatchMetrics: [
          {
            Namespace: NAMESPACE,
            Dimensions: [['service', 'stage']],
            Metrics: [{ Name: 'Uploaded', Unit: 'Count' }],
          },
        ],
      },
      ...{ service: 's3-vod', stage: 'dev', step: 'finish', function_request_id: 'the id' },
      Uploaded: 1,
    },
  ]);
});

test('writes nothing outside Lambda, or without anything to count, and returns the result of the invocation', async () => {
  const output = captureJsonLines();
  expect(await withMetrics(invocation(), async () => 7)).toBe(7);
  await expect(withMetrics(invocation(), () => Promise.reject(new InvalidInput('x')))).rejects.toThrow('x');
  vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', 'any');
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await withMetrics(invocation(), async () => 7)).toBe(7);
  expect(output()).toEqual([]);
});

test('counts the values of concurrent invocations separately', async () => {
  const lines = inLambda();
  const world = await newStack();
  const MIB = 1024 ** 2;
  const sizes = [100, 200, 300, MIB + 1, 2 * MIB];
  const films = sizes.map(createBytes);
  await Promise.all([
    ...films.map((film, n) => world.put(`film ${n}.mp4`, film)),
    world.put('notes.txt', createBytes(5)),
  ]);
  await world.idle();
  await world.put('copy.mp4', films[0] ?? createBytes(1));
  await world.idle();

  const of = (step: string, ...names: string[]) =>
    lines(step)
      .map((line) => names.map((name) => line[name]))
      .filter((values) => values.some((value) => value !== undefined))
      .sort();
  expect(of('part', 'PartsSent', 'BytesSent')).toEqual(sizes.map((size) => [Math.ceil(size / MIB), size]));
  expect(of('finish', 'Uploaded')).toEqual([...sizes, 0].map(() => [1])); // the copy is an instant upload
  expect(of('init', 'NotUploaded')).toEqual([[1]]);
  const unchanged = of('trigger', 'Unchanged').map(([count]) => Number(count)); // the events of the write-backs
  expect(unchanged.reduce((sum, count) => sum + count, 0)).toBe(sizes.length + 1);
  for (const line of lines()) expect(line).toMatchObject({ service: 's3-vod', stage: 'test' });
  const ids = new Set(lines().map(({ function_request_id: id }) => id));
  expect(ids.size).toBe(lines().length);
});

test('counts the invocations that end without quota or turn, and rethrows errors', async () => {
  const lines = inLambda();
  await expect(withMetrics(invocation(), () => Promise.reject(new InvalidInput('x')))).rejects.toThrow('x');
  const full = new QuotaExceeded('later');
  await expect(withMetrics(invocation('finish'), () => Promise.reject(full))).rejects.toBe(full);
  await withMetrics(invocation('part'), async () => ({ batch: [0, 9], waitSeconds: 12 }));
  expect(lines().map(({ step, QuotaExceeded: count }) => [step, count])).toEqual([
    ['finish', 1],
    ['part', 1],
  ]);
});

test('counts the messages that the trigger postpones after an error, and no others', async () => {
  const lines = inLambda();
  const world = await newStack();
  const good = sqsRecord('good', JSON.stringify({ bucket: BUCKET, key: 'notes.txt' }));
  const invalid = sqsRecord('invalid', '{}');
  await world.put('notes.txt', createBytes(1));
  await world.idle();
  const before = lines('trigger').length;
  await world.invokeTrigger({ Records: [good, invalid] });
  await world.idle();
  vi.stubEnv('STATE_MACHINE_ARN', 'arn:aws:states:us-east-1:000000000000:stateMachine:other');
  await world.invokeTrigger({ Records: [good, invalid] });
  expect(lines('trigger').slice(before)).toMatchObject([{ MessagesFailed: 1 }]);
});

test('counts the retries of requests to VOD and S3', async () => {
  accelerateTimers();
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'key');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
  vi.stubEnv('AWS_REGION', 'eu-central-1');
  const lines = inLambda();
  const { vod } = await startScriptedVod(
    respondHttp(500, 'oh'),
    respondHttp(503, 'oh'),
    respond({ code: 0 }),
  );
  await withMetrics(invocation('init', 'a'), () => vod.initUpload(FILE, never));
  const { endpoint } = await startScriptedServer(
    (response) => response.writeHead(503).end(),
    (response) => response.writeHead(200, { etag: '"e"', 'content-length': '7' }).end(),
    (response) => response.writeHead(503).end(),
  );
  const s3 = newS3Client(endpoint);
  const head = () => headObject(s3, { bucket: 'b', key: 'k' }, never);
  await withMetrics(invocation('init', 'b'), head);
  await expect(withMetrics(invocation('init', 'c'), head)).rejects.toThrow('503');
  expect(lines().map((line) => [line.function_request_id, line.VodRetries, line.StorageRetries])).toEqual([
    ['a', 2, undefined],
    ['b', undefined, 1],
    ['c', undefined, 3],
  ]);
});

test('ignores reports outside an invocation and after its end', async () => {
  const lines = inLambda();
  const report = () => {
    reportProgress({ stage: 'part', pin: pinOf(9), bytes: 9 });
    reportProgress({ stage: 'parts', pin: pinOf(9), missing: 9 });
    reportRetries({ of: 'S3', count: 1 });
  };
  report();
  const ended = Promise.withResolvers<void>();
  let late: Promise<void> = Promise.resolve();
  await withMetrics(invocation(), async () => {
    report();
    late = ended.promise.then(report);
  });
  ended.resolve();
  await late;
  expect(lines()).toMatchObject([{ PartsSent: 1, BytesSent: 9, StorageRetries: 1 }]);
});

test('cost less than $3 a month, whatever the stack does', async () => {
  vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', 'any');
  onTestFinished(() => void vi.unstubAllEnvs());
  const output = captureJsonLines();
  const outcomes = Outcome.options.map((outcome) => ({ next: 'done', outcome }));
  for (const step of ['trigger', 'init', 'part', 'finish', 'cover']) {
    for (const result of [...outcomes, { waitSeconds: 1 }]) {
      await withMetrics(invocation(step), async () => {
        reportProgress({ stage: 'part', pin: pinOf(9), bytes: 9 });
        for (const of of ['S3', 'VOD'] as const) reportRetries({ of, count: 1 });
        addMetric('MessagesFailed', 1);
        return result;
      });
    }
  }
  // CloudWatch bills each metric for each combination of the values of its dimensions.
  const billed = v
    .parse(v.array(Line), output())
    .flatMap(({ _aws, ...values }) =>
      _aws.CloudWatchMetrics.flatMap(({ Dimensions, Metrics }) =>
        Dimensions.flatMap((names) =>
          Metrics.map(({ Name }) => JSON.stringify([Name, names.map((name) => values[name])])),
        ),
      ),
    );
  expect(new Set(billed).size).toBe(Object.keys(METRICS).length);
  const price = `nine: $${(new Set(billed).size * PRICES.metricMonth).toFixed(2)}`;
  expect(price).toBe('nine: $2.70');
  expect(readFileSync('docs/reference/metrics.md', 'utf8')).toContain(price);
});

test('each metric has the unit that its name implies', () => {
  for (const [name, unit] of Object.entries(METRICS)) {
    const expected = /^Bytes/.test(name) ? 'Bytes' : /Seconds$/.test(name) ? 'Seconds' : 'Count';
    expect([name, unit]).toEqual([name, expected]);
  }
});
