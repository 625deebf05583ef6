import { createHash, randomFillSync } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { LOCAL_S3_CREDENTIALS } from '../cli/running-file.ts';
import { DEPLOYMENT_DEFAULTS } from '../deploy/defaults.ts';
import { watchProgress } from '../lib/invocation/progress.ts';
import { createS3Client } from '../lib/s3/client.ts';
import { createLambda } from '../local/aws/lambda.ts';
import { sendLogsToStandardError } from '../local/logs.ts';
import type { NetworkLimits } from '../local/network-simulator.ts';
import { startS3 } from '../local/s3/server.ts';
import { startStack } from '../local/stack.ts';
import { uploadBaseline } from './baseline-uploader.ts';
import { uploadWithCosSdk } from './cos-uploader.ts';
import { sum } from './cost.ts';
import {
  type Amount,
  BUCKET,
  type Job,
  type Measurement,
  type ServiceOptions,
  VOD_HOST,
  VOD_SECRETS,
} from './messages.ts';
import { startRemoteService } from './remote-service.ts';

/** Runs one job in a new process, whose peak memory is therefore the job's own. Usage: runner.ts DIR JOB */

const MiB = 1024 ** 2;
const [, , dir = '', text = ''] = process.argv;

Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: LOCAL_S3_CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: LOCAL_S3_CREDENTIALS.secretAccessKey,
  AWS_SESSION_TOKEN: '',
  AWS_REGION: 'us-east-1',
  AWS_EC2_METADATA_DISABLED: 'true',
  VOD_SECRET_ID: VOD_SECRETS.secretId,
  VOD_SECRET_KEY: VOD_SECRETS.secretKey,
  VOD_HOST,
});
sendLogsToStandardError(process.env.BENCH_LOGS !== undefined);

type JobOf<Name extends Job['job']> = Extract<Job, { job: Name }>;
type JobMeasurement = Amount & Partial<Measurement>;

const startRemoteS3 = (network: NetworkLimits = {}, onEvent?: (event: unknown) => void) =>
  startRemoteService({ kind: 's3', dir: join(dir, 's3'), network }, onEvent);

const startRemoteVod = (options: Pick<ServiceOptions, 'network' | 'quota'>) =>
  startRemoteService({ kind: 'vod', dir: join(dir, `vod-${process.pid}`), ...options });

async function measureTime<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const began = performance.now();
  const result = await work();
  return { ms: performance.now() - began, result };
}

async function putObject({ key, from, ranges }: JobOf<'put'>): Promise<JobMeasurement> {
  let event: unknown;
  const onObjectCreated = async (created: unknown): Promise<void> => {
    event = created;
  };
  const credentials = LOCAL_S3_CREDENTIALS;
  const server = await startS3({ dir: join(dir, 's3'), port: 0, credentials, onObjectCreated });
  const s3 = createS3Client({ endpoint: server.endpoint });
  const target = { Bucket: BUCKET, Key: key };
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  const { UploadId } = await s3.send(
    new CreateMultipartUploadCommand({ ...target, ContentType: 'video/mp4' }),
  );
  const Parts: CompletedPart[] = [];
  for (const [index, size] of ranges.entries()) {
    const part = { ...target, UploadId, PartNumber: index + 1 };
    const source = { CopySource: `${BUCKET}/${from}`, CopySourceRange: `bytes=0-${size - 1}` };
    const created =
      from === 'random'
        ? await s3.send(new UploadPartCommand({ ...part, Body: randomFillSync(Buffer.allocUnsafe(size)) }))
        : (await s3.send(new UploadPartCopyCommand({ ...part, ...source }))).CopyPartResult;
    Parts.push({ PartNumber: part.PartNumber, ETag: created?.ETag });
  }
  await s3.send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }));
  s3.destroy();
  await server.close();
  return { bytes: sum(ranges), ms: 0, event };
}

async function hashWithInit({ key, network }: JobOf<'hash'>): Promise<JobMeasurement> {
  const [s3, vod] = await Promise.all([startRemoteS3(network), startRemoteVod({ quota: false })]);
  Object.assign(process.env, { S3_ENDPOINT: s3.endpoint, VOD_ENDPOINT: vod.endpoint });
  const { handler } = await import('../handlers/init.ts');
  const lambda = createLambda(DEPLOYMENT_DEFAULTS.timeoutMs);
  let bytes = 0;
  watchProgress((step) => {
    if (step.stage === 'hash') bytes = step.done;
  });
  const job = { request: { bucket: BUCKET, key }, round: 0, sent: { parts: 0, bytes: 0 } };
  const { ms, result } = await measureTime(() => lambda.invoke('init', handler, job));
  if (!v.is(v.object({ next: v.literal('parts') }), result))
    throw new Error(`Init: expected a plan, got ${JSON.stringify(result)}`);
  return { bytes, ms, invocations: { init: { count: 1, ms } }, s3: await s3.stop(), vod: await vod.stop() };
}

async function hashStream({ key, network }: JobOf<'stream'>): Promise<JobMeasurement> {
  const server = await startRemoteS3(network);
  const s3 = createS3Client({ endpoint: server.endpoint });
  const { ms, result } = await measureTime(async () => {
    const { Body, ContentLength } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    if (!(Body instanceof Readable)) throw new Error(`GET s3://${BUCKET}/${key}: expected a body, got none`);
    await pipeline(Body, createHash('sha1'));
    return ContentLength ?? 0;
  });
  s3.destroy();
  return { bytes: result, ms, s3: await server.stop() };
}

async function uploadObject(job: JobOf<'upload'>): Promise<JobMeasurement> {
  const vod = await startRemoteVod(job.vod);
  let onEvent: (event: unknown) => void = () => {};
  const s3 = await startRemoteS3(job.s3, (event) => onEvent(event));
  const { minuteMs, parts = 10_000 } = job.vod.quota || { minuteMs: 60_000, parts: 1_000_000 };
  const env = {
    ...process.env,
    S3_ENDPOINT: s3.endpoint,
    VOD_API: job.api,
    VOD_ENDPOINT: vod.endpoint,
    VOD_COS_ENDPOINT: vod.cosEndpoint,
    QUOTA_MINUTE_MS: String(minuteMs),
    QUOTA_PARTS_PER_MINUTE: String(parts),
  };
  const stack = await startStack({ data: join(dir, `stack-${process.pid}`), env });
  onEvent = (event) => stack.queue.send(event);

  const outcomes: string[] = [];
  stack.executions.on('ended', ({ status, output, error, cause }) => {
    const outcome = (output as { outcome?: string } | undefined)?.outcome;
    outcomes.push(status === 'SUCCEEDED' ? `${outcome}` : `${error}: ${cause}`);
  });
  const readCounts = countInvocations();
  const readSending = measureSending();
  const { ms } = await measureTime(async () => {
    stack.queue.send(job.event);
    stack.start();
    await stack.idle();
  });
  const tallies = { s3: await s3.stop(), vod: await vod.stop() };
  await stack.close();
  const sending = readSending();
  return { bytes: sending.bytes, ms, outcomes, sending, ...readCounts(), ...tallies };
}

/** Counts what the local engine publishes (`local/aws/`). */
function countInvocations(): () => Pick<Measurement, 'invocations' | 'transitions'> {
  const invocations: Measurement['invocations'] = {};
  let transitions = 0;
  channel('s3-vod.invocation').subscribe((message) => {
    const { name, ms } = message as { name: string; ms: number };
    const total = invocations[name] ?? { count: 0, ms: 0 };
    invocations[name] = { count: total.count + 1, ms: total.ms + ms };
  });
  channel('s3-vod.transition').subscribe(() => {
    transitions++;
  });
  return () => ({ invocations, transitions });
}

function measureSending(): () => Amount {
  let [bytes, began, ended] = [0, 0, 0];
  watchProgress((step) => {
    if (step.stage === 'parts') began ||= performance.now();
    if (step.stage !== 'part') return;
    bytes += step.bytes;
    ended = performance.now();
  });
  return () => ({ bytes, ms: ended - began });
}

async function runBaseline({ size, network }: JobOf<'baseline'>): Promise<JobMeasurement> {
  const vod = await startRemoteVod({ network, quota: false });
  const bytes = randomFillSync(Buffer.allocUnsafe(size));
  const { ms } = await measureTime(() => uploadBaseline(new URL(`${vod.endpoint}/v2/index.php`), bytes));
  return { bytes: size, ms, vod: await vod.stop() };
}

async function runCosSdk({ size, network, upload }: JobOf<'cos-sdk'>): Promise<JobMeasurement> {
  const service = await startRemoteVod({ network, quota: false });
  const path = join(dir, `file-${process.pid}`);
  await writeFile(path, repeat(randomFillSync(Buffer.allocUnsafe(MiB)), size / MiB));
  const ms = await uploadWithCosSdk(service, path, upload);
  await rm(path);
  return { bytes: size, ms, vod: await service.stop() };
}

function* repeat(bytes: Buffer, count: number): Generator<Buffer> {
  for (let n = 0; n < count; n++) yield bytes;
}

function runJob(job: Job): Promise<JobMeasurement> {
  switch (job.job) {
    case 'put':
      return putObject(job);
    case 'hash':
      return hashWithInit(job);
    case 'stream':
      return hashStream(job);
    case 'upload':
      return uploadObject(job);
    case 'baseline':
      return runBaseline(job);
    case 'cos-sdk':
      return runCosSdk(job);
  }
}

const result = await runJob(JSON.parse(text));
const { user, system } = process.cpuUsage();
const measurement: Measurement = {
  invocations: {},
  transitions: 0,
  outcomes: [],
  peakRss: process.resourceUsage().maxRSS * 1024,
  cpuMs: (user + system) / 1000,
  ...result,
};
process.send?.(measurement);
process.disconnect();
