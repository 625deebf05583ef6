import { createHash } from 'node:crypto';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { sha1 } from '../../support/values.ts';
import type { Deed } from './plan.ts';

/** Everybody who writes objects beside the chain, and what the objects shall be after what they did last. */

export type Expected = Readonly<{
  body: Buffer;
  /** Without what the chain writes. */
  metadata: Readonly<Record<string, string>>;
  tags: Readonly<Record<string, string>>;
}>;

const isImage = (key: string): boolean => !key.endsWith('.mp4');

/** Headers of every object. */
export const about = (key: string) =>
  ({
    ContentType: isImage(key) ? 'image/jpeg' : 'video/mp4',
    CacheControl: 'max-age=60',
    ContentLanguage: 'de',
    StorageClass: 'STANDARD_IA',
  }) as const;

const LARGEST = 6 * 1024 * 1024;
const pool = createHash('shake256', { outputLength: LARGEST }).update('the bytes of all films').digest();

/** Bytes of a content: those of another differ. */
export function film(size: number, content: string): Buffer {
  const bytes = Buffer.from(pool.subarray(0, size));
  createHash('sha256').update(content).digest().copy(bytes);
  return bytes;
}

/** What passes for a JPEG by its first bytes. */
export const poster = (content: string): Buffer =>
  Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), film(3000, content)]);

export class Writers {
  /** `undefined`: deleted. */
  readonly expected = new Map<string, Expected | undefined>();
  /** SHA-1 by ETag, of all that was ever put. */
  readonly contents = new Map<string, string>();
  /** The SHA-1s that were ever put under a key, the last one last. */
  readonly history = new Map<string, string[]>();
  /** Keys in the order in which they were put, the last one last. */
  readonly order: string[] = [];
  /** Keys that were edited or deleted. */
  readonly touched = new Set<string>();
  /** Keys whose tags were read and written back, with one more. */
  readonly tagged = new Set<string>();
  /** Versions that a writer made: what their metadata says is not the chain's doing. */
  readonly versions = new Set<string>();
  readonly #s3: S3Client;
  readonly #bucket: string;
  readonly #words: ReadonlyMap<string, string | undefined>;
  readonly #tick: () => void;
  #turn: Promise<void> = Promise.resolve();
  #deeds = 0;

  /**
   * @param words by image: the `vod-cover-of` that it is always put with, if one. Where there are images all is put with a
   *   checksum, as S3 itself adds one: without it nobody can say of a copy in parts that it is the video it was
   * @param tick S3 keeps time in whole seconds: each deed is in a second of its own, before and after which others may write
   */
  constructor(
    s3: S3Client,
    bucket: string,
    words: ReadonlyMap<string, string | undefined>,
    tick: () => void,
  ) {
    this.#s3 = s3;
    this.#bucket = bucket;
    this.#words = words;
    this.#tick = tick;
  }

  put(key: string, body: Buffer): Promise<void> {
    return this.#inTurn(() => this.#put(key, body, {}));
  }

  /** One after the other, so that there is a last one. */
  do(deed: Deed, key: string): Promise<void> {
    return this.#inTurn(async () => {
      const is = this.expected.get(key);
      const size = is?.body.length ?? 600_000;
      const content = `${this.#bucket} ${key} ${this.#deeds}`;
      const other = () => (isImage(key) ? poster(content) : film(size > 1 ? size : 2, content));
      if (deed === 'overwrite' || !is) return this.#put(key, other(), {});
      const at = { Bucket: this.#bucket, Key: key };
      if (deed === 'edit' || deed === 'delete') this.touched.add(key);
      switch (deed) {
        case 'carry': {
          const { Metadata = {} } = await this.#s3.send(new HeadObjectCommand(at));
          return this.#put(key, other(), Metadata);
        }
        case 'again':
          return this.#put(key, is.body, {});
        case 'edit': {
          const { Metadata = {} } = await this.#s3.send(new HeadObjectCommand(at));
          const more = { edited: String(this.#deeds) };
          const { VersionId } = await this.#s3.send(
            new CopyObjectCommand({
              ...at,
              ...about(key),
              CopySource: `${this.#bucket}/${key}`,
              Metadata: { ...Metadata, ...more },
              MetadataDirective: 'REPLACE',
            }),
          );
          this.versions.add(VersionId ?? '');
          this.expected.set(key, { ...is, metadata: { ...is.metadata, ...more } });
          return;
        }
        case 'tag': {
          this.tagged.add(key);
          const { TagSet = [] } = await this.#s3.send(new GetObjectTaggingCommand(at));
          const tag = { Key: 'tagged', Value: String(this.#deeds) };
          const Tagging = { TagSet: [...TagSet.filter(({ Key }) => Key !== tag.Key), tag] };
          await this.#s3.send(new PutObjectTaggingCommand({ ...at, Tagging }));
          this.expected.set(key, { ...is, tags: { ...is.tags, tagged: tag.Value } });
          return;
        }
        case 'delete':
          await this.#s3.send(new DeleteObjectCommand(at));
          this.expected.set(key, undefined);
          return;
      }
    });
  }

  async #put(key: string, body: Buffer, carried: Record<string, string>): Promise<void> {
    const word = this.#words.get(key);
    const metadata = {
      written: String(this.#deeds),
      note: 'a b',
      ...(word !== undefined && { 'vod-cover-of': word }),
    };
    const tags = { by: `writer ${this.#deeds}` };
    const { ETag = '', VersionId } = await this.#s3.send(
      new PutObjectCommand({
        Bucket: this.#bucket,
        Key: key,
        Body: body,
        ...about(key),
        ...(this.#words.size > 0 && { ChecksumAlgorithm: 'CRC32' }),
        Metadata: { ...carried, ...metadata },
        Tagging: new URLSearchParams(tags).toString(),
      }),
    );
    this.versions.add(VersionId ?? '');
    const is = sha1(body);
    this.contents.set(ETag.replaceAll('"', ''), is);
    this.history.set(key, [...(this.history.get(key) ?? []), is]);
    this.order.push(key);
    const kept = Object.fromEntries(Object.entries(carried).filter(([name]) => !name.startsWith('vod-')));
    this.expected.set(key, { body, metadata: { ...kept, ...metadata }, tags });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(async () => {
      this.#tick();
      this.#deeds++;
      await work();
      this.#tick();
    });
    this.#turn = mine.catch(() => {});
    return mine;
  }
}
