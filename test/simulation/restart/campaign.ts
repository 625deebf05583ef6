import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { HeadObjectCommand, S3Client } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import * as v from 'valibot';
import { JsonStore } from '../../../cli/json-store.ts';
import { LOCAL_S3_CREDENTIALS } from '../../../cli/running-file.ts';
import { UploadRequest } from '../../../lib/schemas.ts';
import { messagesOf } from '../../../lib/trigger/events.ts';
import { startS3 } from '../../../local/s3/server.ts';
import { listNames, readUploads, startCommand } from '../../support/command.ts';
import { collectResult } from '../../support/node-process.ts';
import { makeFolder, removeFolder } from '../../support/temp-folder.ts';
import { createBytes, hash, MIB } from '../../support/values.ts';
import type { TracedRequest } from './request-tracer.ts';
import { parseStep, type SentPart, STAGES, type Stage } from './stages.ts';

/**
 * Runs `npm start` on several files, kills the whole process (S3, VOD, and state machine) with SIGKILL, and restarts it on the same
 * data folder until it ends by itself. Invariants: all files arrive; VOD has what its journal says; no part that VOD had at a
 * kill is sent again; no part is sent twice by one process.
 */

/** The part size that the VOD client requests, and continues with. */
const PART_BYTES = MIB;

/** One request; a few parts; two reads of the hash pass; an upload to S3 in parts. */
const SIZES = {
  'small.mp4': 300_000,
  'clip.mp4': 3.3 * MIB,
  'video.mp4': 9 * MIB,
  'long video.mov': 18.5 * MIB,
};

/** Gives a process something to do when all videos are known already. It is no video and is skipped. */
const OTHER_FILE = 'note.txt';

/** When to kill: at a fraction of a stage's requests and responses, and some turns of the event loop later. */
export type KillTime = Readonly<{ stage: Stage; fraction: number; turns: number }>;

/** `stage`: the stage in which the kill happened. `held`: the number of parts that VOD had. */
export type Kill = Readonly<{ campaign: number; stage: Stage; held: number }>;

type Video = Readonly<{ path: string; key: string; sha1: string; bytes: Buffer }>;
type Plan = Readonly<{ killTimes: readonly KillTime[]; namesAll: boolean; copiesInParts: boolean }>;

export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
}

/** Kills before a process may end by itself. Each is in the same stage as the previous one or in a later one. */
const KILLS_PER_CAMPAIGN = 6;

const plans: fc.Arbitrary<Plan> = fc.record({
  killTimes: fc
    .array(
      fc.record({
        stage: fc.constantFrom(...STAGES, 'parts' as const), // the longest stage
        fraction: fc.nat(999).map((n) => n / 1000), // `fc.double` is nearly always close to 0
        turns: fc.nat(12),
      }),
      { minLength: KILLS_PER_CAMPAIGN, maxLength: KILLS_PER_CAMPAIGN },
    )
    .map((times) => times.toSorted((a, b) => STAGES.indexOf(a.stage) - STAGES.indexOf(b.stage))),
  namesAll: fc.boolean(),
  copiesInParts: fc.boolean(),
});

/**
 * Runs campaigns until there were `kills` kills. The same seed makes the same plans; the timing of the machine decides where exactly a
 * kill happens.
 * @throws {InvariantViolation} naming the seed
 */
export async function killAndRestart(
  kills: number,
  seed: number,
  onKill: (kill: Kill) => void,
): Promise<void> {
  let done = 0;
  for (const [campaign, plan] of fc.sample(plans, { seed, numRuns: kills }).entries()) {
    if (done >= kills) return;
    try {
      await runCampaign({ ...plan, killTimes: plan.killTimes.slice(0, kills - done) }, (kill) => {
        done++;
        onKill({ campaign, ...kill });
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      throw new InvariantViolation(`seed ${seed}, campaign ${campaign}: ${reason}`, { cause: error });
    }
  }
  throw new InvariantViolation(`seed ${seed}: ${kills} campaigns made ${done} kills`);
}

async function runCampaign(plan: Plan, onKill: (kill: Omit<Kill, 'campaign'>) => void): Promise<void> {
  const folder = await makeFolder();
  try {
    const videos = await createVideos(join(folder, 'videos'));
    const world = {
      data: join(folder, 'data'),
      videos,
      otherFile: join(folder, 'videos', OTHER_FILE),
      ...plan,
    };
    await writeFile(world.otherFile, 'no video');
    let held = await readHeldParts(world);
    for (const killTime of [...plan.killTimes, undefined]) {
      const { sent, killedDuring } = await runProcess(world, held, killTime);
      const again = sent.filter(({ sha1, offset }) => held.get(sha1)?.has(offset));
      if (again.length > 0)
        throw new InvariantViolation(
          `${again.length} parts that VOD had were sent: ${JSON.stringify(again.slice(0, 3))}`,
        );
      const repeated = sent.length - new Set(sent.map(({ sha1, offset }) => `${sha1} ${offset}`)).size;
      if (repeated > 0) throw new InvariantViolation(`${repeated} parts were sent twice`);
      if (!killedDuring) break;
      held = await readHeldParts(world);
      onKill({ stage: killedDuring, held: [...held.values()].reduce((sum, parts) => sum + parts.size, 0) });
    }
    await checkArrival(world);
  } finally {
    await removeFolder(folder);
  }
}

type World = Readonly<{ data: string; videos: readonly Video[]; otherFile: string }> & Plan;

async function createVideos(folder: string): Promise<Video[]> {
  await mkdir(folder);
  return Promise.all(
    Object.entries(SIZES).map(async ([key, size]) => {
      const bytes = createBytes(size);
      const path = join(folder, key);
      await writeFile(path, bytes);
      return { path, key, sha1: hash('sha1', bytes), bytes };
    }),
  );
}

/** The offsets of the parts that VOD has, by SHA-1. */
type HeldParts = ReadonlyMap<string, ReadonlySet<number>>;

const offsetsOf = ({ bytes }: Video): number[] =>
  Array.from({ length: Math.ceil(bytes.length / PART_BYTES) }, (_, n) => n * PART_BYTES);

const Index = v.array(v.object({ sha1: v.string(), fileId: v.string(), fileType: v.string() }));

async function readIndex(data: string): Promise<v.InferOutput<typeof Index>> {
  const names = await listNames(join(data, 'vod'));
  return names.includes('index.json')
    ? v.parse(Index, JSON.parse(await readFile(join(data, 'vod', 'index.json'), 'utf8')))
    : [];
}

/** Reads the parts of each video from VOD's journals and index, and checks their bytes. */
async function readHeldParts({ data, videos }: World): Promise<HeldParts> {
  const uploads = await readUploads(data);
  const index = await readIndex(data);
  const held = new Map<string, ReadonlySet<number>>();
  for (const video of videos) {
    const upload = uploads.get(video.sha1);
    const isStored = index.some(({ sha1 }) => sha1 === video.sha1);
    if (upload && !isStored) await checkHeldBytes(data, video, upload.held.keys(), upload.movingTo);
    held.set(video.sha1, new Set(isStored ? offsetsOf(video) : upload?.held.keys()));
  }
  return held;
}

async function checkHeldBytes(
  data: string,
  { key, sha1, bytes }: Video,
  offsets: Iterable<number>,
  movingTo?: string,
): Promise<void> {
  const unfinished = join(data, 'vod', 'uploads', `${sha1}.data`);
  const moved = (await listNames(join(data, 'vod', 'files'))).find(
    (name) => movingTo !== undefined && name.startsWith(`${movingTo}.`),
  );
  const isMoved = moved && !(await listNames(join(data, 'vod', 'uploads'))).includes(`${sha1}.data`);
  const file = await open(isMoved ? join(data, 'vod', 'files', moved) : unfinished);
  try {
    for (const offset of offsets) {
      const expected = bytes.subarray(offset, offset + PART_BYTES);
      const { bytesRead, buffer } = await file.read({
        buffer: Buffer.alloc(expected.length),
        position: offset,
      });
      if (bytesRead !== expected.length || !expected.equals(buffer))
        throw new InvariantViolation(
          `${key}: VOD's journal lists the part at ${offset}, but its bytes differ`,
        );
    }
  } finally {
    await file.close();
  }
}

/** `killedDuring`: the stage of the kill, if the process did not end by itself. */
type ProcessSummary = Readonly<{ sent: readonly SentPart[]; killedDuring?: Stage }>;

/** Runs one process until the kill, or until its end if the time of the kill does not come. */
async function runProcess(
  world: World,
  held: HeldParts,
  killTime: KillTime | undefined,
): Promise<ProcessSummary> {
  const known = await readKnownKeys(world.data);
  const named = world.videos.filter(({ key }) => world.namesAll || !known.has(key));
  const paths = named.length > 0 ? named.map(({ path }) => path) : [world.otherFile];
  const child = startCommand(['--json', '--data', world.data, ...paths], {
    preload: new URL('./request-tracer.ts', import.meta.url).href,
    ...(world.copiesInParts && { env: { COPY_LIMIT_BYTES: String(5 * MIB) } }),
  });
  const result = collectResult(child);

  const target =
    killTime &&
    1 + Math.floor(killTime.fraction * Math.max(0, countEvents(killTime.stage, world, named, held) - 1));
  const opened = new Set<string>();
  const sent: SentPart[] = [];
  let events = 0;
  let stage: Stage = 'upload';
  const traced: Readable = child.stdio[3] as Readable;
  for await (const line of createInterface(traced)) {
    const request: TracedRequest = JSON.parse(line);
    const step = parseStep(request, opened);
    if (!step) continue;
    stage = step.stage;
    const video = world.videos.find(({ sha1 }) => sha1 === step.sha1);
    if (video) opened.add(video.key);
    if (request.at === 'request' && step.part) sent.push(step.part);
    if (killTime?.stage === stage && ++events === target) {
      for (let turn = 0; turn < killTime.turns; turn++) await new Promise(setImmediate);
      child.kill('SIGKILL');
    }
  }
  const { code, out, err } = await result;
  if (killTime && child.signalCode === 'SIGKILL') return { sent, killedDuring: stage };
  if (code !== 0) throw new InvariantViolation(`npm start exited with ${code}: ${out}${err}`);
  return { sent };
}

/** Counts the requests and responses that a stage has at least. */
function countEvents(
  stage: Stage,
  { videos, copiesInParts }: World,
  named: readonly Video[],
  held: HeldParts,
): number {
  const missing = videos.map((video) => offsetsOf(video).length - (held.get(video.sha1)?.size ?? 0));
  const incomplete = missing.filter((parts) => parts > 0).length;
  switch (stage) {
    case 'upload':
      return 2 * named.length;
    case 'parts':
      return 2 * missing.reduce((sum, parts) => sum + parts, 0);
    case 'finish':
      return 2 * incomplete;
    case 'write-back':
      return (copiesInParts ? 3 : 1) * Math.max(1, incomplete);
    default:
      return Math.max(2, incomplete);
  }
}

/** Reads the keys of the events in the queue and of the executions. Their videos must arrive without being named again. */
async function readKnownKeys(data: string): Promise<Set<string>> {
  const keys = new Set<string>();
  if ((await listNames(data)).length === 0) return keys;
  for (const { body } of new JsonStore(join(data, 'queue'), v.object({ body: v.string() })).all()) {
    for (const { parseObjects } of messagesOf(JSON.parse(body)))
      for (const { request } of parseObjects()) keys.add(request.key);
  }
  for (const { input } of new JsonStore(join(data, 'executions'), v.object({ input: UploadRequest })).all())
    keys.add(input.key);
  return keys;
}

/** Checks that each object carries the ID of a file with its bytes, that VOD has each content once, and that nothing is left. */
async function checkArrival({ data, videos }: World): Promise<void> {
  const index = await readIndex(data);
  const server = await startS3({ dir: join(data, 's3'), port: 0, credentials: LOCAL_S3_CREDENTIALS });
  const s3 = new S3Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: LOCAL_S3_CREDENTIALS,
  });
  try {
    for (const { key, sha1 } of videos) {
      const { Metadata = {} } = await s3.send(new HeadObjectCommand({ Bucket: 'videos', Key: key }));
      const files = index.filter((file) => file.sha1 === sha1);
      const [file] = files;
      if (files.length !== 1 || !file || Metadata['vod-file-id'] !== file.fileId)
        throw new InvariantViolation(
          `${key}: carries ${Metadata['vod-file-id']}, VOD has ${JSON.stringify(files)}`,
        );
      const bytes = await readFile(join(data, 'vod', 'files', `${file.fileId}.${file.fileType}`));
      if (hash('sha1', bytes) !== sha1) throw new InvariantViolation(`${key}: VOD has other bytes`);
    }
  } finally {
    s3.destroy();
    await server.close();
  }
  for (const folder of ['vod/uploads', 'queue', 'dead-letters', 's3/drafts']) {
    const names = await listNames(join(data, folder));
    if (names.length > 0) throw new InvariantViolation(`left in ${folder}: ${names.slice(0, 3)}`);
  }
}
