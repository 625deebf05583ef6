import type { Params } from '../../lib/vod/signature.ts';
import { type Body, digest } from './body.ts';
import {
  type Action,
  checkFinishUpload,
  checkInitUpload,
  checkSmallFileUpload,
  checkUploadPart,
} from './checks.ts';
import type { FileStore } from './file-store.ts';
import { KeyedMutex } from './keyed-mutex.ts';
import type { UploadSession } from './upload-session.ts';
import type { Uploads } from './uploads.ts';
import { accepted, type Reply, VodError } from './vod-error.ts';

/** Reads the request's body; it is empty and `length` above `most` where the body is longer than that. */
type ReadBody = (most: number) => Promise<Body>;

/** The four calls, on what is stored. Signature, nonce and quota are settled before. */
export class Actions {
  readonly #library: FileStore;
  readonly #uploads: Uploads;
  readonly #now: () => number;
  /** Opening and closing an upload exclude each other for one SHA-1; its parts need not wait for either. */
  readonly #turns = new KeyedMutex<string>();

  constructor(library: FileStore, uploads: Uploads, now: () => number) {
    this.#library = library;
    this.#uploads = uploads;
    this.#now = now;
  }

  answer(action: Action, params: Params, body: ReadBody): Promise<Reply> {
    switch (action) {
      case 'InitUpload':
        return this.#initUpload(params);
      case 'UploadPart':
        return this.#uploadPart(params, body);
      case 'FinishUpload':
        return this.#finishUpload(params);
      case 'SmallFileUpload':
        return this.#smallFileUpload(params, body);
    }
  }

  /** For the fault switches: as if the service had lost the upload. */
  async forgetUpload(params: Params): Promise<void> {
    const { fileSha = '' } = params;
    await this.#turns.take(fileSha, async () => {
      const session = this.#uploads.get(fileSha);
      if (session) await this.#uploads.end(session);
    });
  }

  /** For the fault switches: as if the service had lost a part that it holds. */
  async forgetPart({ fileSha = '', offset }: Params): Promise<void> {
    await this.#uploads.get(fileSha)?.drop(Number(offset));
  }

  async #initUpload(params: Params): Promise<Reply> {
    const { fileSha, fileSize, dataSize: partSize, ...about } = checkInitUpload(params);
    return this.#turns.take(fileSha, async () => {
      const stored = await this.#stored(fileSha);
      if (stored) return accepted(2, stored);
      const session = this.#uploads.get(fileSha);
      const parts = session?.parts() ?? [];
      if (session?.fileSize === fileSize && (parts.length > 0 || session.partSize === partSize)) {
        await session.describe(about);
        return parts.length > 0 ? accepted(1, { listParts: parts, dataSize: session.partSize }) : accepted(0);
      }
      // Another size: not the file it was. No part yet and another part size: code 0 carries no size, so the client
      // goes on with its own.
      if (session) await this.#uploads.end(session);
      await this.#uploads.begin(fileSha, { fileSize, partSize, about });
      return accepted(0);
    });
  }

  async #uploadPart(params: Params, read: ReadBody): Promise<Reply> {
    const { fileSha, offset, dataSize, dataMd5 } = checkUploadPart(params);
    const session = this.#session(fileSha);
    checkPlace(session, offset, dataSize);
    using body = await read(dataSize);
    checkLength(body, dataSize);
    const md5 = digest('md5', body.bytes);
    if (md5 !== dataMd5) {
      throw new VodError('body', `the body at offset ${offset}: expected MD5 ${dataMd5}, got ${md5}`);
    }
    await session.hold(offset, md5, body.bytes);
    return accepted(0);
  }

  async #finishUpload(params: Params): Promise<Reply> {
    const { fileSha } = checkFinishUpload(params);
    return this.#turns.take(fileSha, async () => {
      // Its first reply may have been lost.
      const stored = await this.#stored(fileSha);
      if (stored) return accepted(0, stored);
      const session = this.#session(fileSha);
      const { count, total, first } = session.missing();
      if (count > 0) {
        throw new VodError(
          'finishFailed',
          `${count} of ${total} parts are missing, the first at offset ${first}`,
        );
      }
      session.seal();
      try {
        return accepted(0, await this.#store(session));
      } finally {
        session.unseal();
      }
    });
  }

  async #smallFileUpload(params: Params, read: ReadBody): Promise<Reply> {
    const { fileSha, fileSize, 'extra.fileId': videoId, fileName, fileType } = checkSmallFileUpload(params);
    if (!this.#library.video(videoId)) {
      throw new VodError('noSuchVideo', `extra.fileId: no video ${videoId} is stored`);
    }
    using body = await read(fileSize);
    checkLength(body, fileSize);
    const sha1 = digest('sha1', body.bytes);
    if (sha1 !== fileSha) throw new VodError('body', `the body: expected SHA-1 ${fileSha}, got ${sha1}`);

    // Awaited here: the body's buffer is somebody else's once this is left.
    return await this.#turns.take(fileSha, async () => {
      const stored = this.#library.imageOf(fileSha);
      const image = stored ?? { fileId: this.#library.newFileId(), fileType };
      if (!stored) {
        await this.#library.writeBytes(image, body.bytes);
        const about = { ...PLAIN, fileName, fileType };
        this.#library.add(image.fileId, {
          sha1,
          size: fileSize,
          about,
          createdAt: this.#date(),
          coverOf: videoId,
        });
      }
      this.#library.setCover(videoId, image.fileId);
      await this.#library.save();
      return accepted(stored ? 2 : 0, { fileId: image.fileId, url: this.#library.url(image) });
    });
  }

  /** Makes a file of a complete upload: proved, moved, listed, and only then no upload any more. */
  async #store(session: UploadSession): Promise<{ fileId: string; url: string }> {
    const { sha1, fileSize: size, about } = session;
    const got = await session.hashed();
    if (got !== sha1) {
      await this.#uploads.end(session);
      throw new VodError(
        'finishFailed',
        `the whole file: expected SHA-1 ${sha1}, got ${got}; its parts are dropped, begin again with InitUpload`,
      );
    }
    const file = { fileId: this.#library.newFileId(), fileType: about.fileType };
    await session.moveTo(file.fileId, this.#library.path(file));
    this.#library.add(file.fileId, { sha1, size, about, createdAt: this.#date() });
    await this.#library.save();
    await this.#uploads.end(session);
    return { fileId: file.fileId, url: this.#library.url(file) };
  }

  /** The video with these bytes, when there is one; and then no upload of it is left. */
  async #stored(sha1: string): Promise<{ fileId: string; url: string } | undefined> {
    const video = this.#library.videoOf(sha1);
    if (!video) return undefined;
    await this.#library.save();
    const leftOver = this.#uploads.get(sha1);
    if (leftOver) await this.#uploads.end(leftOver);
    return { fileId: video.fileId, url: this.#library.url(video) };
  }

  #session(sha1: string): UploadSession {
    const session = this.#uploads.get(sha1);
    if (!session) throw new VodError('read', `no upload is open for fileSha ${sha1}: begin with InitUpload`);
    return session;
  }

  #date = () => new Date(this.#now());
}

/** An image comes without the options of a video. */
const PLAIN = { tags: [], classId: 0, isTranscode: 0, isScreenshot: 0, isWatermark: 0 } as const;

function checkPlace(session: UploadSession, offset: number, dataSize: number): void {
  const { partSize, fileSize } = session;
  if (offset % partSize !== 0) {
    throw new VodError(
      'parameters',
      `offset: expected a multiple of the part size ${partSize}, got ${offset}`,
    );
  }
  if (offset >= fileSize) {
    throw new VodError(
      'parameters',
      `offset: expected less than the file's ${fileSize} bytes, got ${offset}`,
    );
  }
  const size = session.sizeAt(offset);
  if (dataSize !== size) {
    throw new VodError('parameters', `dataSize: expected ${size} for the part at ${offset}, got ${dataSize}`);
  }
}

function checkLength({ length }: Body, expected: number): void {
  if (length === expected) return;
  const got = length > expected ? 'more' : `${length}`;
  throw new VodError('body', `the body: expected ${expected} bytes as dataSize says, got ${got}`);
}
