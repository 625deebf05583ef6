import { createHash } from 'node:crypto';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectAnnotationCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { HttpRequest } from '@smithy/core/protocols';
import type { MiddlewareStack } from '@smithy/types';
import { MIB, sha1 } from '../../support/values.ts';
import type { ConcurrentWrite } from './plan.ts';

/** The other clients that write objects, and the state that their last writes leave. */

export type Expected = Readonly<{
  body: Buffer;
  /** Without the marker of the write-back. */
  metadata: Readonly<Record<string, string>>;
  tags: Readonly<Record<string, string>>;
  /** Texts by name, without that of the write-back. */
  annotations: Readonly<Record<string, string>>;
}>;

const isImage = (key: string): boolean => !key.endsWith('.mp4');

/** A header value as Node sends it: one character for each byte of the text in UTF-8. */
const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

/** Node sends the headers of a request with `Expect`, which the SDK adds to large bodies, as UTF-8. */
const dropExpectation = <I extends object, O extends object>(stack: MiddlewareStack<I, O>): void =>
  stack.add(
    (next) => (args) => {
      if (HttpRequest.isInstance(args.request)) delete args.request.headers.Expect;
      return next(args);
    },
    { step: 'build', priority: 'low' },
  );

/** Every kind of character that a tag may have. */
const TAG_CHARACTERS = 'aZ9 é片+-=._:/@';

/** The headers of every object. */
export const headersFor = (key: string) =>
  ({
    ContentType: isImage(key) ? 'image/jpeg' : 'video/mp4',
    CacheControl: bytesOf('max-age=60, x="片  à"'),
    ContentLanguage: 'd\xe9', // valid Latin-1, but not UTF-8
    // Only the first costs something to copy.
    StorageClass: isImage(key) ? 'STANDARD_IA' : 'INTELLIGENT_TIERING',
  }) as const;

const pool = createHash('shake256', { outputLength: 6 * MIB })
  .update('the bytes of all videos')
  .digest();

/** Creates `size` bytes. Every `content` has other bytes. */
export function createVideo(size: number, content: string): Buffer {
  const bytes = Buffer.from(pool.subarray(0, size));
  createHash('sha256').update(content).digest().copy(bytes);
  return bytes;
}

/** Creates bytes that begin like a JPEG. */
export const createImage = (content: string): Buffer =>
  Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), createVideo(3000, content)]);

export class Writers {
  /** The expected state by key. `undefined`: deleted. */
  readonly expected = new Map<string, Expected | undefined>();
  /** The SHA-1 of everything that was ever put, by ETag. */
  readonly sha1ByETag = new Map<string, string>();
  /** The SHA-1s that were put under a key, newest last. */
  readonly history = new Map<string, string[]>();
  /** Keys in the order of their puts. */
  readonly putOrder: string[] = [];
  /** Keys that were edited or deleted. */
  readonly touched = new Set<string>();
  /** Keys whose tags were read and written back with one more. */
  readonly tagged = new Set<string>();
  /** Versions that a writer made, whose metadata is not the pipeline's doing. */
  readonly versions = new Set<string>();
  readonly #s3: S3Client;
  readonly #bucket: string;
  readonly #coverOf: ReadonlyMap<string, string | undefined>;
  readonly #passSecond: () => void;
  #previous: Promise<void> = Promise.resolve();
  #writes = 0;

  /**
   * If there are images, all objects are put with a checksum, as S3 adds one itself. Without it, a copy in parts cannot be recognised as
   * the video it was.
   * @param coverOf the images by key, with the `vod-cover-of` of each
   * @param passSecond called before and after each write: S3's times have whole seconds, and no two writes may share one
   */
  constructor(
    s3: S3Client,
    bucket: string,
    coverOf: ReadonlyMap<string, string | undefined>,
    passSecond: () => void,
  ) {
    this.#s3 = s3;
    this.#bucket = bucket;
    this.#coverOf = coverOf;
    this.#passSecond = passSecond;
  }

  put(key: string, body: Buffer, isAnnotated = false): Promise<void> {
    return this.#serialize(async () => {
      await this.#put(key, body, {});
      if (isAnnotated) await this.#annotate(key);
    });
  }

  /** Runs after all earlier writes, so that the last write is well defined. */
  write(kind: ConcurrentWrite, key: string): Promise<void> {
    return this.#serialize(async () => {
      const current = this.expected.get(key);
      const size = Math.max(2, current?.body.length ?? 600_000);
      const content = `${this.#bucket} ${key} ${this.#writes}`;
      const otherBytes = () => (isImage(key) ? createImage(content) : createVideo(size, content));
      if (kind === 'overwrite' || !current) return this.#put(key, otherBytes(), {});
      const target = { Bucket: this.#bucket, Key: key };
      if (kind === 'edit' || kind === 'delete') this.touched.add(key);
      switch (kind) {
        case 'carry': {
          const { Metadata = {} } = await this.#s3.send(new HeadObjectCommand(target));
          return this.#put(key, otherBytes(), Metadata);
        }
        case 'again':
          return this.#put(key, current.body, {});
        case 'edit': {
          const { Metadata = {} } = await this.#s3.send(new HeadObjectCommand(target));
          const edit = { edited: String(this.#writes) };
          const { VersionId } = await this.#s3.send(
            new CopyObjectCommand({
              ...target,
              ...headersFor(key),
              CopySource: `${this.#bucket}/${key}`,
              Metadata: { ...Metadata, ...edit },
              MetadataDirective: 'REPLACE',
            }),
          );
          this.versions.add(VersionId ?? '');
          this.expected.set(key, { ...current, metadata: { ...current.metadata, ...edit } });
          return;
        }
        case 'tag': {
          this.tagged.add(key);
          const { TagSet = [] } = await this.#s3.send(new GetObjectTaggingCommand(target));
          const tag = { Key: 'tagged', Value: String(this.#writes) };
          const Tagging = { TagSet: [...TagSet.filter(({ Key }) => Key !== tag.Key), tag] };
          await this.#s3.send(new PutObjectTaggingCommand({ ...target, Tagging }));
          this.expected.set(key, { ...current, tags: { ...current.tags, tagged: tag.Value } });
          return;
        }
        case 'annotate':
          return this.#annotate(key);
        case 'delete':
          await this.#s3.send(new DeleteObjectCommand(target));
          this.expected.set(key, undefined);
          return;
      }
    });
  }

  /** S3 drops it when the object is overwritten, and keeps it with every copy in one request. */
  async #annotate(key: string): Promise<void> {
    const current = this.expected.get(key);
    if (!current) return;
    const [AnnotationName, AnnotationPayload] = ['writer', `片名 ${this.#writes}`];
    const annotation = { AnnotationName, AnnotationPayload };
    await this.#s3.send(new PutObjectAnnotationCommand({ Bucket: this.#bucket, Key: key, ...annotation }));
    const annotations = { ...current.annotations, [AnnotationName]: AnnotationPayload };
    this.expected.set(key, { ...current, annotations });
  }

  async #put(key: string, body: Buffer, carried: Record<string, string>): Promise<void> {
    const coverOf = this.#coverOf.get(key);
    const metadata = {
      written: String(this.#writes),
      note: bytesOf('片名  à \xa0'),
      ...(coverOf !== undefined && { 'vod-cover-of': coverOf }),
    };
    const tags = { by: `writer ${this.#writes}`, [TAG_CHARACTERS]: TAG_CHARACTERS };
    const command = new PutObjectCommand({
      Bucket: this.#bucket,
      Key: key,
      Body: body,
      ...headersFor(key),
      ...(this.#coverOf.size > 0 && { ChecksumAlgorithm: 'CRC32' }),
      Metadata: { ...carried, ...metadata },
      Tagging: new URLSearchParams(tags).toString().replaceAll('+', '%20'),
    });
    dropExpectation(command.middlewareStack);
    const { ETag = '', VersionId } = await this.#s3.send(command);
    this.versions.add(VersionId ?? '');
    const hash = sha1(body);
    this.sha1ByETag.set(ETag.replaceAll('"', ''), hash);
    this.history.set(key, [...(this.history.get(key) ?? []), hash]);
    this.putOrder.push(key);
    const others = Object.fromEntries(Object.entries(carried).filter(([name]) => !name.startsWith('vod-')));
    this.expected.set(key, { body, metadata: { ...others, ...metadata }, tags, annotations: {} });
  }

  #serialize(work: () => Promise<void>): Promise<void> {
    const turn = this.#previous.then(async () => {
      this.#passSecond();
      this.#writes++;
      await work();
      this.#passSecond();
    });
    this.#previous = turn.catch(() => {});
    return turn;
  }
}
