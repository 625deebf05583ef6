import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import * as v from 'valibot';
import { About } from './upload-log.ts';
import { onDisk } from './vod-error.ts';

const Listed = v.object({
  fileId: v.string(),
  sha1: v.string(),
  size: v.number(),
  ...About.entries,
  cover: v.optional(v.object({ fileId: v.string() })),
  coverOf: v.optional(v.string()),
  createdAt: v.string(),
});
type Listed = v.InferOutput<typeof Listed>;

/** An entry of `index.json`. `coverOf`, on an image, is the video it was sent for last. */
export type StoredFile = Omit<Listed, 'cover'> & { url: string; cover?: { fileId: string; url: string } };

type NewFile = Readonly<{ sha1: string; size: number; about: About; createdAt: Date; coverOf?: string }>;

/** What was accepted: `files/<fileId>.<type>`, listed in `index.json`. */
export class FileStore {
  readonly #folder: string;
  /** Urls are made from it when they are told, so they stay good when the port is another one after a restart. */
  readonly #endpoint: string;
  readonly #files: Map<string, Listed>;
  #changes = 0;
  #saved = 0;
  #saving: Promise<void> | undefined;

  private constructor(folder: string, endpoint: string, files: Listed[]) {
    this.#folder = folder;
    this.#endpoint = endpoint;
    this.#files = new Map(files.map((file) => [file.fileId, file]));
  }

  static async open(folder: string, endpoint: string): Promise<FileStore> {
    await mkdir(`${folder}/files`, { recursive: true });
    const library = new FileStore(folder, endpoint, await readIndex(`${folder}/index.json`));
    library.#changes += 1;
    await library.save();
    return library;
  }

  files(): StoredFile[] {
    return [...this.#files.values()].map(({ cover, fileId, ...file }) => {
      const image = cover && this.#files.get(cover.fileId);
      return {
        fileId,
        url: this.url({ fileId, fileType: file.fileType }),
        ...file,
        ...(image && { cover: { fileId: image.fileId, url: this.url(image) } }),
      };
    });
  }

  url(file: { fileId: string; fileType: string }): string {
    return `${this.#endpoint}/files/${fileName(file)}`;
  }

  path(file: { fileId: string; fileType: string }): string {
    return `${this.#folder}/files/${fileName(file)}`;
  }

  named(name: string): Listed | undefined {
    const file = this.#files.get(name.slice(0, Math.max(0, name.indexOf('.'))));
    return file && fileName(file) === name ? file : undefined;
  }

  video(fileId: string): Listed | undefined {
    const file = this.#files.get(fileId);
    return file?.coverOf === undefined ? file : undefined;
  }

  videoOf(sha1: string): Listed | undefined {
    return this.#find((file) => file.sha1 === sha1 && file.coverOf === undefined);
  }

  imageOf(sha1: string): Listed | undefined {
    return this.#find((file) => file.sha1 === sha1 && file.coverOf !== undefined);
  }

  /**
   * 19 digits, always odd: no double holds such a number, so a client that takes it for one is found out every time.
   */
  newFileId(): string {
    const random = randomBytes(8).readBigUInt64BE() % 8_000_000_000_000_000_000n;
    const fileId = String((1_000_000_000_000_000_000n + random) | 1n);
    return this.#files.has(fileId) ? this.newFileId() : fileId;
  }

  /** Lists a file whose bytes are in place. It is the caller who saves. */
  add(fileId: string, { about, createdAt, ...file }: NewFile): void {
    this.#files.set(fileId, { fileId, ...file, ...about, createdAt: createdAt.toISOString() });
    this.#changes += 1;
  }

  setCover(videoId: string, imageId: string): void {
    const [video, image] = [this.#files.get(videoId), this.#files.get(imageId)];
    if (!video || !image) throw new Error(`no video ${videoId} or no image ${imageId}`);
    this.#files.set(videoId, { ...video, cover: { fileId: imageId } });
    this.#files.set(imageId, { ...image, coverOf: videoId });
    this.#changes += 1;
  }

  /**
   * Settles when all that is listed is on disk. To be awaited before any of it is told to a client, also of what was
   * listed by an earlier call: that call's own save may have failed.
   */
  async save(): Promise<void> {
    while (this.#saved < this.#changes) {
      this.#saving ??= this.#writeIndex().finally(() => {
        this.#saving = undefined;
      });
      await this.#saving;
    }
  }

  async #writeIndex(): Promise<void> {
    const changes = this.#changes;
    const [index, draft] = [`${this.#folder}/index.json`, `${this.#folder}/index.json.new`];
    await onDisk('write', 'writing the index', async () => {
      await writeFile(draft, `${JSON.stringify(this.files(), null, 2)}\n`);
      await rename(draft, index);
    });
    this.#saved = changes;
  }

  /** Puts an image's bytes in place. */
  async writeBytes(file: { fileId: string; fileType: string }, bytes: Buffer): Promise<void> {
    const draft = `${this.path(file)}.new`;
    await onDisk('write', 'writing the image', async () => {
      try {
        await writeFile(draft, bytes);
        await rename(draft, this.path(file));
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
    });
  }

  #find(wanted: (file: Listed) => boolean): Listed | undefined {
    for (const file of this.#files.values()) if (wanted(file)) return file;
    return undefined;
  }
}

const fileName = ({ fileId, fileType }: { fileId: string; fileType: string }) => `${fileId}.${fileType}`;

async function readIndex(path: string): Promise<Listed[]> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return '[]';
    throw error;
  });
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), v.array(Listed)), text);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new Error(`${path}: not an index of stored files: ${v.getDotPath(issue) ?? ''} ${issue.message}`);
}
