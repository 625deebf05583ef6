import { type Deadline, DeadlineExceeded } from '../deadline.ts';
import { InvalidInput, QuotaExceeded, UnsupportedObject, VodUnavailable } from '../errors.ts';
import { reportProgress } from '../progress.ts';
import { headObject, isSameVersion, type ObjectHead } from '../s3/head-object.ts';
import { readRange } from '../s3/read-range.ts';
import { readTagsIfAny } from '../s3/tags.ts';
import type { InitInput, InitOutput, ObjectVersion, StoredFile, UploadRequest } from '../schemas.ts';
import { readBuffer } from '../upload/buffer-pool.ts';
import { cleanFileName, type Media, mediaTypeOf } from '../upload/media-type.ts';
import { missingParts, partRange, planBatches } from '../upload/plan.ts';
import { hashObject, type RangeReader } from '../upload/sha1.ts';
import { mergeOptions, optionsFromMetadata } from '../upload/upload-options.ts';
import { isOwnCopyOf, verifiedFile } from '../write-back/marker.ts';
import { finalResult, resultFromError, SUPERSEDED_REASON } from './result.ts';
import type { Services } from './services.ts';

/** The largest size that fits the plan, the state, and the history of an execution (`npm run bench -- history`). */
const MAX_OBJECT_BYTES = 5 * 1024 ** 4;

/**
 * Decides whether the object must be uploaded, computes its SHA-1, calls `InitUpload`, and plans the missing parts. If the
 * time runs low during the hash pass, the output is a checkpoint.
 * @throws {ObjectNotFound} {UnsupportedObject} {InvalidInput} and the errors of S3 and VOD
 */
export async function runInit(job: InitInput, services: Services, deadline: Deadline): Promise<InitOutput> {
  try {
    const found = await headObject(services.s3, job.request, deadline.signal);
    const { pin } = found;
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
    return resultFromError(error, job);
  }
}

/** The object is no longer the version that the event or an earlier step named. */
const isOtherVersion = (now: ObjectVersion, expected: Pick<UploadRequest, 'etag' | 'versionId'>): boolean =>
  !isSameVersion(now, { etag: expected.etag ?? now.etag, versionId: expected.versionId ?? now.versionId });

/** A write-back changes the version and, for a multipart object, the ETag. That copy is not a newer upload. */
function resultOfOtherVersion(job: InitInput, found: ObjectHead, media: Media): InitOutput {
  const isOwnCopy = media.kind !== 'image' && isOwnCopyOf(found, job.pin ?? job.request);
  const file = isOwnCopy ? verifiedFile(found) : undefined;
  return file
    ? finalResult({ ...job, pin: found.pin }, 'unchanged', file)
    : finalResult(job, 'superseded', { reason: SUPERSEDED_REASON });
}

async function startUpload(
  job: InitInput,
  found: ObjectHead,
  media: Extract<Media, { kind: 'video' }>,
  { s3, vod, defaults }: Services,
  deadline: Deadline,
): Promise<InitOutput> {
  const { pin } = found;
  const { request, hash, ...rest } = job;
  const options = mergeOptions(defaults, optionsFromMetadata(found.metadata, urlOf(pin)), request.options);
  assertSize(pin);
  const known = job.round === 0 && !request.force ? await verifiedFileOf(s3, found, deadline) : undefined;
  if (known) return finalResult({ ...job, pin }, 'unchanged', known);

  const read: RangeReader = (range, signal) =>
    readBuffer(range.size, signal, (into) => readRange(s3, pin, range, signal, into));
  const knownSha1 = job.sha1 ?? found.sha1;
  const hashed = knownSha1 ? { sha1: knownSha1 } : await hashObject(pin, read, deadline, hash);
  if ('checkpoint' in hashed) return { ...job, next: 'hash', pin, hash: hashed.checkpoint };

  const { sha1 } = hashed;
  const { size } = pin;
  const next = { ...rest, request, pin, sha1 };
  const fileName = options.fileName === undefined ? media.fileName : cleanFileName(options.fileName);
  const file = { sha1, size, fileName, fileType: media.fileType, options };
  const upload = await vod.initUpload(file, deadline.signal).catch((error: unknown) => {
    // Return a SHA-1 that this invocation computed, instead of failing and computing it again.
    if (!knownSha1 && isTransient(error)) return undefined;
    throw error;
  });
  if (!upload) return { ...next, next: 'hash' };
  if (upload.state === 'stored') return { ...next, next: 'finish', file: upload.file };

  const bounds = { sha1, size, partSize: upload.partSize };
  const parts = missingParts(upload.held, bounds);
  const missing = parts.reduce((sum, part) => sum + partRange(part, bounds).size, 0);
  reportProgress({ stage: 'parts', pin, missing });
  return { ...next, next: 'parts', upload: { ...bounds, ...planBatches(parts) } };
}

function assertSize(pin: ObjectVersion): void {
  if (pin.size === 0)
    throw new UnsupportedObject(`${urlOf(pin)}: it is empty (0 bytes). Upload the whole video.`);
  if (pin.size > MAX_OBJECT_BYTES) {
    throw new UnsupportedObject(
      `${urlOf(pin)}: expected at most ${MAX_OBJECT_BYTES} bytes (5 TiB), got ${pin.size} bytes. Upload a smaller object.`,
    );
  }
}

/** The file that the object's metadata or tags name, if S3's checksum or ETag verifies it. */
async function verifiedFileOf(
  s3: Services['s3'],
  found: ObjectHead,
  { signal }: Deadline,
): Promise<StoredFile | undefined> {
  const tags = found.metadata['vod-file-id'] ? {} : await readTagsIfAny(s3, found, signal);
  return verifiedFile(found, tags);
}

const isTransient = (error: unknown): boolean =>
  error instanceof DeadlineExceeded || error instanceof VodUnavailable || error instanceof QuotaExceeded;

const urlOf = ({ bucket, key }: ObjectVersion): string => `s3://${bucket}/${key}`;
