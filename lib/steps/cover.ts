import { readPicture, unfitSize } from '../covers/read-image.ts';
import { fileIdsAmong, fileIdsNamed, listSiblings, newestPicture } from '../covers/related-objects.ts';
import type { Deadline } from '../deadline.ts';
import { InvalidInput, ObjectChanged, ObjectGone, VideoNotReady } from '../errors.ts';
import { type Found, find } from '../s3/head-object.ts';
import { readTagsOf } from '../s3/tags.ts';
import type {
  CoveredVideo,
  FileId,
  PictureJob,
  Pin,
  Result,
  Sent,
  StoredFile,
  VideoCover,
} from '../schemas.ts';
import { fileIdsIn } from '../write-back/cover-marker.ts';
import { fileAsWritten, writeBack } from '../write-back/write-back.ts';
import { done, endedBy, SUPERSEDED, timely } from './result.ts';
import type { Services } from './services.ts';

/**
 * Pictures as the covers of videos. The newest picture of a name is the cover of every video of that name.
 *
 * Whichever comes first, the two find each other: a video carries its fileId before it looks for pictures, a picture lies
 * there before it looks for fileIds, and S3 is strongly consistent, so the later one sees the earlier. Both at once send the
 * same picture twice, which is harmless. Whoever has sent a picture looks again, and when it is no longer the newest sends
 * the one that is: so the last picture to reach VOD is the newest one, however slow an older one was on its way. An earlier
 * try of the same step may have ended between the two: a repeat sends the newest again, whatever is on record.
 */

/** How often objects that change or vanish between two requests are looked at again. */
const LOOKS = 4;

/** A picture as it lies there, and what is to become of it. */
type Plan = Readonly<{
  found: Found;
  /** The files whose cover it is to be. */
  coverOf: readonly FileId[];
  /** By its own word: what it is in VOD, and which files have got it. */
  record: Readonly<{ file: StoredFile; covered: readonly FileId[] }> | undefined;
  /** A person insists: it is sent, whatever is on record, and the record keeps what it says of others. */
  insisted?: boolean;
  /** Why its metadata leads to no file, where it does not. */
  astray?: unknown;
}>;

type Ending = Readonly<{ outcome: 'superseded' | 'skipped' | 'waiting'; why: string }>;

/** `sent`: how often, and how many bytes, by this step. */
type Settled = Plan & Readonly<{ file: StoredFile; sent: Sent; why?: string | undefined }>;

/** How things stand now. `again`: something was sent after the last look. */
type Look = (again: boolean) => Promise<Plan | Ending>;

/**
 * A video's picture becomes its cover, if there is one.
 * @param isRepeat an earlier try of this step did not come to its end
 * @throws what is wrong with the picture, and what S3 and VOD may throw: none of it is an error of the video
 */
export async function coverVideo(
  video: CoveredVideo,
  services: Services,
  { signal }: Deadline,
  isRepeat = false,
): Promise<VideoCover> {
  try {
    const end = await settle(lookBeside(video, services, signal, video.fileId), services, signal, {
      isRepeat,
    });
    if ('outcome' in end) return { outcome: 'none' };
    const { found, file, sent, why } = end;
    const outcome = sent.parts > 0 ? 'uploaded' : 'unchanged';
    return { outcome, key: found.pin.key, ...file, ...(why !== undefined && { why }) };
  } catch (error) {
    throw timely(error, video);
  }
}

/**
 * A picture becomes the cover of the videos of its name and of the one that its metadata names; or, sent by hand, of the
 * file that the request names.
 * @param isRepeat an earlier try of this step did not come to its end
 * @throws {UnfitObject} {VideoNotReady} {InvalidInput} and what S3 and VOD may throw
 */
export async function coverWith(
  job: PictureJob,
  services: Services,
  { signal }: Deadline,
  isRepeat = false,
): Promise<Result> {
  const { pin, request } = job;
  const fileName = request.options?.fileName;
  const look = request.fileId
    ? lookByHand(pin, request.fileId, services, signal)
    : lookFrom(pin, services, signal, request.force);
  try {
    // Ours may be the newest no more: what took its place is sent first, and ours then as on any other day.
    const first =
      isRepeat && !request.fileId
        ? await settle(lookBeside(pin, services, signal), services, signal, { isRepeat, fileName })
        : undefined;
    const end = await settle(look, services, signal, { fileName });
    if ('outcome' in end) return done(job, end.outcome, { why: end.why });
    if (end.astray !== undefined) throw end.astray;
    const { found, file, coverOf, why } = end;
    const sent = first && 'sent' in first ? both(first.sent, end.sent) : end.sent;
    const ended = { ...job, pin: found.pin, sent };
    if (!request.fileId && !isSame(found.pin, pin)) return done(ended, 'superseded', { why: SUPERSEDED });
    const outcome = sent.parts > 0 ? 'uploaded' : 'unchanged';
    return done(ended, outcome, { ...file, coverOf: [...coverOf], ...(why !== undefined && { why }) });
  } catch (error) {
    return endedBy(error, job);
  }
}

/** The newest picture of a name, for all videos of that name. `own`: a video's, whatever its object says. */
const lookBeside =
  (
    at: Readonly<{ bucket: string; key: string }>,
    services: Services,
    signal: AbortSignal,
    own?: FileId,
  ): Look =>
  async () => {
    const siblings = await listSiblings(services.s3, at, signal);
    const newest = await newestPicture(services.s3, siblings, at.bucket, signal);
    if (!newest) return { outcome: 'waiting', why: 'there is no picture of this name' };
    const others = own ? siblings.filter((key) => key !== at.key) : siblings;
    const ids = await fileIdsAmong(services.s3, others, at, signal);
    const plan = await planFor(newest, own ? [own, ...ids] : ids, services, signal);
    return plan.coverOf.length > 0 ? plan : { outcome: 'waiting', why: 'there is no video of this name' };
  };

const lookByHand =
  (pin: Pin, fileId: FileId, { s3 }: Services, signal: AbortSignal): Look =>
  async () => {
    const found = await find(s3, pin, signal);
    return { found, coverOf: [fileId], record: await recordOf(found, s3, signal), insisted: true };
  };

/** From a picture's point of view, as its event brought it. */
function lookFrom(pin: Pin, services: Services, signal: AbortSignal, insisted = false): Look {
  let wasNewest = false;
  return async (again) => {
    const siblings = await listSiblings(services.s3, pin, signal);
    const newest = await newestPicture(services.s3, siblings, pin.bucket, signal);
    const isOurs = newest?.pin.key === pin.key;
    if (!again) wasNewest = isOurs;
    const found = newest && (isOurs || (again && wasNewest)) ? newest : await find(services.s3, pin, signal);
    if (!again && !isSame(found.pin, pin)) return { outcome: 'superseded', why: SUPERSEDED };
    const isNewest = found === newest;
    const ids = isNewest ? await fileIdsAmong(services.s3, siblings, pin, signal) : [];
    const plan = await planFor(found, ids, services, signal);
    if (plan.coverOf.length > 0) return { ...plan, insisted };
    if (plan.astray !== undefined) throw plan.astray;
    if (newest && !isNewest) return { outcome: 'skipped', why: `${newest.pin.key} is newer, and the cover` };
    if (plan.record) return { ...plan, coverOf: plan.record.covered };
    const why = unfitSize(found.pin);
    return why
      ? { outcome: 'skipped', why }
      : { outcome: 'waiting', why: 'no video of this name has a fileId yet: it will fetch the picture' };
  };
}

/** Sends, and looks again, until what was sent last is what lies there. */
async function settle(
  look: Look,
  services: Services,
  signal: AbortSignal,
  { fileName, isRepeat = false }: { fileName?: string | undefined; isRepeat?: boolean },
): Promise<Settled | Ending> {
  let last: Shipment | undefined;
  const sent = { parts: 0, bytes: 0 };
  for (let faults = 0; ; ) {
    try {
      const plan = await look(last !== undefined);
      if ('outcome' in plan) return plan;
      if (last && isSame(plan.found.pin, last.pin)) {
        const why = await record(plan, last, services, signal);
        if (last.fault) throw last.fault.error;
        return { ...plan, file: last.file, sent, why };
      }
      // What an older picture's late arrival has overwritten stands on record all the same.
      const due =
        last || isRepeat || plan.insisted ? plan.coverOf : without(plan.coverOf, plan.record?.covered);
      if (due.length === 0 && plan.record) return { ...plan, file: plan.record.file, sent };
      last = await send(plan.found, due, services, signal, fileName);
      sent.parts += last.coverOf.length;
      sent.bytes += last.coverOf.length * last.pin.size;
    } catch (error) {
      const moved = error instanceof ObjectChanged || error instanceof ObjectGone;
      if (!moved || ++faults === LOOKS) throw error;
    }
  }
}

/** What was sent, and for whom. `fault`: what came of the others, if it was not for all. */
type Shipment = Readonly<{
  pin: Pin;
  file: StoredFile;
  coverOf: readonly FileId[];
  fault: Readonly<{ error: unknown }> | undefined;
}>;

/** One file that refuses the picture keeps it from no other. */
async function send(
  found: Found,
  due: readonly FileId[],
  { s3, vod }: Services,
  signal: AbortSignal,
  fileName: string | undefined,
): Promise<Shipment> {
  const picture = await readPicture(s3, found, signal, fileName);
  const coverOf: FileId[] = [];
  let file: StoredFile | undefined;
  let fault: { error: unknown } | undefined;
  for (const fileId of due) {
    try {
      file = await vod.sendCover({ ...picture, coverOf: fileId }, signal);
      coverOf.push(fileId);
    } catch (error) {
      fault ??= { error };
    }
  }
  if (!file) throw fault?.error;
  return { pin: found.pin, file, coverOf, fault };
}

async function record(
  { found, insisted, coverOf, record: before }: Plan,
  { file, coverOf: sent }: Shipment,
  { s3, writeBack: settings }: Services,
  signal: AbortSignal,
): Promise<string | undefined> {
  const have = new Set([...(before?.covered ?? []), ...sent]);
  const covered = insisted ? [...have] : coverOf.filter((id) => have.has(id));
  const { why } = await writeBack(s3, found.pin, { ...file, coverOf: covered }, signal, settings);
  return why;
}

async function planFor(
  found: Found,
  ofItsName: readonly FileId[],
  { s3 }: Services,
  signal: AbortSignal,
): Promise<Plan> {
  const kept = await recordOf(found, s3, signal);
  const named = await fileIdsNamed(s3, found, signal).then(
    (ids) => ({ ids, astray: undefined }),
    (astray: unknown) => {
      if (astray instanceof VideoNotReady || astray instanceof InvalidInput) return { ids: [], astray };
      throw astray;
    },
  );
  const coverOf = [...new Set([...ofItsName, ...named.ids])];
  return { found, coverOf, record: kept, astray: named.astray };
}

/** What the picture says of itself, in its metadata or its tags, as far as it can be believed. */
async function recordOf(found: Found, s3: Services['s3'], signal: AbortSignal): Promise<Plan['record']> {
  const tags = await readTagsOf(s3, found, signal);
  const records = [
    { names: found.metadata, ids: found.metadata['vod-covered'] },
    { names: tags, ids: tags['vod-cover-of'] },
  ].flatMap(({ names, ids }) => {
    const file = fileAsWritten(found, names);
    const covered = fileIdsIn(ids);
    return file && covered ? [{ file, covered }] : [];
  });
  const [first] = records;
  return first && { file: first.file, covered: records.flatMap(({ covered }) => covered) };
}

const both = (a: Sent, b: Sent): Sent => ({ parts: a.parts + b.parts, bytes: a.bytes + b.bytes });

const isSame = (a: Pin, b: Pin): boolean => a.key === b.key && a.etag === b.etag;

const without = (ids: readonly FileId[], others: readonly FileId[] = []): FileId[] =>
  ids.filter((id) => !others.includes(id));
