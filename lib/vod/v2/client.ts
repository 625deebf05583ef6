import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { VodSettings } from '../../config.ts';
import { PartRejected, UploadNotFound, VodRejected, VodUnavailable } from '../../errors.ts';
import type { Quota } from '../../quota/quota.ts';
import { formatIssues, type Sha1, type StoredFile, type UploadOptions } from '../../schemas.ts';
import type { ByteRange, HeldPart } from '../../upload/plan.ts';
import { VodQuotaExceeded, withRetries } from '../retries.ts';
import type { CoverImage } from '../target.ts';
import type { PartList } from './part-list.ts';
import {
  describeError,
  errorActionFor,
  FinishUploadResponse,
  InitUploadResponse,
  SmallFileUploadResponse,
  UPLOAD_STATE_CODES,
  UploadPartResponse,
  type VodResponse,
} from './responses.ts';
import type { Params } from './signature.ts';
import { createTransport, type VodCall } from './transport.ts';

/** The four calls of the vod2 upload protocol (`vod2.qcloud.com`), which defines their fields, limits, and codes. */

/** The part size to request, in bytes: the largest that `InitUpload` accepts. */
export const PART_SIZE = 1_048_576;
const MIN_PART_SIZE = 524_288;

export type NewFile = Readonly<{
  sha1: Sha1;
  size: number;
  fileName: string;
  fileType: string;
  options: UploadOptions;
}>;

export type HashedFile = StoredFile & Readonly<{ sha1: Sha1 }>;

/** `stored`: VOD has the file already. `open`: VOD holds these parts, and expects all parts in this size. */
export type InitUploadResult =
  | { state: 'stored'; file: HashedFile }
  | { state: 'open'; partSize: number; held: Iterable<HeldPart> };

/** Each call retries, then throws {VodUnavailable}, {VodRejected}, {QuotaExceeded}, or the reason of the signal. */
export type VodClient = Readonly<{
  /** @throws {VodRejected} also when VOD requests a part size out of range */
  initUpload(file: NewFile, signal: AbortSignal): Promise<InitUploadResult>;
  /**
   * Resolves when VOD confirms this part.
   * @throws {PartRejected} when VOD received other bytes; read them again
   * @throws {UploadNotFound} when VOD lost the upload
   */
  uploadPart(sha1: Sha1, range: ByteRange, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** @throws {UploadNotFound} when VOD lacks parts */
  finishUpload(sha1: Sha1, signal: AbortSignal): Promise<HashedFile>;
  /** Sends an image of less than 1,048,576 bytes as the cover of a file. */
  uploadSmallFile(image: CoverImage, signal: AbortSignal): Promise<StoredFile>;
  /** Closes idle connections. */
  close(): void;
}>;

/** @param quota each request takes a call from it */
export function createVodClient(settings: VodSettings, quota: Quota): VodClient {
  const transport = createTransport(settings);

  async function send<const S extends v.GenericSchema>(
    schema: S,
    call: VodCall,
    signal: AbortSignal,
  ): Promise<{ response: v.InferOutput<S>; parts: PartList }> {
    try {
      return await withRetries(quota, call.action, signal, async () => {
        const { response, parts } = await transport.send(call, signal);
        const parsed = v.safeParse(schema, response);
        if (parsed.success) return { response: parsed.output, parts };
        throw toVodError(call, response, formatIssues(parsed.issues));
      });
    } catch (error) {
      throw error instanceof UploadStateError ? new UploadNotFound(error.message, { cause: error }) : error;
    }
  }

  return {
    async initUpload(file, signal) {
      const target = `${file.fileName}.${file.fileType}, ${file.size} bytes, SHA-1 ${file.sha1}`;
      const params = { ...describeFile(file), dataSize: String(PART_SIZE), ...optionParams(file.options) };
      const call: VodCall = { action: 'InitUpload', target, params };
      const { response, parts } = await send(InitUploadResponse, call, signal);
      switch (response.code) {
        case 0:
          return { state: 'open', partSize: PART_SIZE, held: [] };
        case 1:
          return { state: 'open', partSize: choosePartSize(response.dataSize, parts, file), held: parts };
        case 2:
          return { state: 'stored', file: toStoredFile(response, file.sha1) };
      }
    },

    async uploadPart(sha1, { offset, size }, body, signal) {
      const dataMd5 = createHash('md5').update(body).digest('hex');
      const target = `part at ${offset}, ${size} bytes, of SHA-1 ${sha1}`;
      const params = { fileSha: sha1, offset: String(offset), dataSize: String(size), dataMd5 };
      await send(UploadPartResponse, { action: 'UploadPart', target, params, body }, signal);
    },

    async finishUpload(sha1, signal) {
      const call: VodCall = { action: 'FinishUpload', target: `SHA-1 ${sha1}`, params: { fileSha: sha1 } };
      const { response } = await send(FinishUploadResponse, call, signal);
      return toStoredFile(response, sha1);
    },

    async uploadSmallFile({ bytes: body, coverOf, ...image }, signal) {
      const size = body.byteLength;
      const target = `${image.fileName}.${image.fileType}, ${size} bytes, as the cover of ${coverOf}`;
      const params = {
        ...describeFile({ ...image, size }),
        dataSize: String(size),
        'extra.usage': '1',
        'extra.fileId': coverOf,
      };
      const call: VodCall = { action: 'SmallFileUpload', target, params, body };
      const { response } = await send(SmallFileUploadResponse, call, signal);
      return toStoredFile(response, image.sha1);
    },

    close: transport.close,
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
      Object.entries(flags).flatMap(([name, flag]) => (flag === undefined ? [] : [[name, flag ? '1' : '0']])),
    ),
  };
}

/** Returns the part size that VOD requests, or the size of the held parts, or the size that was requested. */
function choosePartSize(requested: number | undefined, parts: Iterable<HeldPart>, file: NewFile): number {
  const partSize = requested ?? findPartSize(parts, file.size) ?? PART_SIZE;
  if (partSize >= MIN_PART_SIZE && partSize <= PART_SIZE) return partSize;
  throw new VodRejected(
    `InitUpload ${file.fileName}.${file.fileType}: expected a part size (dataSize) of ${MIN_PART_SIZE} to ${PART_SIZE} ` +
      `bytes, got ${partSize}`,
  );
}

/** Every part except the last one has the part size. */
function findPartSize(parts: Iterable<HeldPart>, size: number): number | undefined {
  for (const { offset, dataSize } of parts) if (offset + dataSize < size) return dataSize;
  return undefined;
}

const toStoredFile = ({ fileId, url }: Omit<StoredFile, 'sha1'>, sha1: Sha1): HashedFile => ({
  fileId,
  url,
  sha1,
});

/** VOD cannot write or read its state of the upload. Retried; if this does not help, the upload restarts at InitUpload. */
class UploadStateError extends VodUnavailable {}

/** @param issues the differences between the response and the schema of a success */
function toVodError(call: VodCall, response: VodResponse, issues: string): Error {
  const at = `${call.action} ${call.target}`;
  // A code for success without the documented fields.
  if (response.code >= 0 && response.code <= 2)
    return new VodUnavailable(`${at}: unexpected response: ${issues}`);
  const message = `${at}: ${describeError(response)}`;
  // These calls have no earlier call to restart from.
  const isFirstCall = call.action === 'InitUpload' || call.action === 'SmallFileUpload';
  switch (errorActionFor(response)) {
    case 'stop':
      return new VodRejected(message);
    case 'repeat':
      return UPLOAD_STATE_CODES.has(response.code) && !isFirstCall
        ? new UploadStateError(message)
        : new VodUnavailable(message);
    case 'wait':
      return new VodQuotaExceeded(message);
    case 'lost':
      return isFirstCall ? new VodUnavailable(message) : new UploadNotFound(message);
    case 'resend':
      return new PartRejected(message);
  }
}
