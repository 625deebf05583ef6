import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import * as v from 'valibot';
import { writeJson } from '../../cli/write-json.ts';
import { FileInfo } from './v2/upload-log.ts';
import { runOnDisk } from './v2/vod-error.ts';

/** Properties that only API 2018-07-17 sets. */
const MediaProperties = v.partial(
  v.object({
    md5: v.string(),
    description: v.string(),
    procedure: v.string(),
    expireTime: v.string(),
    sourceContext: v.string(),
    storageRegion: v.string(),
    storagePath: v.string(),
  }),
);
type MediaProperties = v.InferOutput<typeof MediaProperties>;

const IndexEntry = v.object({
  fileId: v.string(),
  sha1: v.string(),
  size: v.number(),
  ...FileInfo.entries,
  ...MediaProperties.entries,
  cover: v.optional(v.object({ fileId: v.string() })),
  coverOf: v.optional(v.string()),
  createdAt: v.string(),
});
type IndexEntry = v.InferOutput<typeof IndexEntry>;

/** An entry of `index.json`. `coverOf`, on an image, is the video that it was last uploaded for. */
export type StoredFile = Omit<IndexEntry, 'cover'> & FileLink & { cover?: FileLink };
export type FileLink = Readonly<{ fileId: string; url: string }>;

type NewFile = Readonly<{ sha1: string; size: number; about: FileInfo; createdAt: Date; coverOf?: string }> &
  Readonly<MediaProperties>;
type WrittenFile = Readonly<{ size: number; sha1: string; md5: string }>;
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
    // Unfinished writes of a killed process.
    await rm(`${folder}/drafts`, { recursive: true, force: true });
    for (const name of ['files', 'drafts']) await mkdir(`${folder}/${name}`, { recursive: true });
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
    return this.getVideo(fileId) !== undefined;
  }

  getVideo(fileId: string): IndexEntry | undefined {
    const file = this.#files.get(fileId);
    return file?.coverOf === undefined ? file : undefined;
  }

  /** The URL of the cover of a video. */
  findCoverUrl(fileId: string): string | undefined {
    const image = this.#files.get(this.#files.get(fileId)?.cover?.fileId ?? '');
    return image && this.link(image).url;
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

  /** Changes the properties of a listed file. The caller must call `save`. */
  update(fileId: string, changes: Partial<Omit<IndexEntry, 'fileId' | 'cover' | 'coverOf'>>): void {
    const file = this.#files.get(fileId);
    if (!file) throw new Error(`no file ${fileId}`);
    this.#files.set(fileId, { ...file, ...changes });
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

  /**
   * Writes a file before it is listed: a draft first, so that no reader finds it incomplete. A number of bytes makes the file
   * a hole. Returns the size and the hashes, in hex.
   */
  async writeFile(file: FileName, bytes: AsyncIterable<Buffer> | number): Promise<WrittenFile> {
    const draft = `${this.#folder}/drafts/${file.fileId}`;
    const [sha1, md5] = [createHash('sha1'), createHash('md5')];
    let size = 0;
    const digest = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        size += chunk.length;
        sha1.update(chunk);
        md5.update(chunk);
        yield chunk;
      }
    };
    await runOnDisk('write', 'writing the file', async () => {
      if (typeof bytes === 'number') {
        await writeFile(draft, '');
        await truncate(draft, bytes);
        size = bytes;
      } else await pipeline(digest(bytes), createWriteStream(draft));
      await rename(draft, this.path(file));
    });
    return { size, sha1: sha1.digest('hex'), md5: md5.digest('hex') };
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
