import { type Deadline, OutOfTime } from '../deadline.ts';
import { InvalidInput, QuotaExceeded, UnfitObject, VodUnavailable } from '../errors.ts';
import { report } from '../progress.ts';
import { type Found, find, readRange } from '../s3/head-object.ts';
import { readTagsOf } from '../s3/tags.ts';
import type { InitInput, InitOutput, Options, Pin, Request, StoredFile } from '../schemas.ts';
import { readBuffer } from '../upload/buffer-pool.ts';
import { cleanFileName, type Media, mediaOf } from '../upload/media-type.ts';
import { missingParts, planBatches, rangeOf } from '../upload/plan.ts';
import { sha1Of } from '../upload/sha1.ts';
import { mergeOptions, optionsFromMetadata } from '../upload/upload-options.ts';
import { vouchedFile, wasWrittenFrom } from '../write-back/write-back.ts';
import { done, endedBy, SUPERSEDED } from './result.ts';
import type { Services } from './services.ts';

/** The largest size that the plan's arithmetic, the state, and the history are known to hold (`npm run bench -- history`). */
const MAX_OBJECT_BYTES = 5 * 1024 ** 4;

/**
 * What Init does: decide whether there is anything to do, compute the SHA-1 (or come to a checkpoint on the way), open
 * the upload, and plan what the service still lacks.
 * @throws {ObjectNotFound} {UnfitObject} {InvalidInput} and what S3 and VOD may throw
 */
export async function openUpload(
  job: InitInput,
  services: Services,
  deadline: Deadline,
): Promise<InitOutput> {
  try {
    const found = await find(services.s3, job.request, deadline.signal);
    const media = mediaOf(found.pin.key, found.contentType);
    const expected = job.pin ?? job.request;
    if (isAnother(found.pin, expected)) {
      if (media.kind === 'picture') return done(job, 'superseded', { why: SUPERSEDED });
      const file = wasWrittenFrom(found, expected) ? vouchedFile(found) : undefined;
      return file
        ? done({ ...job, pin: found.pin }, 'unchanged', file)
        : done(job, 'superseded', { why: SUPERSEDED });
    }
    return await openFound(job, found, media, services, deadline);
  } catch (error) {
    return endedBy(error, job);
  }
}

async function openFound(
  job: InitInput,
  found: Found,
  media: Media,
  { s3, vod, defaults }: Services,
  deadline: Deadline,
): Promise<InitOutput> {
  const { pin } = found;
  const { request, hash, ...rest } = job;
  const object = `s3://${pin.bucket}/${pin.key}`;
  if (media.kind === 'picture') return { ...job, next: 'cover', pin };
  if (request.fileId !== undefined) {
    throw new InvalidInput(
      `${object}: it is no picture: fileId names the file that a picture is the cover of`,
    );
  }
  if (media.kind === 'other') return done(job, 'skipped', { why: media.why });
  const options = optionsFor(request, found, defaults, object);
  if (pin.size === 0) throw new UnfitObject(`${object}: it is empty (0 bytes): put the whole video there`);
  if (pin.size > MAX_OBJECT_BYTES) {
    throw new UnfitObject(
      `${object}: it has ${pin.size} bytes, at most ${MAX_OBJECT_BYTES} (5 TiB) can be brought over`,
    );
  }
  const known = job.round === 0 && !request.force ? await carriedFile(s3, found, deadline) : undefined;
  if (known) return done({ ...job, pin }, 'unchanged', known);

  const sha1 = job.sha1 ?? found.sha1;
  const read = (range: Parameters<typeof readRange>[2], signal: AbortSignal) =>
    readBuffer(range.size, signal, (into) => readRange(s3, pin, range, signal, into));
  const pass = sha1 ? { sha1 } : await sha1Of(pin, read, deadline, hash);
  if ('checkpoint' in pass) return { ...job, next: 'hash', pin, hash: pass.checkpoint };

  const next = { ...rest, request, pin, sha1: pass.sha1 };
  const { fileType } = media;
  const fileName = options.fileName === undefined ? media.fileName : cleanFileName(options.fileName);
  const file = { sha1: pass.sha1, size: pin.size, fileName, fileType, options };
  const opened = await vod.open(file, deadline.signal).catch((error: unknown) => {
    // A SHA-1 that took this invocation's time is handed over rather than computed again.
    if (!sha1 && isPassing(error)) return undefined;
    throw error;
  });
  if (!opened) return { ...next, next: 'hash' };
  if (opened.state === 'stored') return { ...next, next: 'finish', file: opened.file };

  const bounds = { sha1: pass.sha1, size: pin.size, partSize: opened.partSize };
  const missing = missingParts(opened.held, bounds);
  report({
    stage: 'parts',
    pin,
    missing: missing.reduce((sum, part) => sum + rangeOf(part, bounds).size, 0),
  });
  return { ...next, next: 'parts', upload: { ...bounds, ...planBatches(missing) } };
}

/** The file that the object carries, and S3 vouches for, if it does: in its metadata, else in its tags. */
async function carriedFile(
  s3: Services['s3'],
  found: Found,
  { signal }: Deadline,
): Promise<StoredFile | undefined> {
  const tags = found.metadata['vod-file-id'] ? {} : await readTagsOf(s3, found, signal);
  return vouchedFile(found, tags);
}

const isPassing = (error: unknown): boolean =>
  error instanceof OutOfTime || error instanceof VodUnavailable || error instanceof QuotaExceeded;

/** The object is no longer the one that the event named, or that an earlier step of this upload was pinned to. */
const isAnother = (now: Pin, expected: Pick<Request, 'etag' | 'versionId'>): boolean =>
  (expected.etag !== undefined && expected.etag !== now.etag) ||
  (expected.versionId !== undefined && expected.versionId !== now.versionId);

const optionsFor = (request: Request, { metadata }: Found, defaults: Options, object: string): Options =>
  mergeOptions(defaults, optionsFromMetadata(metadata, object), request.options);
