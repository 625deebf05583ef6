import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
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
import { collectResult } from '../../support/process-result.ts';
import { type SentPart, STAGES, type Stage, stepOf } from './stages.ts';
import type { Sighting } from './witness.ts';

/**
 * `npm start` on several files, killed again and again (SIGKILL, the whole process: S3, VOD, and engine in one) and started
 * again on the same folder, until it comes to its end by itself. What is promised:
 * all files arrive; VOD holds what its journal says; nothing that it held at a kill is sent after it, nor anything twice.
 */

const MIB = 1_048_576;
/** The size VOD's client asks for, and goes on with. */
const PART = MIB;

/** One request; a few parts; two reads of the hash pass; a drop in parts. */
const SIZES = {
  'small.mp4': 300_000,
  'clip.mp4': 3.3 * MIB,
  'film.mp4': 9 * MIB,
  'long film.mov': 18.5 * MIB,
};

/** A run that nobody kills has something to do: it is skipped, being no video. */
const BYSTANDER = 'note.txt';

/** When to kill: at which of the stage's requests or replies, as a fraction of them; and how many turns of the event loop later. */
export type Moment = Readonly<{ stage: Stage; fraction: number; later: number }>;

export type Kill = Readonly<{ campaign: number; moment: Moment; during: Stage; held: number }>;

type Film = Readonly<{ path: string; key: string; sha1: string; bytes: Buffer }>;
type Plan = Readonly<{ moments: readonly Moment[]; namesAll: boolean; copiesInParts: boolean }>;

/** A promise that was not kept, with all that is needed to see it again. */
export class Broken extends Error {
  override readonly name = 'Broken';
}

/** At most so many kills, further and further on, before a run may come to its end. */
const KILLS_EACH = 6;

const plans: fc.Arbitrary<Plan> = fc.record({
  moments: fc
    .array(
      fc.record({
        stage: fc.constantFrom(...STAGES, 'parts' as const), // the longest of them
        fraction: fc.nat(999).map((n) => n / 1000), // a double would be next to 0 nearly always
        later: fc.nat(12),
      }),
      { minLength: KILLS_EACH, maxLength: KILLS_EACH },
    )
    .map((moments) => moments.toSorted((a, b) => STAGES.indexOf(a.stage) - STAGES.indexOf(b.stage))),
  namesAll: fc.boolean(),
  copiesInParts: fc.boolean(),
});

/**
 * As many campaigns as `kills` take. The same seed makes the same plan; where in the work a kill falls is the machine's.
 * @throws {Broken}
 */
export async function killAndRestart(
  kills: number,
  seed: number,
  onKill: (kill: Kill) => void,
): Promise<void> {
  const all = fc.sample(plans, { seed, numRuns: kills });
  let done = 0;
  for (const [campaign, plan] of all.entries()) {
    if (done >= kills) return;
    const moments = plan.moments.slice(0, kills - done);
    try {
      await runCampaign({ ...plan, moments }, (kill) => {
        done++;
        onKill({ campaign, ...kill });
      });
    } catch (error) {
      throw new Broken(
        `seed ${seed}, campaign ${campaign}: ${error instanceof Error ? error.message : error}`,
        {
          cause: error,
        },
      );
    }
  }
  throw new Broken(`seed ${seed}: ${kills} campaigns made ${done} kills`);
}

async function runCampaign(plan: Plan, onKill: (kill: Omit<Kill, 'campaign'>) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 's3-vod-restart-'));
  try {
    const data = join(folder, 'data');
    const films = await makeFilms(join(folder, 'films'));
    const world = { data, films, bystander: join(folder, 'films', BYSTANDER), ...plan };
    await writeFile(world.bystander, 'no video');
    let held = await heldBy(world);
    for (const moment of [...plan.moments, undefined]) {
      const life = await live(world, held, moment);
      const again = life.sent.filter(({ sha1, offset }) => held.get(sha1)?.has(offset));
      if (again.length > 0)
        throw new Broken(
          `${again.length} parts were sent that VOD held: ${JSON.stringify(again.slice(0, 3))}`,
        );
      const twice = life.sent.length - new Set(life.sent.map(({ sha1, offset }) => `${sha1} ${offset}`)).size;
      if (twice > 0) throw new Broken(`${twice} parts were sent twice`);
      if (!life.killed) break;
      held = await heldBy(world);
      onKill({ moment: life.killed.moment, during: life.killed.during, held: sizeOf(held) });
    }
    await everythingArrived(world);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

type World = Readonly<{ data: string; films: readonly Film[]; bystander: string }> & Plan;

async function makeFilms(folder: string): Promise<Film[]> {
  await mkdir(folder);
  return Promise.all(
    Object.entries(SIZES).map(async ([key, size]) => {
      const bytes = randomBytes(size);
      const path = join(folder, key);
      await writeFile(path, bytes);
      return { path, key, sha1: createHash('sha1').update(bytes).digest('hex'), bytes };
    }),
  );
}

type Held = ReadonlyMap<string, ReadonlySet<number>>;
const sizeOf = (held: Held): number => [...held.values()].reduce((sum, parts) => sum + parts.size, 0);
const offsetsOf = ({ bytes }: Film): number[] =>
  Array.from({ length: Math.ceil(bytes.length / PART) }, (_, n) => n * PART);

const Index = v.array(v.object({ sha1: v.string(), fileId: v.string(), fileType: v.string() }));

async function indexOf(data: string): Promise<v.InferOutput<typeof Index>> {
  const names = await listNames(join(data, 'vod'));
  return names.includes('index.json')
    ? v.parse(Index, JSON.parse(await readFile(join(data, 'vod', 'index.json'), 'utf8')))
    : [];
}

/** The offsets that VOD holds of each film, by its own journals and index; and the bytes are what it says. */
async function heldBy({ data, films }: World): Promise<Held> {
  const [uploads, index] = [await readUploads(data), await indexOf(data)];
  const held = new Map<string, ReadonlySet<number>>();
  for (const film of films) {
    const upload = uploads.get(film.sha1);
    const stored = index.some(({ sha1 }) => sha1 === film.sha1);
    if (upload && !stored) await provesHeld(data, film, upload.held, upload.movingTo);
    held.set(film.sha1, new Set(stored ? offsetsOf(film) : upload?.held.keys()));
  }
  return held;
}

async function provesHeld(
  data: string,
  film: Film,
  held: ReadonlyMap<number, string>,
  movingTo?: string,
): Promise<void> {
  const names = await listNames(join(data, 'vod', 'uploads'));
  const moved = (await listNames(join(data, 'vod', 'files'))).find(
    (name) => movingTo !== undefined && name.startsWith(`${movingTo}.`),
  );
  const path =
    names.includes(`${film.sha1}.data`) || !moved
      ? join(data, 'vod', 'uploads', `${film.sha1}.data`)
      : join(data, 'vod', 'files', moved);
  const file = await open(path);
  try {
    for (const offset of held.keys()) {
      const expected = film.bytes.subarray(offset, offset + PART);
      const { bytesRead, buffer } = await file.read(
        Buffer.alloc(expected.length),
        0,
        expected.length,
        offset,
      );
      if (bytesRead !== expected.length || !expected.equals(buffer))
        throw new Broken(
          `${film.key}: VOD's journal says that it holds the part at ${offset}, its bytes are others`,
        );
    }
  } finally {
    await file.close();
  }
}

type Life = Readonly<{ sent: readonly SentPart[]; killed?: { moment: Moment; during: Stage } }>;

/** One process, from its start to the kill, or, where the moment does not come, to its own end. */
async function live(world: World, held: Held, moment: Moment | undefined): Promise<Life> {
  const announced = await announcedIn(world.data);
  const named = world.films.filter(({ key }) => world.namesAll || !announced.has(key));
  const paths = named.length > 0 ? named.map(({ path }) => path) : [world.bystander];
  const child = startCommand(['--json', '--data', world.data, ...paths], {
    preload: new URL('./witness.ts', import.meta.url).href,
    ...(world.copiesInParts && { env: { COPY_LIMIT_BYTES: String(5 * MIB) } }),
  });
  const outcome = collectResult(child);

  const target =
    moment && 1 + Math.floor(moment.fraction * Math.max(0, expectedIn(moment.stage, world, named, held) - 1));
  const opened = new Set<string>();
  const sent: SentPart[] = [];
  let seen = 0;
  let during: Stage = 'drop';
  const sightings: Readable = child.stdio[3] as Readable;
  for await (const line of createInterface(sightings)) {
    const sighting: Sighting = JSON.parse(line);
    const step = stepOf(sighting, opened);
    if (!step) continue;
    during = step.stage;
    const film = world.films.find(({ sha1 }) => sha1 === step.sha1);
    if (film) opened.add(film.key);
    if (sighting.at === 'request' && step.part) sent.push(step.part);
    if (moment?.stage === step.stage && ++seen === target) {
      for (let turn = 0; turn < moment.later; turn++) await new Promise(setImmediate);
      child.kill('SIGKILL');
    }
  }
  const { code, out, err } = await outcome;
  if (moment && child.signalCode === 'SIGKILL') return { sent, killed: { moment, during } };
  if (code !== 0) throw new Broken(`the command ended with ${code}: ${out}${err}`);
  return { sent };
}

/** Requests and replies of a stage, no more than are to come. */
function expectedIn(
  stage: Stage,
  { films, copiesInParts }: World,
  named: readonly Film[],
  held: Held,
): number {
  const missing = films.map((film) => offsetsOf(film).length - (held.get(film.sha1)?.size ?? 0));
  const unstored = missing.filter((parts) => parts > 0).length;
  switch (stage) {
    case 'drop':
      return 2 * named.length;
    case 'parts':
      return 2 * missing.reduce((sum, parts) => sum + parts, 0);
    case 'finish':
      return 2 * unstored;
    case 'write-back':
      return (copiesInParts ? 3 : 1) * Math.max(1, unstored);
    default:
      return Math.max(2, unstored);
  }
}

/** Keys whose event is on disk: in the queue, or become an execution. They are to arrive without being named again. */
async function announcedIn(data: string): Promise<Set<string>> {
  const keys = new Set<string>();
  if ((await listNames(data)).length === 0) return keys;
  for (const { body } of new JsonStore(join(data, 'queue'), v.object({ body: v.string() })).all()) {
    for (const { parseObjects: read } of messagesOf(JSON.parse(body)))
      for (const { request } of read()) keys.add(request.key);
  }
  for (const { input } of new JsonStore(join(data, 'executions'), v.object({ input: UploadRequest })).all())
    keys.add(input.key);
  return keys;
}

/** Each object carries the id of a stored file with its bytes; each content is stored once; nothing is left over. */
async function everythingArrived({ data, films }: World): Promise<void> {
  const index = await indexOf(data);
  const server = await startS3({ dir: join(data, 's3'), port: 0, credentials: LOCAL_S3_CREDENTIALS });
  const s3 = new S3Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: LOCAL_S3_CREDENTIALS,
  });
  try {
    for (const { key, sha1 } of films) {
      const { Metadata = {} } = await s3.send(new HeadObjectCommand({ Bucket: 'videos', Key: key }));
      const stored = index.filter((file) => file.sha1 === sha1);
      const [file] = stored;
      if (stored.length !== 1 || !file || Metadata['vod-file-id'] !== file.fileId)
        throw new Broken(
          `${key}: carries ${Metadata['vod-file-id']}, VOD has stored ${JSON.stringify(stored)}`,
        );
      const bytes = await readFile(join(data, 'vod', 'files', `${file.fileId}.${file.fileType}`));
      if (createHash('sha1').update(bytes).digest('hex') !== sha1)
        throw new Broken(`${key}: stored with other bytes`);
    }
  } finally {
    s3.destroy();
    await server.close();
  }
  for (const folder of ['vod/uploads', 'queue', 'dead-letters', 's3/drafts']) {
    const left = await listNames(join(data, folder));
    if (left.length > 0) throw new Broken(`left in ${folder}: ${left.slice(0, 3)}`);
  }
}
