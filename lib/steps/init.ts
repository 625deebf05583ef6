import {
  InvalidInput,
  QuotaExceeded,
  StorageUnavailable,
  UnsupportedObject,
  VodUnavailable,
} from '../errors.ts';
import { type Deadline, DeadlineExceeded } from '../invocation/deadline.ts';
import { reportProgress } from '../invocation/progress.ts';
import { headObject, isSameVersion, type ObjectHead } from '../s3/head-object.ts';
import { readRange } from '../s3/read-range.ts';
import type { InitInput, InitOutput, ObjectVersion, Sha1, UploadRequest } from '../schemas.ts';
import { readBuffer } from '../upload/buffer-pool.ts';
import { cleanFileName, type Media, mediaTypeOf } from '../upload/media-type.ts';
import { missingParts, partRange, planBatches } from '../upload/plan.ts';
import { hashObject, type RangeReader } from '../upload/sha1.ts';
import { mergeOptions, optionsFromMetadata } from '../upload/upload-options.ts';
import type { NewFile } from '../vod/target.ts';
import { isOwnCopyOf, metadataMarker, needsCrc64, verifiedFile } from '../write-back/marker.ts';
import { readVerifiedFile } from '../write-back/read-markers.ts';
import {
  abandonUpload,
  finalResult,
  joinNotes,
  leaveAdmission,
  randomSeconds,
  resultFromError,
  SUPERSEDED_REASON,
} from './result.ts';
import type { Services } from './services.ts';

/** The largest size that fits the plan, the state, and the history of an execution (`npm run bench -- history`). */
const MAX_OBJECT_BYTES = 5 * 1024 ** 4;

/**
 * Decides whether the object must be uploaded, computes its SHA-1 if VOD needs it, opens the upload, and plans the missing
 * parts. If the time runs low during the hash pass, the output is a checkpoint.
 * @throws {ObjectNotFound} {UnsupportedObject} {InvalidInput} and the errors of S3 and VOD
 */
export async function runInit(job: InitInput, services: Services, deadline: Deadline): Promise<InitOutput> {
  const output = await decide(job, services, deadline).catch(async (error: unknown) => {
    if (isTransient(error)) await pauseStarts(services);
    throw error;
  });
  if (output.next === 'done') {
    if (job.since !== undefined) await leaveAdmission(job, services);
    await abandonUpload(job, services, deadline);
  }
  return output;
}

async function decide(job: InitInput, services: Services, deadline: Deadline): Promise<InitOutput> {
  let known = job;
  try {
    const found = await headObject(services.s3, job.request, deadline.signal);
    const { pin } = found;
    known = { ...job, pin }; // from here on, a missing object has been deleted
    const media = mediaTypeOf(pin.key, found.contentType);
    if (isOtherVersion(pin, job.pin ?? job.request)) return resultOfOtherVersion(job, found, media);
    if (media.kind === 'image') return { ...job, next: 'cover', pin };
    if (job.request.fileId !== undefined) {
      throw new InvalidInput(
        `${urlOf(pin)}: expected an image, because the request has a fileId, got another object. Remove fileId.`,
      );
    }
    if (media.kind === 'other') return finalResult(job, 'skipped', { reason: media.reason });
    return await startUpload(job, found, media, services, deadline);
  } catch (error) {
    return resultFromError(error, known);
  }
}

/** The object is no longer the version that the event or an earlier step named. */
const isOtherVersion = (now: ObjectVersion, expected: Pick<UploadRequest, 'etag' | 'versionId'>): boolean =>
  !isSameVersion(now, { etag: expected.etag ?? now.etag, versionId: expected.versionId ?? now.versionId });

/** A write-back changes the version and, for a multipart object, the ETag. That copy is not a newer upload. */
function resultOfOtherVersion(job: InitInput, found: ObjectHead, media: Media): InitOutput {
  const isOwnCopy = media.kind !== 'image' && isOwnCopyOf(found, job.pin ?? job.request);
  const file = isOwnCopy ? verifiedFile(found, metadataMarker(found)) : undefined;
  return file
    ? finalResult({ ...job, pin: found.pin }, 'unchanged', file)
    : finalResult(job, 'superseded', { reason: SUPERSEDED_REASON });
}

async function startUpload(
  job: InitInput,
  found: ObjectHead,
  media: Extract<Media, { kind: 'video' }>,
  services: Services,
  deadline: Deadline,
): Promise<InitOutput> {
  const { pin } = found;
  const { request } = job;
  const { defaults, vod } = services;
  const options = mergeOptions(defaults, optionsFromMetadata(found.metadata, urlOf(pin)), request.options);
  assertSize(pin);
  const fileName = options.fileName === undefined ? media.fileName : cleanFileName(options.fileName);
  const file = { pin, fileName, fileType: media.fileType, options };
  vod.check(file);
  const known =
    job.round === 0 && !request.force ? await readVerifiedFile(services, found, deadline.signal) : undefined;
  if (known) return finalResult({ ...job, pin }, 'unchanged', known);

  const knownSha1 = job.sha1 ?? found.sha1;
  const needsHash = vod.needsSha1 && !knownSha1;
  const hashed = !needsHash
    ? { ...job, pin, ...(knownSha1 && { sha1: knownSha1 }) }
    : await computeSha1({ ...job, pin }, found, services, deadline);
  if ('next' in hashed) return hashed;
  const { hash: _, ...next } = hashed;
  try {
    return await openUpload(next, file, services, deadline);
  } catch (error) {
    // Keep a SHA-1 that this invocation computed, instead of failing and computing it again.
    if (needsHash && error instanceof DeadlineExceeded) return { ...next, next: 'hash' };
    if (!needsHash || !isTransient(error)) throw error;
    await pauseStarts(services);
    return { ...next, next: 'wait', waitSeconds: randomSeconds(30, 60) };
  }
}

type PinnedJob = InitInput & { pin: ObjectVersion };
/** Returns the job with the SHA-1, or a wait or a checkpoint. */
async function computeSha1(
  job: PinnedJob,
  found: ObjectHead,
  { s3, admission, writeBack }: Services,
  deadline: Deadline,
): Promise<(PinnedJob & { sha1: Sha1 }) | Extract<InitOutput, { next: 'wait' | 'hash' }>> {
  const turn = await askForAdmission(job, 'hash', admission);
  if (turn.next === 'wait') return turn;
  const { pin } = job;
  const read: RangeReader = (range, signal) =>
    readBuffer(range.size, signal, (into) => readRange(s3, pin, range, signal, into));
  const options = { from: job.hash, needsCrc64: needsCrc64(found, writeBack) };
  const hashed = await hashObject(pin, read, deadline, options);
  if ('checkpoint' in hashed) return { ...turn, next: 'hash', hash: hashed.checkpoint };
  const { sha1, crc64 } = hashed;
  return { ...turn, sha1, ...(crc64 !== undefined && { crc64 }) };
}

/** Opens the upload and plans the missing parts, or returns a wait. */
async function openUpload(
  job: Omit<PinnedJob, 'hash'>,
  file: Omit<NewFile, 'sha1' | 'execution'>,
  { vod, admission }: Services,
  deadline: Deadline,
): Promise<InitOutput> {
  const turn = await askForAdmission(job, 'send', admission);
  if (turn.next === 'wait') return turn;
  const { sha1, pin, session: earlier, execution = pin.key } = job;
  const upload = await vod.open(
    { ...file, sha1, execution },
    earlier === undefined ? undefined : { session: earlier, runs: turn.sent.runs ?? [] },
    deadline.signal,
  );
  if (upload.state === 'stored') return { ...turn, next: 'finish', file: upload.file };
  const { session } = upload;
  if (upload.state === 'fetching') return { ...turn, next: 'finish', session };

  const { functions } = upload;
  const note = joinNotes(job.note, upload.note);
  const bounds = { size: pin.size, partSize: upload.partSize };
  const parts = missingParts(upload.held, bounds);
  const missing = parts.reduce((sum, part) => sum + partRange(part, bounds).size, 0);
  reportProgress({ stage: 'parts', pin, missing });
  return {
    ...turn,
    // The checksums of parts belong to the upload to which they were sent.
    sent: session === earlier ? turn.sent : { parts: turn.sent.parts, bytes: turn.sent.bytes },
    ...(note !== undefined && { note }),
    next: 'parts',
    session,
    upload: { ...bounds, functions, ...planBatches(parts, functions, bounds.partSize) },
  };
}

/** Returns the job to continue, or a wait if other objects come first. */
export async function askForAdmission<J extends PinnedJob>(
  job: J,
  phase: 'hash' | 'send',
  admission: Services['admission'],
): Promise<(J & { next?: never }) | (J & { next: 'wait'; waitSeconds: number })> {
  const { execution, pin, since, hash } = job;
  if (execution === undefined || !admission.appliesTo(pin.size)) return job;
  const bytes = pin.size - (hash?.offset ?? 0);
  const decision = await admission.enter(execution, { phase, bytes, since });
  const entered = { ...job, since: decision.since };
  if (decision.admitted) return entered;
  reportProgress({ stage: 'wait', pin });
  return { ...entered, next: 'wait', waitSeconds: Math.ceil(decision.waitMs / 1000) };
}

/** VOD or S3 cannot take this upload now, so the trigger need not start others. */
const pauseStarts = ({ quota }: Services): Promise<void> => quota.pause('StartExecution').catch(() => {});

function assertSize(pin: ObjectVersion): void {
  if (pin.size === 0)
    throw new UnsupportedObject(`${urlOf(pin)}: it is empty (0 bytes). Upload the whole video.`);
  if (pin.size > MAX_OBJECT_BYTES) {
    throw new UnsupportedObject(
      `${urlOf(pin)}: expected at most ${MAX_OBJECT_BYTES} bytes (5 TiB), got ${pin.size} bytes. Upload a smaller object.`,
    );
  }
}

export const isTransient = (error: unknown): boolean =>
  [VodUnavailable, StorageUnavailable, QuotaExceeded].some((type) => error instanceof type);

const urlOf = ({ bucket, key }: ObjectVersion): string => `s3://${bucket}/${key}`;
