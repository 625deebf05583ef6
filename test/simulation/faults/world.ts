import {
  CreateBucketCommand,
  HeadBucketCommand,
  PutBucketVersioningCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Execution } from '../../../local/aws/execution-store.ts';
import type { FaultSelector } from '../../../local/fault-injection.ts';
import { type Stack, startStack } from '../../../local/stack.ts';
import { regardAsRadosgw } from '../../support/local-s3.ts';
import { makeFolder, removeFolder } from '../../support/temp-folder.ts';
import { HALF_MIB, sha1 } from '../../support/values.ts';
import { Client, SECRETS } from '../../support/vod-client.ts';
import { passTime, REAL, setRequestTimeouts } from './accelerate-timers.ts';
import { type Arrival, Chaos, Events } from './chaos.ts';
import type { Pairing } from './covers.ts';
import { countResources, createInvariants, findLeaks, type Races } from './invariants.ts';
import { MAX_COPY_BYTES, type Plan } from './plan.ts';
import { describeEnd, failedForImage, hasCoverError, hasReason, keyOf, watchExecutions } from './watch.ts';
import { createImage, createVideo, Writers } from './writers.ts';

/**
 * The real pipeline in a world where things go wrong according to a plan. One stack runs many plans, each in its own bucket. At the
 * end of each plan the invariants are checked.
 */

/** The time limit of an invocation, in milliseconds of the accelerated clock: three real seconds. */
const LIMIT_MS = 150_000;

/** The limit without faults: half a minute, which only a very busy machine takes. */
const LIMIT_WITHOUT_FAULTS_MS = 1_500_000;

/** Real milliseconds after which a plan counts as hanging. */
const HANG_MS = 180_000;

const SECOND_MS = 1000;
const CLOCK_OFFSET_MS = 3 * 3600 * SECOND_MS;

export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

export type World = Readonly<{
  /** @throws {InvariantViolation} describing every violation */
  run(plan: Plan): Promise<PlanSummary>;
  /** @throws {InvariantViolation} if resources are left open */
  close(): Promise<void>;
}>;

export type PlanSummary = Readonly<{
  /** Incidents that happened. */
  incidents: number;
  /** Executions that failed and were redriven. */
  failed: number;
  /** Versions of all objects, including those that the pipeline made. */
  versions: number;
}>;

/** The settings that change while a stack runs. `offsetMs`: how far the services' clock is ahead. */
type Switches = { selectFault: FaultSelector | undefined; offsetMs: number };

/** @param ignorant the store ignores what it does not know. Its clients remember that */
export async function startWorld(ignorant: boolean): Promise<World> {
  const before = countResources();
  const data = await makeFolder();
  const switches: Switches = { selectFault: undefined, offsetMs: 0 };
  const stack = await startStack({
    data,
    env: {
      VOD_SECRET_ID: SECRETS.secretId,
      VOD_SECRET_KEY: SECRETS.secretKey,
      QUOTA_CALLS_PER_MINUTE: '1000000',
      QUOTA_PARTS_PER_MINUTE: '1000000',
      QUOTA_MINUTE_MS: '100',
      COPY_LIMIT_BYTES: String(MAX_COPY_BYTES),
    },
    quota: false,
    timeLimitMs: LIMIT_MS,
    faults: (serviceCall) => switches.selectFault?.(serviceCall),
    now: () => Date.now() + switches.offsetMs,
    ...(ignorant && { regardHeaders: regardAsRadosgw }),
  });
  stack.start();
  let plans = 0;
  return {
    run: (plan) => runPlan(stack, data, plan, `bucket-${plans++}`, switches),
    close: async () => {
      await withHangLimit(stack.close(), 'closing the stack');
      await removeFolder(data);
      const leaks = await findLeaks(before);
      if (leaks.length > 0) throw new InvariantViolation(`left open: ${leaks.join(', ')}`);
    },
  };
}

async function runPlan(
  stack: Stack,
  data: string,
  plan: Plan,
  bucket: string,
  switches: Switches,
): Promise<PlanSummary> {
  const { s3, queue, lambda, executions } = stack;
  process.env.WRITE_BACK = plan.writeBack;
  switches.offsetMs = 0;
  await createBucket(s3, bucket, plan.versioned);
  const videoKeys = plan.objects.map((_, n) => `video-${n}.mp4`);
  const pairings = pairImages(plan);
  const keys = [...videoKeys, ...pairings.map(({ image }) => image)];
  const videos = plan.objects.map(({ size, sameAsFirst }, n) => {
    const content = sameAsFirst ? 0 : n;
    return createVideo(plan.objects[content]?.size ?? size, `${bucket} ${content}`);
  });
  const coverOf = new Map<string, string | undefined>(
    pairings.map(({ image, video, named }) => [image, named ? video : undefined]),
  );
  const writers = new Writers(s3, bucket, coverOf, () => passTime(SECOND_MS));
  const invariants = createInvariants(s3, bucket, data, writers, pairings, racesOf(plan));
  const events = new Events(plan, stack);
  const arrivals = plan.images.map(({ sameAsFirst, when }, n): Arrival => {
    let done: Promise<void> | undefined;
    const body = createImage(`${bucket} image ${sameAsFirst ? 0 : n}`);
    const put = () => {
      done ??= writers.put(pairings[n]?.image ?? '', body);
      return done;
    };
    return { when, put };
  });
  const putImages = (...times: string[]) =>
    Promise.all(
      arrivals.map(({ when, put }) => (times.length === 0 || times.includes(when) ? put() : undefined)),
    );
  const chaos = new Chaos(plan, stack, writers, events, keys, arrivals);
  const watch = watchExecutions(stack);
  const problems: string[] = [];
  /** Adds all violations, except those that a reported failure may explain. */
  const check = async (when: string, isReported: (key: string) => boolean): Promise<void> => {
    for (const { keys, kind, reason } of await invariants.findViolations())
      if (kind === 'lost' || !keys.some(isReported)) problems.push(`${keys.join(', ')}, ${when}: ${reason}`);
  };
  let versions = 0;
  let failed: Execution[] = [];
  try {
    await beginEarlierUploads(stack, plan, videos);
    switches.selectFault = chaos.selectFault;
    if (plan.clockOff) switches.offsetMs += CLOCK_OFFSET_MS;
    await putImages('before');
    await Promise.all([
      ...videoKeys.map((key, n) => writers.put(key, videos[n] ?? Buffer.of(), plan.objects[n]?.annotated)),
      putImages('with'),
    ]);
    await withHangLimit(events.settle(), 'the run with faults');
    await putImages();
    await withHangLimit(events.settle(), 'the run with faults');

    switches.selectFault = undefined;
    if (plan.clockOff) switches.offsetMs -= CLOCK_OFFSET_MS;
    lambda.timeLimitMs = LIMIT_WITHOUT_FAULTS_MS;
    setRequestTimeouts(false);
    await s3.send(new HeadBucketCommand({ Bucket: bucket })).catch(() => {}); // a client learns the time from a response
    failed = watch.failed();
    for (const end of failed) {
      if (!hasReason(end)) problems.push(`failed without a reason: ${describeEnd(end)}`);
      if (videoKeys.includes(keyOf(end)) && failedForImage(end))
        problems.push(`a video failed because of its image: ${describeEnd(end)}`);
    }
    // A user starts another execution for three kinds of objects: videos whose result reports an error of their cover; images that
    // name a video which was overwritten; and objects that carry their fileId in tags and were tagged by others, who may have
    // written back the tags that they read before.
    const withCoverError = watch.ended().filter(hasCoverError).map(keyOf);
    const ofOverwritten = pairings.filter(
      ({ video, named }) => named && (writers.history.get(video) ?? []).length > 1,
    );
    const succeeded = new Set(
      watch
        .ended()
        .filter(({ status }) => status === 'SUCCEEDED')
        .map(keyOf),
    );
    const tagged = mayUseTags(plan) ? [...writers.tagged].filter((key) => succeeded.has(key)) : [];
    const candidates = [...withCoverError, ...ofOverwritten.map(({ image }) => image), ...tagged];
    const requested = new Set(candidates.filter((key) => writers.expected.get(key))); // not deleted since
    const reported = new Set([...failed.map(keyOf), ...requested]);
    // The events of a trigger that was killed too often: the user finds them there and sends them again.
    const deadLetters = queue.deadLetters.all().flatMap(({ body }) => (body.includes(bucket) ? [body] : []));
    await check(
      'and nothing failed',
      (key) => reported.has(key) || deadLetters.some((body) => body.includes(key)),
    );

    for (const execution of failed) executions.redrive(execution);
    for (const body of deadLetters) queue.send(JSON.parse(body));
    for (const key of requested) queue.send({ bucket, key });
    await withHangLimit(events.settle(), 'the run after the faults');
    const early = watch.failed().filter(({ error }) => error === 'VideoNotReady');
    for (const execution of early) executions.redrive(execution);
    await withHangLimit(events.settle(), 'the run of images whose videos are ready now');
    for (const end of watch.failed()) {
      const hasVideo = writers.expected.get(coverOf.get(keyOf(end)) ?? '');
      if (end.error !== 'VideoNotReady' || hasVideo)
        problems.push(`fails after a redrive: ${describeEnd(end)}`);
    }
    if (failed.length + deadLetters.length + requested.size > 0) await check('at the end', () => false);
    const checked = await invariants.checkVersions();
    versions = checked.count;
    problems.push(...checked.wrong, ...invariants.findDuplicateFiles());

    // Each run of an execution and each incident may cost the parts of one more upload.
    const partsPerUpload = Math.max(...videos.map(({ length }) => Math.ceil(length / HALF_MIB)));
    const maxParts = partsPerUpload * (watch.started + chaos.incidents + watch.slow);
    if (chaos.parts > maxParts) problems.push(`${chaos.parts} parts were sent, expected at most ${maxParts}`);
  } catch (error) {
    if (!(error instanceof InvariantViolation)) throw error;
    problems.push(error.message);
  } finally {
    switches.selectFault = undefined;
    lambda.timeLimitMs = LIMIT_MS;
    setRequestTimeouts(true);
    events.restore();
    watch.stop();
  }
  if (problems.length > 0)
    throw new InvariantViolation([...problems, ...watch.ended().map(describeEnd)].join('\n'));
  return { incidents: chaos.incidents, failed: failed.length, versions };
}

/**
 * A store that ignores conditions loses edits of metadata during a copy, and tags if the function is killed after it. S3 itself has no
 * condition that protects tags where the pipeline writes tags. The end of a copy in parts checks the ETag alone, so it protects no
 * annotations, tags, and metadata. The order of two images is undefined when clocks differ.
 */
function racesOf(plan: Plan): Races {
  const { writeBack, objects, ignorant, incidents, clockOff } = plan;
  const writes = incidents.filter(({ kind }) => kind === 'write');
  const isCopiedInParts = writeBack === 'metadata' && objects.some(({ size }) => size > MAX_COPY_BYTES);
  const atTheEnd = isCopiedInParts && writes.some(({ call }) => call === 'CompleteMultipartUpload');
  return {
    metadata: atTheEnd || (ignorant && writes.length > 0),
    tags: atTheEnd || (mayUseTags(plan) && writes.length > 0) || (ignorant && incidents.length > 0),
    annotations: atTheEnd,
    times: clockOff,
  };
}

/** A copy in parts would lose annotations, so an object that has some gets tags. */
function mayUseTags({ writeBack, objects, incidents }: Plan): boolean {
  const isAnnotated = incidents.some(
    (incident) => incident.kind === 'write' && incident.write === 'annotate',
  );
  return (
    writeBack === 'tags' ||
    (writeBack === 'metadata' &&
      objects.some(({ size, annotated }) => size > MAX_COPY_BYTES && (annotated || isAnnotated)))
  );
}

/** Two images that share a video's name have different extensions. */
const pairImages = ({ objects, images }: Plan): Pairing[] =>
  images.map(({ of, named }, n) => {
    const name = `video-${of % objects.length}`;
    const extension = n === 0 ? 'jpg' : 'jpeg';
    return { image: `${named ? `image-${n}` : name}.${extension}`, video: `${name}.mp4`, named };
  });

async function createBucket(s3: S3Client, bucket: string, versioned: boolean): Promise<void> {
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  if (!versioned) return;
  const VersioningConfiguration = { Status: 'Enabled' } as const;
  await s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
}

/** Leaves uploads open in parts of 512 KiB, with the first part sent. */
async function beginEarlierUploads(
  { vodEndpoint }: Stack,
  { objects }: Plan,
  videos: readonly Buffer[],
): Promise<void> {
  const client = new Client(vodEndpoint);
  for (const [n, bytes] of videos.entries()) {
    if (!objects[n]?.resumed || bytes.length <= HALF_MIB) continue;
    const parts = [bytes.subarray(0, HALF_MIB)];
    const upload = { bytes, sha1: sha1(bytes), partSize: HALF_MIB, parts };
    await client.init(upload);
    await client.part(upload, 0);
  }
  client.close();
}

async function withHangLimit(work: Promise<void>, name: string): Promise<void> {
  const { promise: hang, reject } = Promise.withResolvers<never>();
  const timer = REAL.setTimeout(() => reject(new InvariantViolation(`${name} hangs`)), HANG_MS);
  try {
    await Promise.race([work, hang]);
  } finally {
    clearTimeout(timer);
  }
}
