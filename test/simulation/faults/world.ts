import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  HeadBucketCommand,
  PutBucketVersioningCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Execution } from '../../../local/aws/execution-store.ts';
import type { FaultSelector } from '../../../local/fault-injection.ts';
import { type Stack, startStack } from '../../../local/stack.ts';
import { HALF_MIB, sha1 } from '../../support/values.ts';
import { Client, SECRETS } from '../../support/vod-client.ts';
import { type Arrival, Chaos, Events } from './chaos.ts';
import type { Pairing } from './covers.ts';
import { passTime, REAL, setPatience } from './hurry.ts';
import type { Plan } from './plan.ts';
import { leftOver, promisesOn, type Races, resources } from './promises.ts';
import { isOfImage, keyOf, told, watchWork, withErrorOfCover, withoutReason } from './watch.ts';
import { film, poster, Writers } from './writers.ts';

/**
 * The real chain in a world where things go wrong as a plan says. One stack serves many plans, each in a bucket of its own;
 * at the end of each it is looked at whether the chain has kept its promises.
 */

/** Limit of an invocation, milliseconds of the hurried clock: three real seconds. */
const LIMIT_MS = 150_000;

/** The same without faults: half a minute, which only a very busy machine takes. */
const CALM_LIMIT_MS = 1_500_000;

/** Real milliseconds after which a plan counts as hanging. */
const HANG_MS = 60_000;

const SECOND = 1000;
const CLOCK_OFF = 3 * 3600 * SECOND;
const MAX_COPY_BYTES = 5 * 1024 * 1024;

export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise';
}

export type World = Readonly<{
  /** @throws {BrokenPromise} naming all that is not as promised */
  live(plan: Plan): Promise<Told>;
  /** @throws {BrokenPromise} when something is left over */
  close(): Promise<void>;
}>;

export type Told = Readonly<{
  /** Incidents that happened. */
  struck: number;
  /** Executions that failed, and were redriven. */
  failed: number;
  /** Of all objects; the chain's own included. */
  versions: number;
}>;

/** What is switched on and off under a running stack. `ahead`: the services' clock, milliseconds. */
type Switches = { faults: FaultSelector | undefined; ahead: number };

export async function openWorld(): Promise<World> {
  const before = resources();
  const data = await mkdtemp(join(tmpdir(), 's3-vod-faults-'));
  const switches: Switches = { faults: undefined, ahead: 0 };
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
    faults: (serviceCall) => switches.faults?.(serviceCall),
    now: () => Date.now() + switches.ahead,
  });
  stack.start();
  let lived = 0;
  return {
    live: (plan) => live(stack, data, plan, `bucket-${lived++}`, switches),
    close: async () => {
      await inTime(stack.close(), 'closing the stack');
      await rm(data, { recursive: true, force: true });
      const left = await leftOver(before);
      if (left.length > 0) throw new BrokenPromise(`left over: ${left.join(', ')}`);
    },
  };
}

async function live(
  stack: Stack,
  data: string,
  plan: Plan,
  bucket: string,
  switches: Switches,
): Promise<Told> {
  const { s3, queue, lambda, executions } = stack;
  process.env.WRITE_BACK = plan.writeBack;
  switches.ahead = 0;
  await makeBucket(s3, bucket, plan.versioned);
  const videos = plan.objects.map((_, n) => `film-${n}.mp4`);
  const pairings = pairingsOf(plan);
  const keys = [...videos, ...pairings.map(({ image }) => image)];
  const films = plan.objects.map(({ size, sameAsFirst }, n) => {
    const like = sameAsFirst ? 0 : n;
    return film(plan.objects[like]?.size ?? size, `${bucket} ${like}`);
  });
  const words = new Map(
    pairings.map(({ image, video, named }) => [image, named ? video : undefined] as const),
  );
  const writers = new Writers(s3, bucket, words, () => passTime(SECOND));
  const promises = promisesOn(s3, bucket, data, writers, pairings, racesOf(plan));
  const events = new Events(plan, stack);
  const arrivals = plan.images.map(({ sameAsFirst, when }, n): Arrival => {
    let done: Promise<void> | undefined;
    const body = poster(`${bucket} poster ${sameAsFirst ? 0 : n}`);
    const put = () => {
      done ??= writers.put(pairings[n]?.image ?? '', body);
      return done;
    };
    return { when, put };
  });
  const arrive = (...whens: string[]) =>
    Promise.all(
      arrivals.map(({ when, put }) => (whens.length === 0 || whens.includes(when) ? put() : undefined)),
    );
  const chaos = new Chaos(plan, stack, writers, events, keys, arrivals);
  const watch = watchWork(stack);
  const broken: string[] = [];
  const lacks = async (when: string, isTold: (key: string) => boolean): Promise<void> => {
    for (const { keys: of, what, reason } of await promises.lacks()) {
      if (what === 'lost' || !of.some(isTold)) broken.push(`${of.join(', ')}, ${when}: ${reason}`);
    }
  };
  let versions = 0;
  let failed: Execution[] = [];
  try {
    await beginEarlier(stack, plan, films);
    switches.faults = chaos.faults;
    if (plan.clockOff) switches.ahead += CLOCK_OFF;
    await arrive('before');
    await Promise.all([...videos.map((key, n) => writers.put(key, films[n] ?? Buffer.of())), arrive('with')]);
    await inTime(events.settle(), 'the run under faults');
    await arrive();
    await inTime(events.settle(), 'the run under faults');

    switches.faults = undefined;
    if (plan.clockOff) switches.ahead -= CLOCK_OFF;
    lambda.timeLimitMs = CALM_LIMIT_MS;
    setPatience(false);
    await s3.send(new HeadBucketCommand({ Bucket: bucket })).catch(() => {}); // a client learns the time from a reply
    failed = watch.failed();
    broken.push(...failed.flatMap(withoutReason));
    for (const end of failed)
      if (videos.includes(keyOf(end)) && isOfImage(end)) broken.push(`for its image failed ${told(end)}`);
    // A person asks again for videos that tell of an error of their cover, for images that name a video that is another now, and
    // for what carries its fileId in tags and was tagged by others, who may have written back what they read before.
    const uncovered = watch.ended().flatMap(withErrorOfCover);
    const renamed = pairings.filter(
      ({ video, named }) => named && (writers.history.get(video) ?? []).length > 1,
    );
    const done = new Set(watch.ended().flatMap((end) => (end.status === 'SUCCEEDED' ? [keyOf(end)] : [])));
    const tagged = plan.writeBack === 'tags' ? [...writers.tagged].filter((key) => done.has(key)) : [];
    const mentioned = [...uncovered, ...renamed.map(({ image }) => image), ...tagged];
    const asked = new Set(mentioned.filter((key) => writers.expected.get(key))); // not what was deleted since
    const named = new Set([...failed.map(keyOf), ...asked]);
    // Of a trigger that was killed too often: there a person finds the event, and sends it again.
    const dead = queue.deadLetters().flatMap(({ body }) => (body.includes(bucket) ? [body] : []));
    await lacks('and nothing failed', (key) => named.has(key) || dead.some((body) => body.includes(key)));

    for (const execution of failed) executions.redrive(execution);
    for (const body of dead) queue.send(JSON.parse(body));
    for (const key of asked) queue.send({ bucket, key });
    await inTime(events.settle(), 'the run after the faults');
    const early = watch.failed().filter(({ error }) => error === 'VideoNotReady');
    for (const execution of early) executions.redrive(execution);
    await inTime(events.settle(), 'the run of images whose videos are ready now');
    const pointless = (end: Execution): boolean =>
      end.error === 'VideoNotReady' && !writers.expected.get(words.get(keyOf(end)) ?? '');
    broken.push(
      ...watch.failed().flatMap((end) => (pointless(end) ? [] : [`redriven, it fails: ${told(end)}`])),
    );
    if (failed.length + dead.length + asked.size > 0) await lacks('after all', () => false);
    const made = await promises.versions();
    versions = made.count;
    broken.push(...made.wrong, ...promises.doubledFiles());

    // Each run of an execution, and each thing that goes wrong, may cost one more upload's worth of parts.
    const parts = Math.max(...films.map(({ length }) => Math.ceil(length / HALF_MIB)));
    const most = parts * (watch.started + chaos.struck + watch.slow);
    if (chaos.parts > most) broken.push(`${chaos.parts} parts were sent, expected at most ${most}`);
  } catch (error) {
    if (!(error instanceof BrokenPromise)) throw error;
    broken.push(error.message);
  } finally {
    switches.faults = undefined;
    lambda.timeLimitMs = LIMIT_MS;
    setPatience(true);
    events.restore();
    watch.end();
  }
  if (broken.length > 0) throw new BrokenPromise([...broken, ...watch.ended().map(told)].join('\n'));
  return { struck: chaos.struck, failed: failed.length, versions };
}

/**
 * What others and the chain may write at the same moment without either knowing, since S3 has no condition on it: tags, where the
 * chain itself writes tags; and tags and metadata at the very end of a copy in parts, which is held to the ETag alone. And the
 * times at which two images were put, when clocks differ.
 */
function racesOf({ writeBack, objects, incidents, clockOff }: Plan): Races {
  const deeds = incidents.flatMap((incident) => (incident.kind === 'deed' ? [incident] : []));
  const isCopiedInParts = writeBack === 'metadata' && objects.some(({ size }) => size > MAX_COPY_BYTES);
  const atTheEnd = isCopiedInParts && deeds.some(({ call }) => call === 'CompleteMultipartUpload');
  return {
    metadata: atTheEnd,
    tags: atTheEnd || (writeBack === 'tags' && deeds.length > 0),
    times: clockOff,
  };
}

/** An image of a video's name has a suffix that no other has. */
const pairingsOf = ({ objects, images }: Plan): Pairing[] =>
  images.map(({ of, named }, n) => {
    const name = `film-${of % objects.length}`;
    const suffix = n === 0 ? 'jpg' : 'jpeg';
    return { image: `${named ? `poster-${n}` : name}.${suffix}`, video: `${name}.mp4`, named };
  });

async function makeBucket(s3: S3Client, bucket: string, versioned: boolean): Promise<void> {
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  if (!versioned) return;
  const VersioningConfiguration = { Status: 'Enabled' } as const;
  await s3.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
}

/** What an earlier run left: uploads that are open in parts of 512 KiB, the first of them held. */
async function beginEarlier(
  { vodEndpoint }: Stack,
  { objects }: Plan,
  films: readonly Buffer[],
): Promise<void> {
  const client = new Client(vodEndpoint);
  for (const [n, bytes] of films.entries()) {
    if (!objects[n]?.resumed || bytes.length <= HALF_MIB) continue;
    const parts = [bytes.subarray(0, HALF_MIB)];
    const upload = { bytes, sha1: sha1(bytes), partSize: HALF_MIB, parts };
    await client.init(upload);
    await client.part(upload, 0);
  }
  client.close();
}

async function inTime(work: Promise<void>, what: string): Promise<void> {
  const { promise: hangs, reject } = Promise.withResolvers<never>();
  const timer = REAL.setTimeout(() => reject(new BrokenPromise(`${what} hangs`)), HANG_MS);
  try {
    await Promise.race([work, hangs]);
  } finally {
    clearTimeout(timer);
  }
}
