import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Guard } from '../wire/conditions.ts';
import { S3Error } from '../wire/errors.ts';
import type { Blobs } from './blobs.ts';
import { type Folders, listNames, loadJson, saveJson } from './disk.ts';
import {
  type BucketRecord,
  bucketRecord,
  keyRecord,
  type StoredObject,
  type StoredVersion,
} from './record.ts';
import { SortedNames } from './sorted-names.ts';

/** What a writer brings; the bucket adds version, time and sequencer. */
export type NewObject = Omit<StoredObject, 'kind' | 'versionId' | 'modified' | 'sequencer'>;

/** What a bucket needs of the store around it. */
export type BucketContext = Readonly<{
  folders: Folders;
  blobs: Blobs;
  nextSequencer: () => string;
  now: () => Date;
}>;

const RECORD = 'bucket.json';
const OBJECTS = 'objects';

/** A bucket: its keys, and for each its versions. Everything that changes it is synchronous, so atomic to all others. */
export class Bucket {
  readonly names = new SortedNames();
  readonly #versions = new Map<string, readonly StoredVersion[]>();
  readonly #around: BucketContext;
  readonly #dir: string;
  #record: BucketRecord;
  #removed = false;

  constructor(around: BucketContext, record: BucketRecord) {
    this.#around = around;
    this.#record = record;
    this.#dir = join(around.folders.buckets, record.name);
  }

  static create(around: BucketContext, record: BucketRecord): Bucket {
    const bucket = new Bucket(around, record);
    mkdirSync(join(bucket.#dir, OBJECTS), { recursive: true });
    bucket.update(record);
    return bucket;
  }

  /** The bucket in that folder; undefined, and no folder any more, where a kill cut its creation or removal short. */
  static load(around: BucketContext, name: string): Bucket | undefined {
    const dir = join(around.folders.buckets, name);
    if (!existsSync(join(dir, RECORD))) {
      rmSync(dir, { recursive: true });
      return undefined;
    }
    const bucket = new Bucket(around, loadJson(join(dir, RECORD), bucketRecord));
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
    saveJson(this.#around.folders, join(this.#dir, RECORD), record);
    this.#record = record;
  }

  remove(): void {
    this.#removed = true;
    rmSync(join(this.#dir, RECORD));
    rmSync(this.#dir, { recursive: true });
  }

  /** Newest first; none where the key was never written or is gone altogether. */
  versions(key: string): readonly StoredVersion[] {
    return this.#versions.get(key) ?? [];
  }

  /** The object a plain GET sees. */
  current(key: string): StoredObject | undefined {
    const [newest] = this.versions(key);
    return newest?.kind === 'object' ? newest : undefined;
  }

  /** Makes `object` the current one of `key`, unless `guard` objects to what is there. */
  publish(key: string, object: NewObject, guard: Guard): StoredObject {
    guard(this.current(key));
    const published: StoredObject = {
      kind: 'object',
      ...object,
      ...this.#stamp(),
      sequencer: this.#around.nextSequencer(),
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

  /** Removes one version for good. */
  deleteVersion(key: string, versionId: string): void {
    this.#save(
      key,
      this.versions(key).filter((version) => version.versionId !== versionId),
    );
  }

  /** Changes what S3 lets change in place: tags and grants. */
  updateInPlace(
    key: string,
    versionId: string,
    change: Partial<Pick<StoredObject, 'tags' | 'grants'>>,
  ): void {
    const amended = this.versions(key).map((version) =>
      version.kind === 'object' && version.versionId === versionId ? { ...version, ...change } : version,
    );
    this.#save(key, amended);
  }

  #stamp(): { versionId: string; modified: number } {
    return {
      versionId: this.#record.versioning === 'Enabled' ? randomBytes(16).toString('hex') : 'null',
      // S3 keeps time in whole seconds.
      modified: Math.floor(this.#around.now().getTime() / 1000) * 1000,
    };
  }

  /** There is at most one `null` version: it is replaced, the others stay. */
  #push(key: string, version: StoredVersion): void {
    const others = this.versions(key).filter(({ versionId }) => versionId !== version.versionId);
    this.#save(key, [version, ...others]);
  }

  #save(key: string, versions: readonly StoredVersion[]): void {
    // An upload may take longer than its bucket lasts.
    if (this.#removed)
      throw new S3Error('NoSuchBucket', undefined, { details: { BucketName: this.#record.name } });
    const path = join(this.#dir, OBJECTS, fileName(key));
    if (versions.length > 0) saveJson(this.#around.folders, path, { key, versions });
    else rmSync(path, { force: true });
    this.#index(key, versions);
  }

  #index(key: string, versions: readonly StoredVersion[]): void {
    const before = this.versions(key);
    if (versions.length > 0) {
      this.#versions.set(key, versions);
      this.names.add(key);
    } else {
      this.#versions.delete(key);
      this.names.remove(key);
    }
    for (const version of versions) if (version.kind === 'object') this.#around.blobs.retain(version.pieces);
    for (const version of before) if (version.kind === 'object') this.#around.blobs.release(version.pieces);
  }
}

/** No key can leave the folder, be too long for the file system, or stand in the way of another: its hash is its name. */
const fileName = (key: string): string => `${createHash('sha256').update(key).digest('hex')}.json`;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
export function checkBucketName(name: string): void {
  const wellFormed = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name);
  if (!wellFormed || name.includes('..') || /^\d+\.\d+\.\d+\.\d+$/.test(name)) {
    throw new S3Error('InvalidBucketName', undefined, { details: { BucketName: name } });
  }
}
