import { createHash, randomFillSync } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { watchProgress } from '../lib/progress.ts';
import { createS3Client } from '../lib/s3/client.ts';
import { createLambda } from '../local/aws/lambda.ts';
import { sendLogsToStandardError } from '../local/logs.ts';
import type { NetworkLimits } from '../local/network-simulator.ts';
import { startStack } from '../local/stack.ts';
import { sendInBarriers } from './baseline-uploader.ts';
import { LOCAL_S3, LOCAL_VOD, VOD_HOST } from './credentials.ts';
import { BUCKET, type Job, type Measured } from './messages.ts';
import { type RemoteService, startRemoteService } from './remote-service.ts';

/** A fresh process for each measurement, so that its peak memory is its own. Usage: runner.ts DIR JOB */

const [, , dir = '', text = ''] = process.argv;

Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: LOCAL_S3.accessKeyId,
  AWS_SECRET_ACCESS_KEY: LOCAL_S3.secretAccessKey,
  AWS_SESSION_TOKEN: '',
  AWS_REGION: 'us-east-1',
  AWS_EC2_METADATA_DISABLED: 'true',
  VOD_SECRET_ID: LOCAL_VOD.secretId,
  VOD_SECRET_KEY: LOCAL_VOD.secretKey,
  VOD_HOST,
});
sendLogsToStandardError(process.env.BENCH_LOGS !== undefined);

const LIMIT_MS = 900_000;

/** What a job finds out beside what is said of every process. */
type Found = Pick<Measured, 'bytes' | 'ms'> & Partial<Measured>;

const s3At = (network: NetworkLimits = {}, onEvent?: (event: unknown) => void): Promise<RemoteService> =>
  startRemoteService({ kind: 's3', dir: join(dir, 's3'), network }, onEvent);

let services = 0;
const vodAt = (options: { network?: NetworkLimits; quota?: { minuteMs: number; parts?: number } | false }) =>
  startRemoteService({ kind: 'vod', dir: join(dir, `vod-${process.pid}-${services++}`), ...options });

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const began = performance.now();
  const result = await work();
  return { ms: performance.now() - began, result };
}

async function put({ key, from, stretches }: Extract<Job, { job: 'put' }>): Promise<Found> {
  let event: unknown;
  const server = await s3At({}, (created) => {
    event = created;
  });
  const s3 = createS3Client({ endpoint: server.endpoint });
  const target = { Bucket: BUCKET, Key: key };
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  const { UploadId } = await s3.send(
    new CreateMultipartUploadCommand({ ...target, ContentType: 'video/mp4' }),
  );
  const Parts: { PartNumber: number; ETag: string | undefined }[] = [];
  for (const [at, size] of stretches.entries()) {
    const part = { ...target, UploadId, PartNumber: at + 1 };
    if (from === 'random') {
      const Body = randomFillSync(Buffer.allocUnsafe(size));
      const { ETag } = await s3.send(new UploadPartCommand({ ...part, Body }));
      Parts.push({ PartNumber: at + 1, ETag });
    } else {
      const CopySource = `${BUCKET}/${from}`;
      const command = new UploadPartCopyCommand({
        ...part,
        CopySource,
        CopySourceRange: `bytes=0-${size - 1}`,
      });
      const { CopyPartResult } = await s3.send(command);
      Parts.push({ PartNumber: at + 1, ETag: CopyPartResult?.ETag });
    }
  }
  await s3.send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }));
  s3.destroy();
  await server.close();
  return { bytes: stretches.reduce((sum, size) => sum + size, 0), ms: 0, event };
}

async function hash({ key, network }: Extract<Job, { job: 'hash' }>): Promise<Found> {
  const [s3, vod] = await Promise.all([s3At(network), vodAt({ quota: false })]);
  Object.assign(process.env, { S3_ENDPOINT: s3.endpoint, VOD_ENDPOINT: vod.endpoint });
  const { handler } = await import('../handlers/init.ts');
  const lambda = createLambda(LIMIT_MS);
  let bytes = 0;
  watchProgress((step) => {
    if (step.stage === 'hash') bytes = step.done;
  });
  const job = { request: { bucket: BUCKET, key }, round: 0, sent: { parts: 0, bytes: 0 } };
  const { ms, result } = await timed(() => lambda.invoke('init', handler, job));
  const { next } = result as { next: string };
  if (next !== 'parts') throw new Error(`Init answered ${JSON.stringify(result)}`);
  return { bytes, ms, invocations: { init: { count: 1, ms } }, ...(await end(s3, vod)) };
}

async function stream({ key, network }: Extract<Job, { job: 'stream' }>): Promise<Found> {
  const server = await s3At(network);
  const s3 = createS3Client({ endpoint: server.endpoint });
  const { ms, result } = await timed(async () => {
    const { Body, ContentLength } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    if (!(Body instanceof Readable)) throw new Error('no body');
    await pipeline(Body, createHash('sha1'));
    return ContentLength ?? 0;
  });
  s3.destroy();
  return { bytes: result, ms, ...(await end(server)) };
}

async function upload(job: Extract<Job, { job: 'upload' }>): Promise<Found> {
  const vod = await vodAt(job.vod);
  const early: unknown[] = [];
  let take = (event: unknown): void => void early.push(event);
  const s3 = await s3At(job.s3, (event) => take(event));
  const { minuteMs, parts } = job.vod.quota || { minuteMs: 60_000, parts: 1_000_000 };
  const env = {
    ...process.env,
    S3_ENDPOINT: s3.endpoint,
    VOD_ENDPOINT: vod.endpoint,
    QUOTA_MINUTE_MS: String(minuteMs),
    QUOTA_PARTS_PER_MINUTE: String(parts ?? 10_000),
  };
  const stack = await startStack({ data: join(dir, `stack-${process.pid}`), env });
  take = (event) => stack.queue.send(event);

  const ends: string[] = [];
  stack.executions.on('ended', ({ status, output, error, cause }) => {
    const outcome = (output as { outcome?: string } | undefined)?.outcome;
    ends.push(status === 'SUCCEEDED' ? `${outcome}` : `${error}: ${cause}`);
  });
  const counted = countEngine();
  const stages = watchStages();
  const { ms } = await timed(async () => {
    stack.queue.send(job.event);
    stack.start();
    await stack.idle();
  });
  const tallies = await end(s3, vod);
  await stack.close();
  const { hashing, sending } = stages();
  return { bytes: sending.bytes, ms, ends, hashing, sending, ...counted(), ...tallies };
}

/** What the local engine tells: see `local/engine/`. */
function countEngine(): () => Pick<Measured, 'invocations' | 'transitions'> {
  const invocations: Measured['invocations'] = {};
  let transitions = 0;
  channel('s3-vod.invocation').subscribe((message) => {
    const { name, ms } = message as { name: string; ms: number };
    const sum = invocations[name] ?? { count: 0, ms: 0 };
    invocations[name] = { count: sum.count + 1, ms: sum.ms + ms };
  });
  channel('s3-vod.transition').subscribe(() => {
    transitions++;
  });
  return () => ({ invocations, transitions });
}

function watchStages() {
  const hashing = { bytes: 0, began: 0, ended: 0 };
  const sending = { bytes: 0, began: 0, ended: 0 };
  watchProgress((step) => {
    const now = performance.now();
    if (step.stage === 'hash') {
      if (step.done === step.from) hashing.began ||= now;
      Object.assign(hashing, { bytes: step.done, ended: now });
    }
    if (step.stage === 'parts') sending.began ||= now;
    if (step.stage === 'part') Object.assign(sending, { bytes: sending.bytes + step.bytes, ended: now });
  });
  const span = ({ bytes, began, ended }: typeof hashing) => ({ bytes, ms: ended - began });
  return () => ({ hashing: span(hashing), sending: span(sending) });
}

async function barrier({ size, network }: Extract<Job, { job: 'barrier' }>): Promise<Found> {
  const vod = await vodAt({ network, quota: false });
  const bytes = randomFillSync(Buffer.allocUnsafe(size));
  const { ms } = await timed(() => sendInBarriers(new URL(`${vod.endpoint}/v2/index.php`), bytes));
  const { vod: tally } = await end(undefined, vod);
  return { bytes: size, ms, ...(tally && { vod: tally }) };
}

async function end(s3?: RemoteService, vod?: RemoteService): Promise<Pick<Measured, 's3' | 'vod'>> {
  const tallies = { ...(s3 && { s3: await s3.tally() }), ...(vod && { vod: await vod.tally() }) };
  await Promise.all([s3?.close(), vod?.close()]);
  return tallies;
}

function run(job: Job): Promise<Found> {
  switch (job.job) {
    case 'put':
      return put(job);
    case 'hash':
      return hash(job);
    case 'stream':
      return stream(job);
    case 'upload':
      return upload(job);
    case 'barrier':
      return barrier(job);
  }
}

const measured = await run(JSON.parse(text));
const { user, system } = process.cpuUsage();
const whole: Measured = {
  invocations: {},
  transitions: 0,
  ends: [],
  peakRss: process.resourceUsage().maxRSS * 1024,
  cpuMs: (user + system) / 1000,
  ...measured,
};
process.send?.(whole);
process.disconnect();
