import { mkdir, readdir, stat } from 'node:fs/promises';
import type { FileStore } from './file-store.ts';
import { type Plan, type Progress, readJournal } from './upload-log.ts';
import { dataPath, journalPath, removeUpload, UploadSession } from './upload-session.ts';
import { onDisk } from './vod-error.ts';

/** The uploads under way, one for each SHA-1, in the folder `uploads`. */
export class Uploads {
  readonly #folder: string;
  readonly #discards: boolean;
  readonly #sessions = new Map<string, UploadSession>();

  private constructor(folder: string, discards: boolean) {
    this.#folder = folder;
    this.#discards = discards;
  }

  /** Takes up what an earlier run left behind, and completes what it was killed in the middle of. */
  static async open(folder: string, library: FileStore, discards: boolean): Promise<Uploads> {
    const uploads = new Uploads(folder, discards);
    await mkdir(folder, { recursive: true });
    const found = (await readdir(folder)).flatMap((name) => name.match(/^[0-9a-f]{40}(?=\.)/) ?? []);
    for (const sha1 of new Set(found)) await uploads.#takeUp(sha1, library);
    return uploads;
  }

  get(sha1: string): UploadSession | undefined {
    return this.#sessions.get(sha1);
  }

  async begin(sha1: string, plan: Plan): Promise<UploadSession> {
    const place = this.#place(sha1);
    const session = await onDisk('write', 'opening the upload', async () => {
      await removeUpload(place);
      return UploadSession.begin(place, sha1, plan, this.#discards);
    });
    this.#sessions.set(sha1, session);
    return session;
  }

  async end(session: UploadSession): Promise<void> {
    this.#sessions.delete(session.sha1);
    await session.end();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.close()));
  }

  async #takeUp(sha1: string, library: FileStore): Promise<void> {
    const place = this.#place(sha1);
    const progress = (await exists(journalPath(place))) ? await readJournal(journalPath(place)) : undefined;
    const stored = library.videoOf(sha1) !== undefined;
    if (progress && !stored && (await exists(dataPath(place)))) {
      this.#sessions.set(sha1, await UploadSession.resume(place, sha1, progress, this.#discards));
      return;
    }
    if (progress && !stored) await listMoved(sha1, progress, library);
    await removeUpload(place);
  }

  #place(sha1: string): string {
    return `${this.#folder}/${sha1}`;
  }
}

/** Bytes that were moved to the library by a process that was killed before it could list them. */
async function listMoved(sha1: string, progress: Progress, library: FileStore): Promise<void> {
  const { about, fileSize: size, movingTo: fileId } = progress;
  if (fileId === undefined) return;
  const path = library.path({ fileId, fileType: about.fileType });
  if (!(await exists(path))) return;
  const { ctime: createdAt } = await stat(path);
  library.add(fileId, { sha1, size, about, createdAt });
  await library.save();
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
