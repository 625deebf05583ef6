import {
  type CoverPlan,
  isSameImage,
  type NoCover,
  type PlanCover,
  planForImage,
  planFromRequest,
  planFromSiblings,
} from '../covers/plan-cover.ts';
import { readImage } from '../covers/read-image.ts';
import { ObjectChanged, ObjectDeleted } from '../errors.ts';
import type { Deadline } from '../invocation/deadline.ts';
import type { ObjectHead } from '../s3/head-object.ts';
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
import { writeBack } from '../write-back/write-back.ts';
import { finalResult, resultFromError, SUPERSEDED_REASON, sumSent, toNoProgressError } from './result.ts';
import type { Services } from './services.ts';

/**
 * The newest image with a name is the cover of every video with that name. After each upload the step lists the objects
 * again and sends an image that is newer by then, so the last image to reach VOD is the newest. docs/decisions/0007-covers.md
 * explains why no race loses a cover.
 */

/** How often a step retries when objects change or disappear between two requests. */
const MAX_ATTEMPTS = 4;

/** `sent`: the uploads of this step, and their bytes. */
type CoverResult = CoverPlan & Readonly<{ file: StoredFile; sent: SentTotals; reason?: string | undefined }>;

type SendOptions = Readonly<{ fileName?: string | undefined; isRepeat?: boolean }>;

/**
 * Attaches the newest image with the name of a video, if there is one.
 * @param isRepeat whether an earlier attempt of this step may have ended between an upload and its check
 * @throws any error of the image, S3, or VOD; the state machine does not fail the video for it
 */
export async function attachCoverToVideo(
  video: CoveredVideo,
  services: Services,
  { signal }: Deadline,
  isRepeat = false,
): Promise<VideoCover> {
  try {
    const plan = planFromSiblings(services, video, signal, video.fileId);
    const result = await sendUntilStable(plan, services, signal, { isRepeat });
    if ('outcome' in result) return { outcome: 'none' };
    const { image, ...cover } = result;
    return { ...coverOutcome(cover), key: image.pin.key };
  } catch (error) {
    throw toNoProgressError(error, video);
  }
}

/**
 * Attaches an image to the videos with its name and to those that its metadata names, or to the file that the request names.
 * @param isRepeat whether an earlier attempt of this step may have ended between an upload and its check
 * @throws {UnsupportedObject} {VideoNotReady} {InvalidInput} and the errors of S3 and VOD
 */
export async function attachImage(
  job: ImageJob,
  services: Services,
  { signal }: Deadline,
  isRepeat = false,
): Promise<Result> {
  const { pin, request } = job;
  const { fileId, force } = request;
  const fileName = request.options?.fileName;
  const plan = fileId
    ? planFromRequest(services, pin, fileId, signal)
    : planForImage(services, pin, signal, force);
  try {
    // On a repeat, the image may no longer be the newest. Send the newest first, then process this one normally.
    const first =
      isRepeat && !fileId
        ? await sendUntilStable(planFromSiblings(services, pin, signal), services, signal, {
            fileName,
            isRepeat,
          })
        : undefined;
    const result = await sendUntilStable(plan, services, signal, { fileName });
    if ('outcome' in result) {
      const reason = result.outcome === 'superseded' ? SUPERSEDED_REASON : result.reason;
      return finalResult(job, result.outcome, { reason });
    }
    if (result.resolveError !== undefined) throw result.resolveError;
    const sent = first && 'sent' in first ? sumSent([first.sent, result.sent]) : result.sent;
    const ended = { ...job, pin: result.image.pin, sent };
    if (!fileId && !isSameImage(result.image.pin, pin))
      return finalResult(ended, 'superseded', { reason: SUPERSEDED_REASON });
    const { outcome, ...file } = coverOutcome({ ...result, sent });
    return finalResult(ended, outcome, { ...file, coverOf: [...result.coverOf] });
  } catch (error) {
    return resultFromError(error, job);
  }
}

const coverOutcome = ({ file, sent, reason }: Pick<CoverResult, 'file' | 'sent' | 'reason'>) => ({
  outcome: sent.parts > 0 ? ('uploaded' as const) : ('unchanged' as const),
  ...file,
  ...(reason !== undefined && { reason }),
});

/** Sends images until the image sent last is the one that the plan names. */
async function sendUntilStable(
  planCover: PlanCover,
  services: Services,
  signal: AbortSignal,
  { fileName, isRepeat }: SendOptions,
): Promise<CoverResult | NoCover> {
  let last: SendResult | undefined;
  const sent = { parts: 0, bytes: 0 };
  for (let failures = 0; ; ) {
    try {
      const plan = await planCover(last !== undefined);
      if ('outcome' in plan) return plan;
      const { image, coverOf, record } = plan;
      if (last && isSameImage(image.pin, last.pin)) {
        const reason = await writeRecord(plan, last, services, signal);
        if (last.failure) throw last.failure.error;
        return { ...plan, file: last.file, sent, reason };
      }
      // A record stays on the image when a late upload of an older image has replaced the cover in VOD.
      const ignoresRecord = last || isRepeat || plan.isForced;
      const pendingIds = ignoresRecord ? coverOf : coverOf.filter((id) => !record?.covered.includes(id));
      if (pendingIds.length === 0 && record) return { ...plan, file: record.file, sent };
      last = await send(image, pendingIds, services, signal, fileName);
      sent.parts += last.coverOf.length;
      sent.bytes += last.coverOf.length * last.pin.size;
    } catch (error) {
      const isRetryable = error instanceof ObjectChanged || error instanceof ObjectDeleted;
      if (!isRetryable || ++failures === MAX_ATTEMPTS) throw error;
    }
  }
}

/** `coverOf`: the files that accepted the image. `failure`: the first error of the others. */
type SendResult = Readonly<{
  pin: ObjectVersion;
  file: StoredFile;
  coverOf: readonly FileId[];
  failure: Readonly<{ error: unknown }> | undefined;
}>;

/** Sends an image to each file. A file that rejects it does not keep it from the others. */
async function send(
  head: ObjectHead,
  fileIds: readonly FileId[],
  { s3, vod }: Services,
  signal: AbortSignal,
  fileName: string | undefined,
): Promise<SendResult> {
  const image = await readImage(s3, head, signal, fileName);
  const coverOf: FileId[] = [];
  let file: StoredFile | undefined;
  let failure: { error: unknown } | undefined;
  for (const fileId of fileIds) {
    try {
      file = await vod.attachCover({ ...image, coverOf: fileId }, signal);
      coverOf.push(fileId);
    } catch (error) {
      failure ??= { error };
    }
  }
  if (!file) throw failure?.error;
  return { pin: head.pin, file, coverOf, failure };
}

/** Writes onto the image which files it covers. */
async function writeRecord(
  { image, isForced, coverOf, record }: CoverPlan,
  { file, coverOf: sentTo }: SendResult,
  { s3, writeBack: settings }: Services,
  signal: AbortSignal,
): Promise<string | undefined> {
  const allCovered = new Set([...(record?.covered ?? []), ...sentTo]);
  const covered = isForced ? [...allCovered] : coverOf.filter((id) => allCovered.has(id));
  const { reason } = await writeBack(s3, image.pin, { ...file, coverOf: covered }, signal, settings);
  return reason;
}
