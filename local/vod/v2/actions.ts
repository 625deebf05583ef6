import type { Params } from '../../../lib/vod/v2/signature.ts';
import { type Body, hashHex } from '../body.ts';
import type { FileLink, FileStore } from '../file-store.ts';
import { KeyedMutex } from '../keyed-mutex.ts';
import {
  type Action,
  readFinishUpload,
  readInitUpload,
  readSmallFileUpload,
  readUploadPart,
} from './checks.ts';
import type { UploadSession } from './upload-session.ts';
import type { Uploads } from './uploads.ts';
import { createResponse, VodError, type VodResponse } from './vod-error.ts';

/** Reads the body of the request. A body of more than `max` bytes has empty `bytes` and a larger `length`. */
type ReadBody = (max: number) => Promise<Body>;

/** An image has none of the options of a video. */
const IMAGE_OPTIONS = { tags: [], classId: 0, isTranscode: 0, isScreenshot: 0, isWatermark: 0 } as const;

export type Actions = ReturnType<typeof createActions>;

/** The four calls of the protocol. `RequestGuard` has already checked the signature, nonce, and quota. */
export function createActions(files: FileStore, uploads: Uploads, now: () => number) {
  /** InitUpload and FinishUpload of one SHA-1 exclude each other. UploadPart does not wait for them. */
  const mutex = new KeyedMutex<string>();

  const calls: Record<Action, (params: Params, readBody: ReadBody) => Promise<VodResponse>> = {
    async InitUpload(params) {
      const { fileSha, fileSize, dataSize: partSize, ...about } = readInitUpload(params);
      return mutex.run(fileSha, async () => {
        const stored = await findStored(fileSha);
        if (stored) return createResponse(2, stored);
        const session = uploads.get(fileSha);
        const parts = session?.listParts() ?? [];
        // An upload without parts takes a new part size: code 0 returns none, so the client uses its own.
        const canResume = parts.length > 0 || session?.progress.partSize === partSize;
        if (session?.progress.fileSize === fileSize && canResume) {
          await session.describe(about);
          if (parts.length === 0) return createResponse(0);
          return createResponse(1, { listParts: parts, dataSize: session.progress.partSize });
        }
        await removeUpload(fileSha);
        await uploads.create(fileSha, { fileSize, partSize, about });
        return createResponse(0);
      });
    },

    async UploadPart(params, readBody) {
      const { fileSha, offset, dataSize, dataMd5 } = readUploadPart(params);
      const session = getSession(fileSha);
      checkPart(session, offset, dataSize);
      using body = await readBody(dataSize);
      checkLength(body, dataSize);
      const md5 = hashHex('md5', body.bytes);
      if (md5 !== dataMd5) {
        throw new VodError('body', `the body at offset ${offset}: expected MD5 ${dataMd5}, got ${md5}`);
      }
      await session.storePart(offset, md5, body.bytes);
      return createResponse(0);
    },

    async FinishUpload(params) {
      const { fileSha } = readFinishUpload(params);
      return mutex.run(fileSha, async () => {
        // The client may have lost the response to an earlier FinishUpload.
        const stored = await findStored(fileSha);
        if (stored) return createResponse(0, stored);
        const session = getSession(fileSha);
        const { count, total, first } = session.countMissing();
        if (count > 0) {
          const message = `${count} of ${total} parts are missing, the first at offset ${first}`;
          throw new VodError('read', message);
        }
        return session.runSealed(async () => createResponse(0, await storeFile(session)));
      });
    },

    async SmallFileUpload(params, readBody) {
      const { 'extra.fileId': videoId, ...upload } = readSmallFileUpload(params);
      const { fileSha, fileSize: size, fileName, fileType } = upload;
      if (!files.hasVideo(videoId)) {
        throw new VodError('noSuchVideo', `extra.fileId: no video ${videoId} is stored`);
      }
      using body = await readBody(size);
      checkLength(body, size);
      const sha1 = hashHex('sha1', body.bytes);
      if (sha1 !== fileSha) throw new VodError('body', `the body: expected SHA-1 ${fileSha}, got ${sha1}`);

      // `await` keeps the buffer of the body until the image is written.
      return await mutex.run(fileSha, async () => {
        const stored = files.findImage(fileSha);
        const image = stored ?? { fileId: files.createFileId(), fileType };
        if (!stored) {
          await files.writeImage(image, body.bytes);
          const about = { ...IMAGE_OPTIONS, fileName, fileType };
          files.add(image.fileId, { sha1, size, about, createdAt: new Date(now()), coverOf: videoId });
        }
        files.setCover(videoId, image.fileId);
        await files.save();
        return createResponse(stored ? 2 : 0, files.link(image));
      });
    },
  };

  /** Turns a complete upload into a file: verifies its SHA-1, moves it, lists it, and then removes the upload. */
  async function storeFile(session: UploadSession): Promise<FileLink> {
    const { sha1 } = session;
    const { fileSize: size, about } = session.progress;
    const actual = await session.computeSha1();
    if (actual !== sha1) {
      await uploads.remove(session);
      const message = `the whole file: expected SHA-1 ${sha1}, got ${actual}; its parts are dropped, begin again with InitUpload`;
      throw new VodError('read', message);
    }
    const file = { fileId: files.createFileId(), fileType: about.fileType };
    await session.moveTo(file.fileId, files.path(file));
    files.add(file.fileId, { sha1, size, about, createdAt: new Date(now()) });
    await files.save();
    await uploads.remove(session);
    return files.link(file);
  }

  /** Finds the video with these bytes and removes an upload of it. */
  async function findStored(sha1: string): Promise<FileLink | undefined> {
    const video = files.findVideo(sha1);
    if (!video) return undefined;
    await files.save();
    await removeUpload(sha1);
    return files.link(video);
  }

  async function removeUpload(sha1: string): Promise<void> {
    const session = uploads.get(sha1);
    if (session) await uploads.remove(session);
  }

  function getSession(sha1: string): UploadSession {
    const session = uploads.get(sha1);
    if (session) return session;
    throw new VodError('read', `no upload is open for fileSha ${sha1}: begin with InitUpload`);
  }

  return {
    calls,
    /** For the injected fault `upload-lost`. */
    loseUpload: ({ fileSha = '' }: Params) => mutex.run(fileSha, () => removeUpload(fileSha)),
    /** For the injected fault `part-lost`. */
    losePart: async ({ fileSha = '', offset }: Params) => uploads.get(fileSha)?.dropPart(Number(offset)),
  };
}

function checkPart(session: UploadSession, offset: number, dataSize: number): void {
  const { partSize, fileSize } = session.progress;
  const size = session.partSizeAt(offset);
  const reject = (message: string): never => {
    throw new VodError('parameters', message);
  };
  if (offset % partSize !== 0)
    reject(`offset: expected a multiple of the part size ${partSize}, got ${offset}`);
  if (offset >= fileSize) reject(`offset: expected less than the file's ${fileSize} bytes, got ${offset}`);
  if (dataSize !== size) reject(`dataSize: expected ${size} for the part at ${offset}, got ${dataSize}`);
}

function checkLength({ length }: Body, expected: number): void {
  if (length === expected) return;
  const actual = length > expected ? 'more' : `${length}`;
  throw new VodError('body', `the body: expected ${expected} bytes as dataSize says, got ${actual}`);
}
