import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import * as v from 'valibot';
import { writeJson } from '../../cli/write-json.ts';
import { FileInfo } from './v2/upload-log.ts';
import { runOnDisk } from './v2/vod-error.ts';

const IndexEntry = v.object({
  fileId: v.string(),
  sha1: v.string(),
  size: v.number(),
  ...FileInfo.entries,
  cover: v.optional(v.object({ fileId: v.string() })),
  coverOf: v.optional(v.string()),
  createdAt: v.string(),
});
type IndexEntry = v.InferOutput<typeof IndexEntry>;

/** An entry of `index.json`. `coverOf`, on an image, is the video that it was last uploaded for. */
export type StoredFile = Omit<IndexEntry, 'cover'> & FileLink & { cover?: FileLink };
export type FileLink = Readonly<{ fileId: string; url: string }>;

type NewFile = Readonly<{ sha1: string; size: number; about: FileInfo; createdAt: Date; coverOf?: string }>;
type FileName = Readonly<{ fileId: string; fileType: string }>;

/** The stored files: `files/<fileId>.<type>`, listed in `index.json`. */
export class FileStore {
  readonly #folder: string;
  /** URLs are built when they are returned, so they stay valid if a restart changes the port. */
  readonly #endpoint: string;
  readonly #files: Map<string, IndexEntry>;
  #hasChanges = true;

  private constructor(folder: string, endpoint: string, files: IndexEntry[]) {
    this.#folder = folder;
    this.#endpoint = endpoint;
    this.#files = new Map(files.map((file) => [file.fileId, file]));
  }

  static async open(folder: string, endpoint: string): Promise<FileStore> {
    await mkdir(`${folder}/files`, { recursive: true });
    const store = new FileStore(folder, endpoint, await readIndex(`${folder}/index.json`));
    await store.save();
    return store;
  }

  list(): StoredFile[] {
    return [...this.#files.values()].map(({ cover, fileId, ...file }) => {
      const image = cover && this.#files.get(cover.fileId);
      return {
        ...this.link({ fileId, fileType: file.fileType }),
        ...file,
        ...(image && { cover: this.link(image) }),
      };
    });
  }

  link(file: FileName): FileLink {
    return { fileId: file.fileId, url: `${this.#endpoint}/files/${writeName(file)}` };
  }

  path(file: FileName): string {
    return `${this.#folder}/files/${writeName(file)}`;
  }

  findByName(name: string): IndexEntry | undefined {
    const file = this.#files.get(name.slice(0, Math.max(0, name.indexOf('.'))));
    return file && writeName(file) === name ? file : undefined;
  }

  hasVideo(fileId: string): boolean {
    const file = this.#files.get(fileId);
    return file !== undefined && file.coverOf === undefined;
  }

  findVideo(sha1: string): IndexEntry | undefined {
    return this.#find((file) => file.sha1 === sha1 && file.coverOf === undefined);
  }

  findImage(sha1: string): IndexEntry | undefined {
    return this.#find((file) => file.sha1 === sha1 && file.coverOf !== undefined);
  }

  /** 19 digits and odd: no double represents it exactly, so a client that parses it as a number always fails. */
  createFileId(): string {
    const random = randomBytes(8).readBigUInt64BE() % 8_000_000_000_000_000_000n;
    const fileId = String((1_000_000_000_000_000_000n + random) | 1n);
    return this.#files.has(fileId) ? this.createFileId() : fileId;
  }

  /** Lists a file whose bytes are in place. The caller must call `save`. */
  add(fileId: string, { about, createdAt, ...file }: NewFile): void {
    this.#files.set(fileId, { fileId, ...file, ...about, createdAt: createdAt.toISOString() });
    this.#hasChanges = true;
  }

  setCover(videoId: string, imageId: string): void {
    const [video, image] = [this.#files.get(videoId), this.#files.get(imageId)];
    if (!video || !image) throw new Error(`no video ${videoId} or no image ${imageId}`);
    this.#files.set(videoId, { ...video, cover: { fileId: imageId } });
    this.#files.set(imageId, { ...image, coverOf: videoId });
    this.#hasChanges = true;
  }

  /**
   * Settles when the index on disk has every listed file. Await it before any response that mentions a file, even one that
   * an earlier call listed: the save of that call may have failed.
   */
  async save(): Promise<void> {
    if (!this.#hasChanges) return;
    const path = `${this.#folder}/index.json`;
    await runOnDisk('write', 'writing the index', async () => {
      writeJson(path, this.list(), { indent: 2 });
      this.#hasChanges = false;
    });
  }

  /** Writes an image before it is listed, so no reader finds it incomplete. */
  async writeImage(file: FileName, bytes: Buffer): Promise<void> {
    const path = this.path(file);
    await runOnDisk('write', 'writing the image', () => writeFile(path, bytes)).catch(async (error) => {
      await rm(path, { force: true }).catch(() => {}); // the first error is the cause
      throw error;
    });
  }

  #find(matches: (file: IndexEntry) => boolean): IndexEntry | undefined {
    for (const file of this.#files.values()) if (matches(file)) return file;
    return undefined;
  }
}

const writeName = ({ fileId, fileType }: FileName): string => `${fileId}.${fileType}`;

async function readIndex(path: string): Promise<IndexEntry[]> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return '[]';
    throw error;
  });
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), v.array(IndexEntry)), text);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const field = v.getDotPath(issue) ?? '';
  throw new Error(`${path}: expected an index of stored files. ${field}: ${issue.message}`);
}
