import { coverSizeProblem, readImage } from '../covers/read-image.ts';
import {
  findVideoFileIds,
  listKeysWithStem,
  newestImage,
  resolveCoverOf,
} from '../covers/related-objects.ts';
import type { Deadline } from '../deadline.ts';
import { InvalidInput, ObjectChanged, ObjectDeleted, VideoNotReady } from '../errors.ts';
import { headObject, type ObjectHead } from '../s3/head-object.ts';
import { readTagsIfAny } from '../s3/tags.ts';
import type {
  CoveredVideo,
  FileId,
  ImageJob,
  ObjectVersion,
  Result,
  SentTotals,
  StoredFile,
  VideoCover,
} from '../schemas.ts';
import { parseFileIds } from '../write-back/cover-marker.ts';
import { fileFromRecord } from '../write-back/marker.ts';
import { writeBack } from '../write-back/write-back.ts';
import { finalResult, resultFromError, SUPERSEDED_REASON, toNoProgressError } from './result.ts';
import type { Services } from './services.ts';

/**
 * Images as the covers of videos. The newest image of a name is the cover of every video of that name.
 *
 * Whichever comes first, the two find each other: a video carries its fileId before it looks for images, an image lies
 * there before it looks for fileIds, and S3 is strongly consistent, so the later one sees the earlier. Both at once send the
 * same image twice, which is harmless. Whoever has sent an image looks again, and when it is no longer the newest sends
 * the one that is: so the last image to reach VOD is the newest one, however slow an older one was on its way. An earlier
 * try of the same step may have ended between the two: a repeat sends the newest again, whatever is on record.
 */

/** How often objects that change or vanish between two requests are looked at again. */
const MAX_ATTEMPTS = 4;

/** An image as it lies there, and what is to become of it. */
type Plan = Readonly<{
  found: ObjectHead;
  /** The files whose cover it is to be. */
  coverOf: readonly FileId[];
  /** By its own word: what it is in VOD, and which files have got it. */
  record: Readonly<{ file: StoredFile; covered: readonly FileId[] }> | undefined;
  /** A person insists: it is sent, whatever is on record, and the record keeps what it says of others. */
  forced?: boolean;
  /** Why its metadata leads to no file, where it does not. */
  resolveError?: unknown;
}>;

type Skipped = Readonly<{ outcome: 'superseded' | 'skipped' | 'waiting'; reason: string }>;

/** `sent`: how often, and how many bytes, by this step. */
type CoverResult = Plan & Readonly<{ file: StoredFile; sent: SentTotals; reason?: string | undefined }>;

/** How things stand now. `again`: something was sent after the last look. */
type PlanCover = (again: boolean) => Promise<Plan | Skipped>;

/**
 * A video's image becomes its cover, if there is one.
 * @param isRepeat an earlier try of this step did not come to its end
 * @throws what is wrong with the image, and what S3 and VOD may throw: none of it is an error of the video
 */
export async function attachCoverToVideo(
  video: CoveredVideo,
  services: Services,
  { signal }: Deadline,
  isRepeat = false,
): Promise<VideoCover> {
  try {
    const end = await sendUntilStable(
      planFromSiblings(video, services, signal, video.fileId),
      services,
      signal,
      {
        isRepeat,
      },
    );
    if ('outcome' in end) return { outcome: 'none' };
    const { found, file, sent, reason } = end;
    const outcome = sent.parts > 0 ? 'uploaded' : 'unchanged';
    return { outcome, key: found.pin.key, ...file, ...(reason !== undefined && { reason }) };
  } catch (error) {
    throw toNoProgressError(error, video);
  }
}

/**
 * An image becomes the cover of the videos of its name and of the one that its metadata names; or, sent by hand, of the
 * file that the request names.
 * @param isRepeat an earlier try of this step did not come to its end
 * @throws {UnsupportedObject} {VideoNotReady} {InvalidInput} and what S3 and VOD may throw
 */
export async function attachImage(
  job: ImageJob,
  services: Services,
  { signal }: Deadline,
  isRepeat = false,
): Promise<Result> {
  const { pin, request } = job;
  const fileName = request.options?.fileName;
  const look = request.fileId
    ? planFromRequest(pin, request.fileId, services, signal)
    : planForImage(pin, services, signal, request.force);
  try {
    // Ours may be the newest no more: what took its place is sent first, and ours then as on any other day.
    const first =
      isRepeat && !request.fileId
        ? await sendUntilStable(planFromSiblings(pin, services, signal), services, signal, {
            isRepeat,
            fileName,
          })
        : undefined;
    const end = await sendUntilStable(look, services, signal, { fileName });
    if ('outcome' in end) return finalResult(job, end.outcome, { reason: end.reason });
    if (end.resolveError !== undefined) throw end.resolveError;
    const { found, file, coverOf, reason } = end;
    const sent = first && 'sent' in first ? addSent(first.sent, end.sent) : end.sent;
    const ended = { ...job, pin: found.pin, sent };
    if (!request.fileId && !isSame(found.pin, pin))
      return finalResult(ended, 'superseded', { reason: SUPERSEDED_REASON });
    const outcome = sent.parts > 0 ? 'uploaded' : 'unchanged';
    return finalResult(ended, outcome, {
      ...file,
      coverOf: [...coverOf],
      ...(reason !== undefined && { reason }),
    });
  } catch (error) {
    return resultFromError(error, job);
  }
}

/** The newest image of a name, for all videos of that name. `own`: a video's, whatever its object says. */
const planFromSiblings =
  (
    at: Readonly<{ bucket: string; key: string }>,
    services: Services,
    signal: AbortSignal,
    own?: FileId,
  ): PlanCover =>
  async () => {
    const siblings = await listKeysWithStem(services.s3, at, signal);
    const newest = await newestImage(services.s3, siblings, at.bucket, signal);
    if (!newest) return { outcome: 'waiting', reason: 'there is no image of this name' };
    const others = own ? siblings.filter((key) => key !== at.key) : siblings;
    const ids = await findVideoFileIds(services.s3, others, at, signal);
    const plan = await planFor(newest, own ? [own, ...ids] : ids, services, signal);
    return plan.coverOf.length > 0 ? plan : { outcome: 'waiting', reason: 'there is no video of this name' };
  };

const planFromRequest =
  (pin: ObjectVersion, fileId: FileId, { s3 }: Services, signal: AbortSignal): PlanCover =>
  async () => {
    const found = await headObject(s3, pin, signal);
    return { found, coverOf: [fileId], record: await readRecord(found, s3, signal), forced: true };
  };

/** From an image's point of view, as its event brought it. */
function planForImage(
  pin: ObjectVersion,
  services: Services,
  signal: AbortSignal,
  insisted = false,
): PlanCover {
  let wasNewest = false;
  return async (again) => {
    const siblings = await listKeysWithStem(services.s3, pin, signal);
    const newest = await newestImage(services.s3, siblings, pin.bucket, signal);
    const isOurs = newest?.pin.key === pin.key;
    if (!again) wasNewest = isOurs;
    const found =
      newest && (isOurs || (again && wasNewest)) ? newest : await headObject(services.s3, pin, signal);
    if (!again && !isSame(found.pin, pin)) return { outcome: 'superseded', reason: SUPERSEDED_REASON };
    const isNewest = found === newest;
    const ids = isNewest ? await findVideoFileIds(services.s3, siblings, pin, signal) : [];
    const plan = await planFor(found, ids, services, signal);
    if (plan.coverOf.length > 0) return { ...plan, forced: insisted };
    if (plan.resolveError !== undefined) throw plan.resolveError;
    if (newest && !isNewest)
      return { outcome: 'skipped', reason: `${newest.pin.key} is newer, and the cover` };
    if (plan.record) return { ...plan, coverOf: plan.record.covered };
    const reason = coverSizeProblem(found.pin);
    return reason
      ? { outcome: 'skipped', reason }
      : { outcome: 'waiting', reason: 'no video of this name has a fileId yet: it will fetch the image' };
  };
}

/** Sends, and looks again, until what was sent last is what lies there. */
async function sendUntilStable(
  look: PlanCover,
  services: Services,
  signal: AbortSignal,
  { fileName, isRepeat = false }: { fileName?: string | undefined; isRepeat?: boolean },
): Promise<CoverResult | Skipped> {
  let last: SendResult | undefined;
  const sent = { parts: 0, bytes: 0 };
  for (let faults = 0; ; ) {
    try {
      const plan = await look(last !== undefined);
      if ('outcome' in plan) return plan;
      if (last && isSame(plan.found.pin, last.pin)) {
        const reason = await record(plan, last, services, signal);
        if (last.fault) throw last.fault.error;
        return { ...plan, file: last.file, sent, reason };
      }
      // What an older image's late arrival has overwritten stands on record all the same.
      const due =
        last || isRepeat || plan.forced ? plan.coverOf : difference(plan.coverOf, plan.record?.covered);
      if (due.length === 0 && plan.record) return { ...plan, file: plan.record.file, sent };
      last = await send(plan.found, due, services, signal, fileName);
      sent.parts += last.coverOf.length;
      sent.bytes += last.coverOf.length * last.pin.size;
    } catch (error) {
      const moved = error instanceof ObjectChanged || error instanceof ObjectDeleted;
      if (!moved || ++faults === MAX_ATTEMPTS) throw error;
    }
  }
}

/** What was sent, and for whom. `fault`: what came of the others, if it was not for all. */
type SendResult = Readonly<{
  pin: ObjectVersion;
  file: StoredFile;
  coverOf: readonly FileId[];
  fault: Readonly<{ error: unknown }> | undefined;
}>;

/** One file that refuses the image keeps it from no other. */
async function send(
  found: ObjectHead,
  pendingIds: readonly FileId[],
  { s3, vod }: Services,
  signal: AbortSignal,
  fileName: string | undefined,
): Promise<SendResult> {
  const image = await readImage(s3, found, signal, fileName);
  const coverOf: FileId[] = [];
  let file: StoredFile | undefined;
  let fault: { error: unknown } | undefined;
  for (const fileId of pendingIds) {
    try {
      file = await vod.uploadSmallFile({ ...image, coverOf: fileId }, signal);
      coverOf.push(fileId);
    } catch (error) {
      fault ??= { error };
    }
  }
  if (!file) throw fault?.error;
  return { pin: found.pin, file, coverOf, fault };
}

async function record(
  { found, forced: insisted, coverOf, record: before }: Plan,
  { file, coverOf: sent }: SendResult,
  { s3, writeBack: settings }: Services,
  signal: AbortSignal,
): Promise<string | undefined> {
  const have = new Set([...(before?.covered ?? []), ...sent]);
  const covered = insisted ? [...have] : coverOf.filter((id) => have.has(id));
  const { reason } = await writeBack(s3, found.pin, { ...file, coverOf: covered }, signal, settings);
  return reason;
}

async function planFor(
  found: ObjectHead,
  ofItsName: readonly FileId[],
  { s3 }: Services,
  signal: AbortSignal,
): Promise<Plan> {
  const kept = await readRecord(found, s3, signal);
  const named = await resolveCoverOf(s3, found, signal).then(
    (ids) => ({ ids, astray: undefined }),
    (astray: unknown) => {
      if (astray instanceof VideoNotReady || astray instanceof InvalidInput) return { ids: [], astray };
      throw astray;
    },
  );
  const coverOf = [...new Set([...ofItsName, ...named.ids])];
  return { found, coverOf, record: kept, resolveError: named.astray };
}

/** What the image says of itself, in its metadata or its tags, as far as it can be believed. */
async function readRecord(
  found: ObjectHead,
  s3: Services['s3'],
  signal: AbortSignal,
): Promise<Plan['record']> {
  const tags = await readTagsIfAny(s3, found, signal);
  const records = [
    { names: found.metadata, ids: found.metadata['vod-covered'] },
    { names: tags, ids: tags['vod-cover-of'] },
  ].flatMap(({ names, ids }) => {
    const file = fileFromRecord(found, names);
    const covered = parseFileIds(ids);
    return file && covered ? [{ file, covered }] : [];
  });
  const [first] = records;
  return first && { file: first.file, covered: records.flatMap(({ covered }) => covered) };
}

const addSent = (a: SentTotals, b: SentTotals): SentTotals => ({
  parts: a.parts + b.parts,
  bytes: a.bytes + b.bytes,
});

const isSame = (a: ObjectVersion, b: ObjectVersion): boolean => a.key === b.key && a.etag === b.etag;

const difference = (ids: readonly FileId[], others: readonly FileId[] = []): FileId[] =>
  ids.filter((id) => !others.includes(id));
