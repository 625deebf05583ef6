import { InvalidInput, VideoNotReady } from '../errors.ts';
import { headObject, type ObjectHead } from '../s3/head-object.ts';
import type { FileId, ObjectVersion, StoredFile } from '../schemas.ts';
import { parseFileIds } from '../write-back/cover-marker.ts';
import { fileFromRecord } from '../write-back/marker.ts';
import { type MarkedObjects, readMarkers } from '../write-back/read-markers.ts';
import { coverSizeProblem } from './read-image.ts';
import {
  findVideoFileIds,
  listKeysWithStem,
  newestImage,
  type ObjectName,
  resolveCoverOf,
} from './related-objects.ts';

/** Plans which image to send to which videos, from the objects as they are now. See docs/decisions/0007-covers.md. */

export type CoverPlan = Readonly<{
  image: ObjectHead;
  /** The files that must have the image as their cover. */
  coverOf: readonly FileId[];
  /** The content of the image's marker, if it is trusted: the file that the image is in VOD, and the files it covers. */
  record: Readonly<{ file: StoredFile; covered: readonly FileId[] }> | undefined;
  /** A user asked for the upload. It does not depend on the record, and the record keeps its other files. */
  isForced?: boolean;
  /** Why the image's `vod-cover-of` names no file, if it does not. */
  resolveError?: unknown;
}>;

export type NoCover = Readonly<
  { outcome: 'superseded' } | { outcome: 'skipped' | 'waiting'; reason: string }
>;

/** @param hasSent whether this step has sent an image since its previous plan */
export type PlanCover = (hasSent: boolean) => Promise<CoverPlan | NoCover>;

/**
 * Plans the newest image with the name of `object` for all videos with that name.
 * @param fileId of a video: its file, whatever the marker on its object says
 */
export const planFromSiblings =
  (objects: MarkedObjects, object: ObjectName, signal: AbortSignal, fileId?: FileId): PlanCover =>
  async () => {
    const keys = await listKeysWithStem(objects.s3, object, signal);
    const image = await newestImage(objects.s3, keys, object.bucket, signal);
    if (!image) return { outcome: 'waiting', reason: 'no image has this name' };
    const others = fileId ? keys.filter((key) => key !== object.key) : keys;
    const ids = await findVideoFileIds(objects, others, object, signal);
    const plan = await planFor(objects, image, fileId ? [fileId, ...ids] : ids, signal);
    return plan.coverOf.length > 0 ? plan : { outcome: 'waiting', reason: 'no video has this name' };
  };

/** Plans an image for the file that the request names. */
export const planFromRequest =
  (objects: MarkedObjects, pin: ObjectVersion, fileId: FileId, signal: AbortSignal): PlanCover =>
  async () => {
    const image = await headObject(objects.s3, pin, signal);
    return { image, coverOf: [fileId], record: await readRecord(objects, image, signal), isForced: true };
  };

/** Plans the image of an event: for the videos with its name if it is the newest, and for those that its metadata names. */
export function planForImage(
  objects: MarkedObjects,
  pin: ObjectVersion,
  signal: AbortSignal,
  isForced = false,
): PlanCover {
  let wasNewest = false;
  return async (hasSent) => {
    const keys = await listKeysWithStem(objects.s3, pin, signal);
    const newest = await newestImage(objects.s3, keys, pin.bucket, signal);
    const isNewest = newest?.pin.key === pin.key;
    if (!hasSent) wasNewest = isNewest;
    // After this step has sent the newest image, it also sends an even newer one, whatever its key.
    const image =
      newest && (isNewest || (hasSent && wasNewest)) ? newest : await headObject(objects.s3, pin, signal);
    if (!hasSent && !isSameImage(image.pin, pin)) return { outcome: 'superseded' };
    const ids = image === newest ? await findVideoFileIds(objects, keys, pin, signal) : [];
    const plan = await planFor(objects, image, ids, signal);
    if (plan.coverOf.length > 0) return { ...plan, isForced };
    if (plan.resolveError !== undefined) throw plan.resolveError;
    if (newest && image !== newest)
      return { outcome: 'skipped', reason: `${newest.pin.key} is newer, and the cover` };
    if (plan.record) return { ...plan, coverOf: plan.record.covered };
    const reason = coverSizeProblem(image.pin);
    return reason
      ? { outcome: 'skipped', reason }
      : {
          outcome: 'waiting',
          reason: 'no video with this name has a fileId yet: it attaches the image when it has',
        };
  };
}

async function planFor(
  objects: MarkedObjects,
  image: ObjectHead,
  idsByName: readonly FileId[],
  signal: AbortSignal,
): Promise<CoverPlan> {
  const record = await readRecord(objects, image, signal);
  try {
    const namedIds = await resolveCoverOf(objects, image, signal);
    return { image, coverOf: [...new Set([...idsByName, ...namedIds])], record };
  } catch (resolveError) {
    if (!(resolveError instanceof VideoNotReady || resolveError instanceof InvalidInput)) throw resolveError;
    return { image, coverOf: idsByName, record, resolveError };
  }
}

/** Reads the markers. A forced upload may have written any of them, and each names other files. */
async function readRecord(
  objects: MarkedObjects,
  image: ObjectHead,
  signal: AbortSignal,
): Promise<CoverPlan['record']> {
  const records: NonNullable<CoverPlan['record']>[] = [];
  for await (const marker of readMarkers(objects, image, signal)) {
    const file = fileFromRecord(image, marker);
    const covered = parseFileIds(marker.entries['vod-covered']);
    if (file && covered) records.push({ file, covered });
  }
  return records[0] && { file: records[0].file, covered: records.flatMap(({ covered }) => covered) };
}

/** Compares the bytes, not the versions: the same image put again in a bucket with versioning is the same cover. */
export const isSameImage = (a: ObjectVersion, b: ObjectVersion): boolean =>
  a.key === b.key && a.etag === b.etag;
