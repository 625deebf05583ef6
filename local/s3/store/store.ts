import { S3Error } from '../wire/errors.ts';
import { Blobs } from './blobs.ts';
import { Bucket, type BucketContext, checkBucketName } from './bucket.ts';
import { listNames, openFolders } from './disk.ts';
import type { BucketRecord, StoredObject } from './record.ts';
import { findLastStart, openSequence } from './sequence.ts';
import { Uploads } from './uploads.ts';

/** `discard`: keeps the records of objects and parts, but not their bytes. For benchmarks of uploads. */
type StoreOptions = Readonly<{ discard?: boolean | undefined }>;

/**
 * The data of the server: one folder, with an index in memory. One process at a time may use it.
 *
 *   buckets/<name>/bucket.json, buckets/<name>/objects/<hash of key>.json    all versions of a key
 *   uploads/<id>/upload.json, uploads/<id>/<part number>.json                uploads in progress
 *   blobs/<id>                                                               bytes
 *   drafts/                                                                  files before their rename
 */
export class Store {
  readonly blobs: Blobs;
  readonly uploads: Uploads;
  readonly #context: BucketContext;
  readonly #buckets = new Map<string, Bucket>();

  /** Opens the folder and deletes leftovers of a killed process. */
  constructor(dir: string, now: () => Date, { discard = false }: StoreOptions = {}) {
    const folders = openFolders(dir);
    const lastStart = findLastStart(folders);
    this.blobs = new Blobs(folders.blobs, discard);
    this.uploads = new Uploads(folders, this.blobs);
    this.#context = { folders, blobs: this.blobs, nextSequencer: openSequence(folders), now };
    for (const name of listNames(folders.buckets)) {
      const bucket = Bucket.load(this.#context, name);
      if (bucket) this.#buckets.set(name, bucket);
    }
    this.uploads.load(({ bucket, key, id }) => this.findCompleted(bucket, key, id) !== undefined, lastStart);
    this.blobs.sweep();
  }

  /** The object that an upload created. */
  findCompleted(bucket: string, key: string, uploadId: string): StoredObject | undefined {
    return this.#buckets
      .get(bucket)
      ?.getVersions(key)
      .filter((version) => version.kind === 'object')
      .find((version) => version.uploadId === uploadId);
  }

  listBuckets(): readonly Bucket[] {
    return [...this.#buckets.values()].sort((a, b) => (a.record.name < b.record.name ? -1 : 1));
  }

  getBucket(name: string): Bucket {
    const bucket = this.#buckets.get(name);
    if (!bucket) {
      checkBucketName(name);
      throw new S3Error('NoSuchBucket', { details: { BucketName: name } });
    }
    return bucket;
  }

  createBucket(
    name: string,
    region: string,
    versioning?: BucketRecord['versioning'],
    created = this.#context.now().getTime(),
  ): void {
    checkBucketName(name);
    if (this.#buckets.has(name)) return;
    const record = { name, created, region, ...(versioning && { versioning }) };
    this.#buckets.set(name, Bucket.create(this.#context, record));
  }

  deleteBucket(name: string): void {
    const bucket = this.getBucket(name);
    if (bucket.names.size > 0) throw new S3Error('BucketNotEmpty', { details: { BucketName: name } });
    for (const { record } of this.uploads.listByBucket(name)) this.uploads.remove(record.id);
    bucket.remove();
    this.#buckets.delete(name);
  }
}
