import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { WriteGuard } from '../wire/conditions.ts';
import { S3Error } from '../wire/errors.ts';
import type { Blobs } from './blobs.ts';
import { type Folders, listNames, loadJson, saveJson } from './disk.ts';
import {
  type BucketRecord,
  bucketRecord,
  keyRecord,
  type Piece,
  type StoredObject,
  type StoredVersion,
} from './record.ts';
import { SortedNames } from './sorted-names.ts';

/** An object as its writer provides it. The bucket adds the version ID, time, and sequencer. */
export type NewObject = Omit<StoredObject, 'kind' | 'versionId' | 'modified' | 'sequencer' | 'annotations'> &
  Partial<Pick<StoredObject, 'annotations'>>;

/** Everything that a bucket needs from its store. */
export type BucketContext = Readonly<{
  folders: Folders;
  blobs: Blobs;
  nextSequencer: () => string;
  now: () => Date;
}>;

const RECORD = 'bucket.json';
const OBJECTS = 'objects';

/** A bucket: its keys and their versions. Every change is synchronous, so no other operation sees half of it. */
export class Bucket {
  readonly names = new SortedNames();
  readonly #versions = new Map<string, readonly StoredVersion[]>();
  readonly #context: BucketContext;
  readonly #dir: string;
  #record: BucketRecord;
  #isRemoved = false;

  constructor(context: BucketContext, record: BucketRecord) {
    this.#context = context;
    this.#record = record;
    this.#dir = join(context.folders.buckets, record.name);
  }

  static create(context: BucketContext, record: BucketRecord): Bucket {
    const bucket = new Bucket(context, record);
    mkdirSync(join(bucket.#dir, OBJECTS), { recursive: true });
    bucket.update(record);
    return bucket;
  }

  /** Loads a bucket. If a kill interrupted its creation or removal, deletes the folder and returns undefined. */
  static load(context: BucketContext, name: string): Bucket | undefined {
    const dir = join(context.folders.buckets, name);
    if (!existsSync(join(dir, RECORD))) {
      rmSync(dir, { recursive: true });
      return undefined;
    }
    const bucket = new Bucket(context, loadJson(join(dir, RECORD), bucketRecord));
    for (const file of listNames(join(dir, OBJECTS))) {
      const { key, versions } = loadJson(join(dir, OBJECTS, file), keyRecord);
      bucket.#index(key, versions);
    }
    return bucket;
  }

  get record(): BucketRecord {
    return this.#record;
  }

  update(record: BucketRecord): void {
    saveJson(this.#context.folders, join(this.#dir, RECORD), record);
    this.#record = record;
  }

  remove(): void {
    this.#isRemoved = true;
    rmSync(join(this.#dir, RECORD));
    rmSync(this.#dir, { recursive: true });
  }

  /** Newest first. Empty if the key has no versions. */
  getVersions(key: string): readonly StoredVersion[] {
    return this.#versions.get(key) ?? [];
  }

  /** The object that a GET without a version ID returns. */
  getCurrent(key: string): StoredObject | undefined {
    const [newest] = this.getVersions(key);
    return newest?.kind === 'object' ? newest : undefined;
  }

  /**
   * Makes `object` the current version of `key`. `created`: when its multipart upload began, which is its time in S3:
   * https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
   * @throws {S3Error} when `guard` rejects the version it replaces
   */
  publish(key: string, object: NewObject, guard: WriteGuard, created?: number): StoredObject {
    guard(this.getCurrent(key));
    const published: StoredObject = {
      kind: 'object',
      annotations: [],
      ...object,
      ...this.#stamp(created),
      sequencer: this.#context.nextSequencer(),
    };
    this.#push(key, published);
    return published;
  }

  /** Hides `key` behind a delete marker. */
  addDeleteMarker(key: string): StoredVersion {
    const marker: StoredVersion = { kind: 'delete marker', ...this.#stamp() };
    this.#push(key, marker);
    return marker;
  }

  /** Deletes one version permanently. */
  deleteVersion(key: string, versionId: string): void {
    this.#save(
      key,
      this.getVersions(key).filter((version) => version.versionId !== versionId),
    );
  }

  /** Changes tags, grants, or annotations, the only attributes that S3 changes in place. */
  updateInPlace(
    key: string,
    versionId: string,
    change: Partial<Pick<StoredObject, 'tags' | 'grants' | 'annotations'>>,
  ): void {
    const updated = this.getVersions(key).map((version) =>
      version.kind === 'object' && version.versionId === versionId ? { ...version, ...change } : version,
    );
    this.#save(key, updated);
  }

  #stamp(created = this.#context.now().getTime()): { versionId: string; modified: number } {
    return {
      versionId: this.#record.versioning === 'Enabled' ? randomBytes(16).toString('hex') : 'null',
      // S3 stores times in whole seconds.
      modified: Math.floor(created / 1000) * 1000,
    };
  }

  /** Replaces the version with the same ID: there is at most one `null` version. */
  #push(key: string, version: StoredVersion): void {
    const others = this.getVersions(key).filter(({ versionId }) => versionId !== version.versionId);
    this.#save(key, [version, ...others]);
  }

  #save(key: string, versions: readonly StoredVersion[]): void {
    // The bucket may have been deleted during a long upload.
    if (this.#isRemoved) throw new S3Error('NoSuchBucket', { details: { BucketName: this.#record.name } });
    const path = join(this.#dir, OBJECTS, fileName(key));
    if (versions.length > 0) saveJson(this.#context.folders, path, { key, versions });
    else rmSync(path, { force: true });
    this.#index(key, versions);
  }

  #index(key: string, versions: readonly StoredVersion[]): void {
    const before = this.getVersions(key);
    if (versions.length > 0) {
      this.#versions.set(key, versions);
      this.names.add(key);
    } else {
      this.#versions.delete(key);
      this.names.remove(key);
    }
    for (const version of versions) this.#context.blobs.retain(piecesOf(version));
    for (const version of before) this.#context.blobs.release(piecesOf(version));
  }
}

/** The bytes of an object and of its annotations. */
const piecesOf = (version: StoredVersion): readonly Piece[] =>
  version.kind === 'object'
    ? [...version.pieces, ...version.annotations.flatMap(({ pieces }) => pieces)]
    : [];

/** The hash of the key: a key cannot leave the folder, exceed the file system's limits, or collide with another. */
const fileName = (key: string): string => `${createHash('sha256').update(key).digest('hex')}.json`;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
export function checkBucketName(name: string): void {
  const wellFormed = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name);
  if (!wellFormed || name.includes('..') || /^\d+\.\d+\.\d+\.\d+$/.test(name)) {
    throw new S3Error('InvalidBucketName', { details: { BucketName: name } });
  }
}
