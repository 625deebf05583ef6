import { type Deadline, DeadlineExceeded } from '../deadline.ts';
import { InvalidInput, QuotaExceeded, UnsupportedObject, VodUnavailable } from '../errors.ts';
import { reportProgress } from '../progress.ts';
import { headObject, type ObjectHead } from '../s3/head-object.ts';
import { readRange } from '../s3/read-range.ts';
import { readTagsIfAny } from '../s3/tags.ts';
import type {
  InitInput,
  InitOutput,
  ObjectVersion,
  StoredFile,
  UploadOptions,
  UploadRequest,
} from '../schemas.ts';
import { readBuffer } from '../upload/buffer-pool.ts';
import { cleanFileName, type Media, mediaTypeOf } from '../upload/media-type.ts';
import { missingParts, partRange, planBatches } from '../upload/plan.ts';
import { hashObject } from '../upload/sha1.ts';
import { mergeOptions, optionsFromMetadata } from '../upload/upload-options.ts';
import { isOwnCopyOf, verifiedFile } from '../write-back/marker.ts';
import { finalResult, resultFromError, SUPERSEDED_REASON } from './result.ts';
import type { Services } from './services.ts';

/** The largest size that the plan's arithmetic, the state, and the history are known to hold (`npm run bench -- history`). */
const MAX_OBJECT_BYTES = 5 * 1024 ** 4;

/**
 * What Init does: decide whether there is anything to do, compute the SHA-1 (or come to a checkpoint on the way), open
 * the upload, and plan what the service still lacks.
 * @throws {ObjectNotFound} {UnsupportedObject} {InvalidInput} and what S3 and VOD may throw
 */
export async function runInit(job: InitInput, services: Services, deadline: Deadline): Promise<InitOutput> {
  try {
    const found = await headObject(services.s3, job.request, deadline.signal);
    const media = mediaTypeOf(found.pin.key, found.contentType);
    const expected = job.pin ?? job.request;
    if (isOtherVersion(found.pin, expected)) {
      if (media.kind === 'image') return finalResult(job, 'superseded', { reason: SUPERSEDED_REASON });
      const file = isOwnCopyOf(found, expected) ? verifiedFile(found) : undefined;
      return file
        ? finalResult({ ...job, pin: found.pin }, 'unchanged', file)
        : finalResult(job, 'superseded', { reason: SUPERSEDED_REASON });
    }
    return await openUpload(job, found, media, services, deadline);
  } catch (error) {
    return resultFromError(error, job);
  }
}

async function openUpload(
  job: InitInput,
  found: ObjectHead,
  media: Media,
  { s3, vod, defaults }: Services,
  deadline: Deadline,
): Promise<InitOutput> {
  const { pin } = found;
  const { request, hash, ...rest } = job;
  const object = `s3://${pin.bucket}/${pin.key}`;
  if (media.kind === 'image') return { ...job, next: 'cover', pin };
  if (request.fileId !== undefined) {
    throw new InvalidInput(`${object}: it is no image: fileId names the file that an image is the cover of`);
  }
  if (media.kind === 'other') return finalResult(job, 'skipped', { reason: media.reason });
  const options = optionsFor(request, found, defaults, object);
  if (pin.size === 0)
    throw new UnsupportedObject(`${object}: it is empty (0 bytes): put the whole video there`);
  if (pin.size > MAX_OBJECT_BYTES) {
    throw new UnsupportedObject(
      `${object}: it has ${pin.size} bytes, at most ${MAX_OBJECT_BYTES} (5 TiB) can be brought over`,
    );
  }
  const known = job.round === 0 && !request.force ? await verifiedFileOf(s3, found, deadline) : undefined;
  if (known) return finalResult({ ...job, pin }, 'unchanged', known);

  const sha1 = job.sha1 ?? found.sha1;
  const read = (range: Parameters<typeof readRange>[2], signal: AbortSignal) =>
    readBuffer(range.size, signal, (into) => readRange(s3, pin, range, signal, into));
  const pass = sha1 ? { sha1 } : await hashObject(pin, read, deadline, hash);
  if ('checkpoint' in pass) return { ...job, next: 'hash', pin, hash: pass.checkpoint };

  const next = { ...rest, request, pin, sha1: pass.sha1 };
  const { fileType } = media;
  const fileName = options.fileName === undefined ? media.fileName : cleanFileName(options.fileName);
  const file = { sha1: pass.sha1, size: pin.size, fileName, fileType, options };
  const opened = await vod.initUpload(file, deadline.signal).catch((error: unknown) => {
    // A SHA-1 that took this invocation's time is handed over rather than computed again.
    if (!sha1 && isPassing(error)) return undefined;
    throw error;
  });
  if (!opened) return { ...next, next: 'hash' };
  if (opened.state === 'stored') return { ...next, next: 'finish', file: opened.file };

  const bounds = { sha1: pass.sha1, size: pin.size, partSize: opened.partSize };
  const missing = missingParts(opened.held, bounds);
  reportProgress({
    stage: 'parts',
    pin,
    missing: missing.reduce((sum, part) => sum + partRange(part, bounds).size, 0),
  });
  return { ...next, next: 'parts', upload: { ...bounds, ...planBatches(missing) } };
}

/** The file that the object carries, and S3 vouches for, if it does: in its metadata, else in its tags. */
async function verifiedFileOf(
  s3: Services['s3'],
  found: ObjectHead,
  { signal }: Deadline,
): Promise<StoredFile | undefined> {
  const tags = found.metadata['vod-file-id'] ? {} : await readTagsIfAny(s3, found, signal);
  return verifiedFile(found, tags);
}

const isPassing = (error: unknown): boolean =>
  error instanceof DeadlineExceeded || error instanceof VodUnavailable || error instanceof QuotaExceeded;

/** The object is no longer the one that the event named, or that an earlier step of this upload was pinned to. */
const isOtherVersion = (now: ObjectVersion, expected: Pick<UploadRequest, 'etag' | 'versionId'>): boolean =>
  (expected.etag !== undefined && expected.etag !== now.etag) ||
  (expected.versionId !== undefined && expected.versionId !== now.versionId);

const optionsFor = (
  request: UploadRequest,
  { metadata }: ObjectHead,
  defaults: UploadOptions,
  object: string,
): UploadOptions => mergeOptions(defaults, optionsFromMetadata(metadata, object), request.options);
