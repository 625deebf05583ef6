import { dropBytes } from '../../cos/operations.ts';
import type { Store } from '../../s3/store/store.ts';
import { hashHex } from '../body.ts';
import type { FileStore } from '../file-store.ts';
import { COS_BUCKET, type MediaFacts, type Session } from './sessions.ts';

/** The hashes of a file whose bytes were discarded. */
const NO_HASHES = { sha1: '0'.repeat(40), md5: '0'.repeat(32) };

const NO_FLAGS = { isTranscode: 0, isScreenshot: 0, isWatermark: 0 } as const;

/** An error of CommitUpload: COS has no complete object at the path of the session. */
export class MediaNotUploaded extends Error {}

/** Turns uploaded and pulled bytes into files. `discard`: the bytes were not stored. */
export class Library {
  readonly #files: FileStore;
  readonly #objects: Store;
  readonly #discard: boolean;
  readonly #now: () => number;

  constructor(files: FileStore, objects: Store, options: Readonly<{ discard: boolean; now: () => number }>) {
    this.#files = files;
    this.#objects = objects;
    this.#discard = options.discard;
    this.#now = options.now;
  }

  /** Stores the media of a session, and its cover. @throws {MediaNotUploaded} */
  async commit(session: Session): Promise<void> {
    const { fileId, facts, mediaKey, coverKey } = session;
    const bucket = this.#objects.getBucket(COS_BUCKET);
    const media = bucket.getCurrent(mediaKey);
    if (!media) throw new MediaNotUploaded(`no object ${mediaKey} in ${COS_BUCKET}`);
    const cover = coverKey === undefined ? undefined : bucket.getCurrent(coverKey);
    using _ = this.#objects.blobs.hold([...media.pieces, ...(cover?.pieces ?? [])]);
    const bytes = this.#discard ? media.size : this.#objects.blobs.read(media.pieces);
    await this.add(fileId, facts, bytes, `/${mediaKey}`);
    if (cover && !this.#discard) {
      const image: Buffer[] = [];
      for await (const chunk of this.#objects.blobs.read(cover.pieces)) image.push(chunk);
      await this.setCover(fileId, Buffer.concat(image), coverKey?.split('.').at(-1) ?? '');
    }
    await this.#files.save();
    for (const key of [mediaKey, coverKey]) if (key !== undefined) dropBytes(this.#objects, COS_BUCKET, key);
  }

  /** Drops bytes of committed uploads, which a kill prevented. */
  sweep(sessions: Iterable<Session>): void {
    for (const { fileId, mediaKey } of sessions) {
      if (this.#files.hasVideo(fileId)) dropBytes(this.#objects, COS_BUCKET, mediaKey);
    }
  }

  /** Writes a file, or a hole of this size, and lists it. The caller must save the index. */
  async add(
    fileId: string,
    facts: MediaFacts,
    bytes: AsyncIterable<Buffer> | number,
    storagePath: string,
  ): Promise<void> {
    const {
      name: fileName,
      type: fileType,
      classId,
      region: storageRegion,
      sessionContext: _,
      ...kept
    } = facts;
    const written = await this.#files.writeFile({ fileId, fileType }, bytes);
    this.#files.add(fileId, {
      ...written,
      ...(typeof bytes === 'number' && NO_HASHES),
      about: { fileName, fileType, tags: [], classId, ...NO_FLAGS },
      createdAt: new Date(this.#now()),
      storageRegion,
      storagePath,
      ...kept,
    });
  }

  /** Stores an image as the cover of a video. The caller must save the index. */
  async setCover(videoId: string, bytes: Buffer, fileType: string): Promise<void> {
    const sha1 = hashHex('sha1', bytes);
    const stored = this.#files.findImage(sha1);
    const image = stored ?? { fileId: this.#files.createFileId(), fileType };
    if (!stored) {
      await this.#files.writeImage(image, bytes);
      const about = { fileName: 'cover', fileType, tags: [], classId: 0, ...NO_FLAGS };
      const createdAt = new Date(this.#now());
      this.#files.add(image.fileId, { sha1, size: bytes.length, about, createdAt, coverOf: videoId });
    }
    this.#files.setCover(videoId, image.fileId);
  }
}
