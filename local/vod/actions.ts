import type { Params } from '../../lib/vod/signature.ts';
import { type Body, hashHex } from './body.ts';
import {
  type Action,
  readFinishUpload,
  readInitUpload,
  readSmallFileUpload,
  readUploadPart,
} from './checks.ts';
import type { FileStore } from './file-store.ts';
import { KeyedMutex } from './keyed-mutex.ts';
import type { UploadSession } from './upload-session.ts';
import type { Uploads } from './uploads.ts';
import { createResponse, VodError, type VodResponse } from './vod-error.ts';

/** Reads the body of the request. A body of more than `max` bytes has empty `bytes` and a larger `length`. */
type ReadBody = (max: number) => Promise<Body>;

type FileLink = Readonly<{ fileId: string; url: string }>;

/** An image has none of the options of a video. */
const IMAGE_OPTIONS = { tags: [], classId: 0, isTranscode: 0, isScreenshot: 0, isWatermark: 0 } as const;

/** The four calls of the protocol. `RequestGuard` has already checked the signature, nonce, and quota. */
export class Actions {
  readonly #files: FileStore;
  readonly #uploads: Uploads;
  readonly #now: () => number;
  /** InitUpload and FinishUpload of one SHA-1 exclude each other. UploadPart does not wait for them. */
  readonly #mutex = new KeyedMutex<string>();

  constructor(files: FileStore, uploads: Uploads, now: () => number) {
    this.#files = files;
    this.#uploads = uploads;
    this.#now = now;
  }

  run(action: Action, params: Params, readBody: ReadBody): Promise<VodResponse> {
    switch (action) {
      case 'InitUpload':
        return this.#initUpload(params);
      case 'UploadPart':
        return this.#uploadPart(params, readBody);
      case 'FinishUpload':
        return this.#finishUpload(params);
      case 'SmallFileUpload':
        return this.#smallFileUpload(params, readBody);
    }
  }

  /** For the injected fault `upload-lost`. */
  async loseUpload({ fileSha = '' }: Params): Promise<void> {
    await this.#mutex.run(fileSha, () => this.#removeUpload(fileSha));
  }

  /** For the injected fault `part-lost`. */
  async losePart({ fileSha = '', offset }: Params): Promise<void> {
    await this.#uploads.get(fileSha)?.dropPart(Number(offset));
  }

  async #initUpload(params: Params): Promise<VodResponse> {
    const { fileSha, fileSize, dataSize: partSize, ...about } = readInitUpload(params);
    return this.#mutex.run(fileSha, async () => {
      const stored = await this.#findStored(fileSha);
      if (stored) return createResponse(2, stored);
      const session = this.#uploads.get(fileSha);
      const parts = session?.listParts() ?? [];
      // An upload without parts takes a new part size: code 0 returns none, so the client uses its own.
      if (
        session?.progress.fileSize === fileSize &&
        (parts.length > 0 || session.progress.partSize === partSize)
      ) {
        await session.describe(about);
        if (parts.length === 0) return createResponse(0);
        return createResponse(1, { listParts: parts, dataSize: session.progress.partSize });
      }
      await this.#removeUpload(fileSha);
      await this.#uploads.create(fileSha, { fileSize, partSize, about });
      return createResponse(0);
    });
  }

  async #uploadPart(params: Params, readBody: ReadBody): Promise<VodResponse> {
    const { fileSha, offset, dataSize, dataMd5 } = readUploadPart(params);
    const session = this.#getSession(fileSha);
    checkPart(session, offset, dataSize);
    using body = await readBody(dataSize);
    checkLength(body, dataSize);
    const md5 = hashHex('md5', body.bytes);
    if (md5 !== dataMd5) {
      throw new VodError('body', `the body at offset ${offset}: expected MD5 ${dataMd5}, got ${md5}`);
    }
    await session.storePart(offset, md5, body.bytes);
    return createResponse(0);
  }

  async #finishUpload(params: Params): Promise<VodResponse> {
    const { fileSha } = readFinishUpload(params);
    return this.#mutex.run(fileSha, async () => {
      // The client may have lost the response to an earlier FinishUpload.
      const stored = await this.#findStored(fileSha);
      if (stored) return createResponse(0, stored);
      const session = this.#getSession(fileSha);
      const { count, total, first } = session.countMissing();
      if (count > 0) {
        const message = `${count} of ${total} parts are missing, the first at offset ${first}`;
        throw new VodError('finishFailed', message);
      }
      return session.runSealed(async () => createResponse(0, await this.#storeFile(session)));
    });
  }

  async #smallFileUpload(params: Params, readBody: ReadBody): Promise<VodResponse> {
    const {
      fileSha,
      fileSize: size,
      'extra.fileId': videoId,
      fileName,
      fileType,
    } = readSmallFileUpload(params);
    if (!this.#files.hasVideo(videoId)) {
      throw new VodError('noSuchVideo', `extra.fileId: no video ${videoId} is stored`);
    }
    using body = await readBody(size);
    checkLength(body, size);
    const sha1 = hashHex('sha1', body.bytes);
    if (sha1 !== fileSha) throw new VodError('body', `the body: expected SHA-1 ${fileSha}, got ${sha1}`);

    // `await` keeps the buffer of the body until the image is written.
    return await this.#mutex.run(fileSha, async () => {
      const stored = this.#files.findImage(fileSha);
      const image = stored ?? { fileId: this.#files.createFileId(), fileType };
      if (!stored) {
        await this.#files.writeImage(image, body.bytes);
        const about = { ...IMAGE_OPTIONS, fileName, fileType };
        const createdAt = new Date(this.#now());
        this.#files.add(image.fileId, { sha1, size, about, createdAt, coverOf: videoId });
      }
      this.#files.setCover(videoId, image.fileId);
      await this.#files.save();
      return createResponse(stored ? 2 : 0, this.#link(image));
    });
  }

  /** Turns a complete upload into a file: verifies its SHA-1, moves it, lists it, and then removes the upload. */
  async #storeFile(session: UploadSession): Promise<FileLink> {
    const { sha1 } = session;
    const { fileSize: size, about } = session.progress;
    const actual = await session.computeSha1();
    if (actual !== sha1) {
      await this.#uploads.remove(session);
      const message = `the whole file: expected SHA-1 ${sha1}, got ${actual}; its parts are dropped, begin again with InitUpload`;
      throw new VodError('finishFailed', message);
    }
    const file = { fileId: this.#files.createFileId(), fileType: about.fileType };
    await session.moveTo(file.fileId, this.#files.path(file));
    this.#files.add(file.fileId, { sha1, size, about, createdAt: new Date(this.#now()) });
    await this.#files.save();
    await this.#uploads.remove(session);
    return this.#link(file);
  }

  /** Finds the video with these bytes and removes an upload of it. */
  async #findStored(sha1: string): Promise<FileLink | undefined> {
    const video = this.#files.findVideo(sha1);
    if (!video) return undefined;
    await this.#files.save();
    await this.#removeUpload(sha1);
    return this.#link(video);
  }

  async #removeUpload(sha1: string): Promise<void> {
    const session = this.#uploads.get(sha1);
    if (session) await this.#uploads.remove(session);
  }

  #getSession(sha1: string): UploadSession {
    const session = this.#uploads.get(sha1);
    if (session) return session;
    throw new VodError('read', `no upload is open for fileSha ${sha1}: begin with InitUpload`);
  }

  #link({ fileId, fileType }: Readonly<{ fileId: string; fileType: string }>): FileLink {
    return { fileId, url: this.#files.url({ fileId, fileType }) };
  }
}

function checkPart(session: UploadSession, offset: number, dataSize: number): void {
  const { partSize, fileSize } = session.progress;
  const size = session.partSizeAt(offset);
  let problem: string | undefined;
  if (offset % partSize !== 0) {
    problem = `offset: expected a multiple of the part size ${partSize}, got ${offset}`;
  } else if (offset >= fileSize) {
    problem = `offset: expected less than the file's ${fileSize} bytes, got ${offset}`;
  } else if (dataSize !== size) {
    problem = `dataSize: expected ${size} for the part at ${offset}, got ${dataSize}`;
  }
  if (problem) throw new VodError('parameters', problem);
}

function checkLength({ length }: Body, expected: number): void {
  if (length === expected) return;
  const actual = length > expected ? 'more' : `${length}`;
  throw new VodError('body', `the body: expected ${expected} bytes as dataSize says, got ${actual}`);
}
