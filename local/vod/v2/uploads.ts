import { existsSync } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import type { FileStore } from '../file-store.ts';
import { type Plan, readUploadLog, type UploadProgress } from './upload-log.ts';
import { dataPath, logPath, removeUpload, UploadSession } from './upload-session.ts';
import { runOnDisk } from './vod-error.ts';

/** The uploads in progress, one for each SHA-1, in the folder `uploads`. */
export class Uploads {
  readonly #folder: string;
  readonly #discards: boolean;
  readonly #sessions = new Map<string, UploadSession>();

  private constructor(folder: string, discards: boolean) {
    this.#folder = folder;
    this.#discards = discards;
  }

  /** Resumes the uploads of an earlier run and completes what a kill interrupted. */
  static async open(folder: string, files: FileStore, discards: boolean): Promise<Uploads> {
    const uploads = new Uploads(folder, discards);
    await mkdir(folder, { recursive: true });
    const found = (await readdir(folder)).flatMap((name) => name.match(/^[0-9a-f]{40}(?=\.)/) ?? []);
    for (const sha1 of new Set(found)) await uploads.#restore(sha1, files);
    return uploads;
  }

  get(sha1: string): UploadSession | undefined {
    return this.#sessions.get(sha1);
  }

  async create(sha1: string, plan: Plan): Promise<void> {
    const path = this.#path(sha1);
    const session = await runOnDisk('write', 'opening the upload', async () => {
      await removeUpload(path);
      return UploadSession.create(path, sha1, plan, this.#discards);
    });
    this.#sessions.set(sha1, session);
  }

  async remove(session: UploadSession): Promise<void> {
    this.#sessions.delete(session.sha1);
    await session.remove();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.close()));
  }

  async #restore(sha1: string, files: FileStore): Promise<void> {
    const path = this.#path(sha1);
    const progress = existsSync(logPath(path)) ? await readUploadLog(logPath(path)) : undefined;
    if (progress && !files.findVideo(sha1)) {
      if (existsSync(dataPath(path))) {
        const session = await UploadSession.resume(path, sha1, progress, this.#discards);
        this.#sessions.set(sha1, session);
        return;
      }
      await addMovedFile(sha1, progress, files);
    }
    await removeUpload(path);
  }

  #path(sha1: string): string {
    return `${this.#folder}/${sha1}`;
  }
}

/** Lists a file that a killed process had moved to the file store but not listed. */
async function addMovedFile(sha1: string, progress: UploadProgress, files: FileStore): Promise<void> {
  const { about, fileSize: size, movingTo: fileId } = progress;
  if (fileId === undefined) return;
  const path = files.path({ fileId, fileType: about.fileType });
  if (!existsSync(path)) return;
  const { ctime: createdAt } = await stat(path);
  files.add(fileId, { sha1, size, about, createdAt });
  await files.save();
}
