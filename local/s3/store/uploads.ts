import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Blobs } from './blobs.ts';
import { type Folders, listNames, loadJson, saveJson } from './disk.ts';
import { type PartRecord, partRecord, type UploadRecord, uploadRecord } from './record.ts';

export type Upload = Readonly<{ record: UploadRecord; parts: ReadonlyMap<number, PartRecord> }>;

const RECORD = 'upload.json';

/** Multipart uploads in progress: a folder for each upload, a file for each part. */
export class Uploads {
  readonly #folders: Folders;
  readonly #blobs: Blobs;
  readonly #uploads = new Map<string, { record: UploadRecord; parts: Map<number, PartRecord> }>();

  constructor(folders: Folders, blobs: Blobs) {
    this.#folders = folders;
    this.#blobs = blobs;
  }

  /**
   * Loads all uploads. Deletes completed ones, whose removal a kill prevented, and those that received nothing since
   * `lastStart`: their clients had a whole run of this server to continue.
   */
  load(isCompleted: (record: UploadRecord) => boolean, lastStart: number): void {
    for (const id of listNames(this.#folders.uploads)) {
      const dir = this.#dir(id);
      const record = existsSync(join(dir, RECORD)) ? loadJson(join(dir, RECORD), uploadRecord) : undefined;
      if (!record || isCompleted(record) || statSync(dir).mtimeMs < lastStart) {
        rmSync(dir, { recursive: true });
        continue;
      }
      const files = listNames(dir).filter((name) => name !== RECORD);
      const parts = files.map((name) => loadJson(join(dir, name), partRecord));
      for (const { pieces } of parts) this.#blobs.retain(pieces);
      this.#uploads.set(id, { record, parts: new Map(parts.map((part) => [part.number, part])) });
    }
  }

  create(upload: Omit<UploadRecord, 'id'>): UploadRecord {
    const record = { ...upload, id: randomBytes(24).toString('hex') };
    mkdirSync(this.#dir(record.id));
    saveJson(this.#folders, join(this.#dir(record.id), RECORD), record);
    this.#uploads.set(record.id, { record, parts: new Map() });
    return record;
  }

  find(id: string): Upload | undefined {
    return this.#uploads.get(id);
  }

  listByBucket(bucket: string): readonly Upload[] {
    return [...this.#uploads.values()].filter(({ record }) => record.bucket === bucket);
  }

  /** Stores a part and replaces an earlier one of the same number. Returns false if the upload no longer exists. */
  addPart(id: string, part: PartRecord): boolean {
    const upload = this.#uploads.get(id);
    if (!upload) return false;
    saveJson(this.#folders, join(this.#dir(id), `${part.number}.json`), part);
    const before = upload.parts.get(part.number);
    upload.parts.set(part.number, part);
    this.#blobs.retain(part.pieces);
    if (before) this.#blobs.release(before.pieces);
    return true;
  }

  /** Deletes an upload, and the bytes of its parts unless an object refers to them. */
  remove(id: string): void {
    const upload = this.#uploads.get(id);
    if (!upload) return;
    this.#uploads.delete(id);
    rmSync(this.#dir(id), { recursive: true });
    for (const { pieces } of upload.parts.values()) this.#blobs.release(pieces);
  }

  #dir(id: string): string {
    return join(this.#folders.uploads, id);
  }
}
