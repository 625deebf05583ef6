import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { KeyedMutex } from './keyed-mutex.ts';
import { type About, type Plan, type Progress, UploadLog } from './upload-log.ts';
import { onDisk, VodError } from './vod-error.ts';

export type HeldPart = Readonly<{ offset: number; dataSize: number; dataMd5: string }>;

/** Where an upload lies, without the endings `.data` and `.journal`. */
export const dataPath = (place: string) => `${place}.data`;
export const journalPath = (place: string) => `${place}.journal`;

/**
 * An upload under way: one sparse file with each part at its own offset, and a journal. A part is held once its line
 * stands in the journal, and the line is written after the bytes. Nothing is synced: what is held survives a killed
 * process, not a power cut.
 */
export class UploadSession {
  readonly sha1: string;
  readonly #place: string;
  readonly #data: FileHandle;
  readonly #journal: UploadLog;
  readonly #discards: boolean;
  readonly #turns = new KeyedMutex<number>();
  /** `sealed`: complete, its bytes stay as they are. `ended`: stored or given up, its files are gone. */
  #state: 'open' | 'sealed' | 'ended' = 'open';

  private constructor(place: string, sha1: string, data: FileHandle, journal: UploadLog, discards: boolean) {
    this.sha1 = sha1;
    this.#place = place;
    this.#data = data;
    this.#journal = journal;
    this.#discards = discards;
  }

  static async begin(place: string, sha1: string, plan: Plan, discards: boolean): Promise<UploadSession> {
    const data = await open(dataPath(place), 'w+');
    const journal = await UploadLog.begin(journalPath(place), plan).catch(async (error) => {
      await data.close();
      throw error;
    });
    if (discards) await data.truncate(plan.fileSize);
    return new UploadSession(place, sha1, data, journal, discards);
  }

  static async resume(
    place: string,
    sha1: string,
    progress: Progress,
    discards: boolean,
  ): Promise<UploadSession> {
    const data = await open(dataPath(place), 'r+');
    return new UploadSession(
      place,
      sha1,
      data,
      await UploadLog.resume(journalPath(place), progress),
      discards,
    );
  }

  get fileSize(): number {
    return this.#journal.progress.fileSize;
  }

  get partSize(): number {
    return this.#journal.progress.partSize;
  }

  get about(): About {
    return this.#journal.progress.about;
  }

  get #held(): Map<number, string> {
    return this.#journal.progress.held;
  }

  parts(): HeldPart[] {
    return [...this.#held]
      .map(([offset, dataMd5]) => ({ offset, dataSize: this.sizeAt(offset), dataMd5 }))
      .sort((a, b) => a.offset - b.offset);
  }

  sizeAt(offset: number): number {
    return Math.min(this.partSize, this.fileSize - offset);
  }

  /** `first` is the offset of the first hole; the end of the file when there is none. */
  missing(): { count: number; total: number; first: number } {
    const total = Math.ceil(this.fileSize / this.partSize);
    let first = 0;
    while (this.#held.has(first)) first += this.partSize;
    return { count: total - this.#held.size, total, first };
  }

  async describe(about: About): Promise<void> {
    await this.#journal.note({ entry: 'described', about });
  }

  /** Takes in a part whose bytes are known to have this size and MD5. Two copies of one part take turns. */
  hold(offset: number, md5: string, bytes: Buffer): Promise<void> {
    return this.#turns.take(offset, async () => {
      this.#refuseIfEnded();
      if (this.#held.get(offset) === md5) return;
      if (this.#state === 'sealed') {
        throw new VodError('read', `the upload of ${this.sha1} is just being finished`, { canRetry: 1 });
      }
      try {
        // Other bytes than before. Out of memory at once, so that a FinishUpload beside it finds the part missing, and
        // out of the journal too: were the process killed in mid-write, the old line would vouch for a mixture.
        if (this.#held.delete(offset)) await this.#journal.note({ entry: 'dropped', offset });
        await this.#write(offset, bytes);
        await this.#journal.note({ entry: 'held', offset, md5 });
      } finally {
        // Also where writing failed: the files of an ended session are closed, the disk is not to blame.
        this.#refuseIfEnded();
      }
    });
  }

  /** Holds that part no longer. */
  drop(offset: number): Promise<void> {
    return this.#turns.take(offset, async () => {
      if (this.#state !== 'open' || !this.#held.delete(offset)) return;
      await this.#journal.note({ entry: 'dropped', offset });
    });
  }

  /** For a session that misses nothing, while its bytes are proved and moved. */
  seal(): void {
    this.#state = 'sealed';
  }

  unseal(): void {
    if (this.#state === 'sealed') this.#state = 'open';
  }

  async hashed(): Promise<string> {
    if (this.#discards) return this.sha1;
    const hash = createHash('sha1');
    await onDisk('read', 'reading the upload back', () =>
      pipeline(createReadStream(dataPath(this.#place), { highWaterMark: 1024 * 1024 }), hash),
    );
    return hash.digest('hex');
  }

  /** Noted before it is done, so that a process killed in between can tell at its next start whose bytes those are. */
  async moveTo(fileId: string, path: string): Promise<void> {
    await this.#journal.note({ entry: 'moving', fileId });
    await onDisk('write', 'moving the file', () => rename(dataPath(this.#place), path));
    // The open file is now the stored one: no part may be written to it any more, even if what follows goes wrong.
    this.#state = 'ended';
  }

  async end(): Promise<void> {
    this.#state = 'ended';
    try {
      await removeUpload(this.#place);
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#data.close(), this.#journal.close()]);
  }

  #refuseIfEnded(): void {
    if (this.#state !== 'ended') return;
    throw new VodError('read', `the upload of ${this.sha1} was ended meanwhile: ask InitUpload`);
  }

  async #write(offset: number, bytes: Buffer): Promise<void> {
    if (this.#discards) return;
    const size = this.sizeAt(offset);
    await onDisk('write', `writing the part at ${offset}`, async () => {
      const { bytesWritten } = await this.#data.write(bytes, 0, size, offset);
      if (bytesWritten !== size) throw new Error(`${bytesWritten} of ${size} bytes`);
    });
  }
}

/** Journal first: bytes without a journal are swept away at the next start, a journal without bytes would be a lie. */
export async function removeUpload(place: string): Promise<void> {
  await onDisk('write', 'removing the upload', async () => {
    await rm(journalPath(place), { force: true });
    await rm(dataPath(place), { force: true });
  });
}
