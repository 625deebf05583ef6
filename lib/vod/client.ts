import { createHash } from 'node:crypto';
import pRetry from 'p-retry';
import * as v from 'valibot';
import type { VodSettings } from '../config.ts';
import { PartRejected, QuotaExceeded, UploadNotFound, VodRejected, VodUnavailable } from '../errors.ts';
import { reportRetries } from '../progress.ts';
import type { Quota } from '../quota/quota.ts';
import { FileId, formatIssues, type Sha1, type StoredFile, type UploadOptions } from '../schemas.ts';
import type { ByteRange, HeldPart } from '../upload/plan.ts';
import type { PartList } from './part-list.ts';
import {
  describeError,
  errorActionFor,
  FinishUploadResponse,
  InitUploadResponse,
  SmallFileUploadResponse,
  UPLOAD_STATE_CODES,
  UploadPartResponse,
  type VodReply,
} from './responses.ts';
import type { Params } from './signature.ts';
import { createTransport, type VodCall } from './transport.ts';

/** The four calls. Fields, limits and codes: the vod2 upload protocol (`vod2.qcloud.com`). */

/** Part size asked for, in bytes: the largest that `InitUpload` allows (524,288 to 1,048,576). */
export const PART_SIZE = 1_048_576;
const MIN_PART_SIZE = 524_288;

export type NewFile = Readonly<{
  sha1: Sha1;
  size: number;
  fileName: string;
  fileType: string;
  options: UploadOptions;
}>;
export type CoverImage = Readonly<{
  sha1: Sha1;
  bytes: Uint8Array;
  fileName: string;
  fileType: string;
  coverOf: FileId;
}>;

/** `stored`: the service has the file already. `open`: it holds these parts, and wants all in this part size. */
export type InitUploadResult =
  | { state: 'stored'; file: StoredFile }
  | { state: 'open'; partSize: number; held: Iterable<HeldPart> };

export type VodClient = Readonly<{
  /** `InitUpload`. @throws {VodRejected} also where the service wants a part size out of range */
  initUpload(file: NewFile, signal: AbortSignal): Promise<InitUploadResult>;
  /** `UploadPart`: settled only by this part's own reply. @throws {PartRejected} when its bytes must be read again @throws {UploadNotFound} */
  uploadPart(sha1: Sha1, range: ByteRange, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** `FinishUpload`. @throws {UploadNotFound} when the service has not got all parts */
  finishUpload(sha1: Sha1, signal: AbortSignal): Promise<StoredFile>;
  /** `SmallFileUpload`: an image, under 1,048,576 bytes, as the cover of a file. */
  uploadSmallFile(image: CoverImage, signal: AbortSignal): Promise<StoredFile>;
  /** Closes idle connections. */
  close(): void;
}>;

/** Repeats of one call inside an invocation, with exponential backoff and jitter; the state machine repeats the rest. */
const RETRY = { retries: 4, minTimeout: 200, factor: 3, maxTimeout: 5_000, randomize: true } as const;

/** @param quota of the account: asked before each request */
export function createVodClient(settings: VodSettings, quota: Quota): VodClient {
  const sender = createTransport(settings);

  async function call<const S extends v.GenericSchema>(
    schema: S,
    request: VodCall,
    signal: AbortSignal,
  ): Promise<{ reply: v.InferOutput<S>; parts: PartList }> {
    let last: Error | undefined;
    const attempt = async (attempts: number): Promise<{ reply: v.InferOutput<S>; parts: PartList }> => {
      if (attempts > 1) reportRetries({ of: 'VOD', count: 1 });
      await quota.take(request.action, signal);
      const { reply, parts } = await sender.send(request, signal);
      const parsed = v.safeParse(schema, reply);
      if (parsed.success) return { reply: parsed.output, parts };
      const fault = toVodError(request, reply, formatIssues(parsed.issues));
      if (fault instanceof QuotaRefused) await quota.pause(request.action);
      throw fault;
    };
    try {
      return await pRetry(attempt, {
        ...RETRY,
        signal,
        shouldRetry: ({ error }) => {
          last = error;
          return error instanceof VodUnavailable || error instanceof QuotaRefused;
        },
      });
    } catch (error) {
      const fault = signal.aborted && last ? last : error; // what went wrong says more than that the time ran out over it
      throw fault instanceof StaleUpload ? new UploadNotFound(fault.message, { cause: fault }) : fault;
    }
  }

  return {
    async initUpload(file, signal) {
      const { reply, parts } = await call(
        InitUploadResponse,
        {
          action: 'InitUpload',
          about: `${file.fileName}.${file.fileType}, ${file.size} bytes, SHA-1 ${file.sha1}`,
          params: { ...describeFile(file), dataSize: String(PART_SIZE), ...optionParams(file.options) },
        },
        signal,
      );
      switch (reply.code) {
        case 0:
          return { state: 'open', partSize: PART_SIZE, held: [] };
        case 1:
          return { state: 'open', partSize: agreedPartSize(reply.dataSize, parts, file), held: parts };
        case 2:
          return { state: 'stored', file: storedFile(reply, file.sha1) };
      }
    },

    async uploadPart(sha1, { offset, size }, bytes, signal) {
      const dataMd5 = createHash('md5').update(bytes).digest('hex');
      const params = { fileSha: sha1, offset: String(offset), dataSize: String(size), dataMd5 };
      const about = `part at ${offset}, ${size} bytes, of SHA-1 ${sha1}`;
      await call(UploadPartResponse, { action: 'UploadPart', about, params, body: bytes }, signal);
    },

    async finishUpload(sha1, signal) {
      const request: VodCall = { action: 'FinishUpload', about: `SHA-1 ${sha1}`, params: { fileSha: sha1 } };
      const { reply } = await call(FinishUploadResponse, request, signal);
      return storedFile(reply, sha1);
    },

    async uploadSmallFile({ sha1, bytes, fileName, fileType, coverOf }, signal) {
      const size = bytes.byteLength;
      const params = {
        ...describeFile({ sha1, size, fileName, fileType }),
        dataSize: String(size),
        'extra.usage': '1',
        'extra.fileId': coverOf,
      };
      const about = `${fileName}.${fileType}, ${size} bytes, as the cover of ${coverOf}`;
      const { reply } = await call(
        SmallFileUploadResponse,
        { action: 'SmallFileUpload', about, params, body: bytes },
        signal,
      );
      return storedFile(reply, sha1);
    },

    close: sender.close,
  };
}

const describeFile = (file: Omit<NewFile, 'options'>): Params => ({
  fileName: file.fileName,
  fileSha: file.sha1,
  fileSize: String(file.size),
  fileType: file.fileType,
});

function optionParams({ tags = [], classId, transcode, screenshot, watermark }: UploadOptions): Params {
  const flags = { isTranscode: transcode, isScreenshot: screenshot, isWatermark: watermark };
  return {
    ...Object.fromEntries(tags.map((tag, n) => [`tags.${n + 1}`, tag.toWellFormed()])),
    ...(classId !== undefined && { classId: String(classId) }),
    ...Object.fromEntries(
      Object.entries(flags)
        .filter(([, flag]) => flag !== undefined)
        .map(([name, flag]) => [name, flag ? '1' : '0']),
    ),
  };
}

/** The part size that the upload goes on with: the service's word, else what the listed parts show, else what was asked. */
function agreedPartSize(said: number | undefined, parts: Iterable<HeldPart>, file: NewFile): number {
  const partSize = said ?? sizeOfWholeParts(parts, file.size) ?? PART_SIZE;
  if (partSize < MIN_PART_SIZE || partSize > PART_SIZE) {
    throw new VodRejected(
      `InitUpload ${file.fileName}.${file.fileType}: expected a part size (dataSize) of ${MIN_PART_SIZE} to ${PART_SIZE} ` +
        `bytes, the service wants ${partSize}`,
    );
  }
  return partSize;
}

/** Only the last part may be shorter: of the others, any tells the part size. */
function sizeOfWholeParts(parts: Iterable<HeldPart>, size: number): number | undefined {
  for (const { offset, dataSize } of parts) if (offset + dataSize < size) return dataSize;
  return undefined;
}

const storedFile = (reply: { fileId: string; url: string }, sha1: Sha1): StoredFile => ({
  fileId: v.parse(FileId, reply.fileId),
  url: reply.url,
  sha1,
});

/** Refused by the service: somebody else uses the quota too. Repeated after a pause; a long wait is the state machine's. */
class QuotaRefused extends QuotaExceeded {}

/** The service cannot write or read what it holds of the upload: repeated, and when that does not help, begun again. */
class StaleUpload extends VodUnavailable {}

/** The error for a reply that is not the hoped-for one. */
function toVodError(request: VodCall, reply: VodReply, shape: string): Error {
  const at = `${request.action} ${request.about}`;
  // A code that means success, but not in the shape the document gives it: as good as no reply.
  if (reply.code >= 0 && reply.code <= 2) return new VodUnavailable(`${at}: unexpected reply: ${shape}`);
  const text = `${at}: ${describeError(reply)}`;
  // There is nothing before it to go back to.
  const begins = request.action === 'InitUpload' || request.action === 'SmallFileUpload';
  switch (errorActionFor(reply)) {
    case 'stop':
      return new VodRejected(text);
    case 'repeat':
      return UPLOAD_STATE_CODES.has(reply.code) && !begins ? new StaleUpload(text) : new VodUnavailable(text);
    case 'wait':
      return new QuotaRefused(text);
    case 'lost':
      return begins ? new VodUnavailable(text) : new UploadNotFound(text);
    case 'resend':
      return new PartRejected(text);
  }
}
