import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { KeyedMutex } from '../keyed-mutex.ts';
import { type FileInfo, type Plan, UploadLog, type UploadProgress } from './upload-log.ts';
import { runOnDisk, VodError } from './vod-error.ts';

export type HeldPart = Readonly<{ offset: number; dataSize: number; dataMd5: string }>;

/** The files of the upload at `path`, which has no extension. */
export const dataPath = (path: string) => `${path}.data`;
export const logPath = (path: string) => `${path}.journal`;

/** `discards`: the session stores no bytes and trusts the SHA-1 that the client announced. */
type Storage = Readonly<{ path: string; discards: boolean; data: FileHandle; log: UploadLog }>;

/**
 * An upload in progress: a sparse file with each part at its offset, and a log. A part is held when its line is in the log,
 * and the line is written after the bytes. Nothing is synced: held parts survive a killed process, but not a power failure.
 */
export class UploadSession {
  readonly sha1: string;
  readonly #storage: Storage;
  readonly #parts = new KeyedMutex<number>();
  /** `sealed`: complete; its bytes must not change. `ended`: stored or abandoned; its files are deleted. */
  #state: 'open' | 'sealed' | 'ended' = 'open';

  private constructor(sha1: string, storage: Storage) {
    this.sha1 = sha1;
    this.#storage = storage;
  }

  static async create(path: string, sha1: string, plan: Plan, discards: boolean): Promise<UploadSession> {
    const data = await open(dataPath(path), 'w+');
    const log = await UploadLog.create(logPath(path), plan).catch(async (error) => {
      await data.close();
      throw error;
    });
    if (discards) await data.truncate(plan.fileSize);
    return new UploadSession(sha1, { path, discards, data, log });
  }

  static async resume(
    path: string,
    sha1: string,
    progress: UploadProgress,
    discards: boolean,
  ): Promise<UploadSession> {
    const data = await open(dataPath(path), 'r+');
    const log = await UploadLog.resume(logPath(path), progress);
    return new UploadSession(sha1, { path, discards, data, log });
  }

  get progress(): UploadProgress {
    return this.#storage.log.progress;
  }

  listParts(): HeldPart[] {
    return [...this.progress.held]
      .map(([offset, dataMd5]) => ({ offset, dataSize: this.partSizeAt(offset), dataMd5 }))
      .sort((a, b) => a.offset - b.offset);
  }

  /** The size in bytes of the part at `offset`. */
  partSizeAt(offset: number): number {
    return Math.min(this.progress.partSize, this.progress.fileSize - offset);
  }

  /** `first` is the offset of the first missing part, or the end of the file if no part is missing. */
  countMissing(): { count: number; total: number; first: number } {
    const { held, fileSize, partSize } = this.progress;
    const total = Math.ceil(fileSize / partSize);
    let first = 0;
    while (held.has(first)) first += partSize;
    return { count: total - held.size, total, first };
  }

  describe(about: FileInfo): Promise<void> {
    return this.#storage.log.append({ entry: 'described', about });
  }

  /** Stores a part whose size and MD5 were verified. Writes at one offset run one after the other. */
  storePart(offset: number, md5: string, bytes: Buffer): Promise<void> {
    const { log } = this.#storage;
    return this.#parts.run(offset, async () => {
      this.#rejectIfEnded();
      if (this.progress.held.get(offset) === md5) return;
      if (this.#state === 'sealed') {
        throw new VodError('read', `the upload of ${this.sha1} is being finished`, { canRetry: 1 });
      }
      try {
        // The bytes differ from the held ones. Dropping the part from memory makes a concurrent FinishUpload see it as
        // missing. Dropping it from the log keeps a kill during the write from leaving an MD5 for mixed bytes.
        if (this.progress.held.delete(offset)) await log.append({ entry: 'dropped', offset });
        await this.#write(offset, bytes);
        await log.append({ entry: 'held', offset, md5 });
      } finally {
        // Replaces a write error that only shows that the files of an ended session are closed.
        this.#rejectIfEnded();
      }
    });
  }

  dropPart(offset: number): Promise<void> {
    return this.#parts.run(offset, async () => {
      if (this.#state !== 'open' || !this.progress.held.delete(offset)) return;
      await this.#storage.log.append({ entry: 'dropped', offset });
    });
  }

  /** Runs a task during which no part can change. Requires a complete upload. */
  async runSealed<T>(task: () => Promise<T>): Promise<T> {
    this.#state = 'sealed';
    try {
      return await task();
    } finally {
      if (this.#state === 'sealed') this.#state = 'open';
    }
  }

  async computeSha1(): Promise<string> {
    const { path, discards } = this.#storage;
    if (discards) return this.sha1;
    const hash = createHash('sha1');
    await runOnDisk('read', 'reading the upload back', () =>
      pipeline(createReadStream(dataPath(path), { highWaterMark: 1024 * 1024 }), hash),
    );
    return hash.digest('hex');
  }

  /** Moves the bytes to `target`. The log entry comes first: after a kill, the next start knows whose bytes they are. */
  async moveTo(fileId: string, target: string): Promise<void> {
    const { log, path } = this.#storage;
    await log.append({ entry: 'moving', fileId });
    await runOnDisk('write', 'moving the file', () => rename(dataPath(path), target));
    // The open file is now the stored one. No part may change it, even if a later step fails.
    this.#state = 'ended';
  }

  async remove(): Promise<void> {
    this.#state = 'ended';
    try {
      await removeUpload(this.#storage.path);
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#storage.data.close(), this.#storage.log.close()]);
  }

  #rejectIfEnded(): void {
    if (this.#state !== 'ended') return;
    throw new VodError('read', `the upload of ${this.sha1} has ended: call InitUpload`);
  }

  async #write(offset: number, bytes: Buffer): Promise<void> {
    const { data, discards } = this.#storage;
    if (discards) return;
    const size = this.partSizeAt(offset);
    await runOnDisk('write', `writing the part at ${offset}`, async () => {
      const { bytesWritten } = await data.write(bytes, 0, size, offset);
      if (bytesWritten !== size) throw new Error(`${bytesWritten} of ${size} bytes`);
    });
  }
}

/** Removes the log first: the next start deletes bytes without a log, but would trust a log without bytes. */
export async function removeUpload(path: string): Promise<void> {
  await runOnDisk('write', 'removing the upload', async () => {
    await rm(logPath(path), { force: true });
    await rm(dataPath(path), { force: true });
  });
}
