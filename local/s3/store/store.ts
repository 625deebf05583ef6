import { S3Error } from '../wire/errors.ts';
import { Blobs } from './blobs.ts';
import { Bucket, type BucketContext, checkBucketName } from './bucket.ts';
import { listNames, openFolders } from './disk.ts';
import type { BucketRecord, StoredObject } from './record.ts';
import { openSequence } from './sequence.ts';
import { Uploads } from './uploads.ts';

/**
 * Everything the server keeps, in one folder; an index of it in memory. One process at a time.
 *
 *   buckets/<name>/bucket.json          buckets/<name>/objects/<hash of key>.json    all versions of a key
 *   uploads/<id>/upload.json, <n>.json  blobs/<id>  the bytes                        drafts/  on their way to a rename
 */
export class Store {
  readonly blobs: Blobs;
  readonly uploads: Uploads;
  readonly #around: BucketContext;
  readonly #buckets = new Map<string, Bucket>();

  /** Opens the folder and removes what a kill left there. */
  constructor(dir: string, now: () => Date) {
    const folders = openFolders(dir);
    this.blobs = new Blobs(folders.blobs);
    this.uploads = new Uploads(folders, this.blobs);
    this.#around = { folders, blobs: this.blobs, nextSequencer: openSequence(folders), now };
    for (const name of listNames(folders.buckets)) {
      const bucket = Bucket.load(this.#around, name);
      if (bucket) this.#buckets.set(name, bucket);
    }
    this.uploads.load(({ bucket, key, id }) => this.completed(bucket, key, id) !== undefined);
    this.blobs.sweep();
  }

  /** The object an upload has become. */
  completed(bucket: string, key: string, uploadId: string): StoredObject | undefined {
    return this.#buckets
      .get(bucket)
      ?.versions(key)
      .filter((version) => version.kind === 'object')
      .find((version) => version.uploadId === uploadId);
  }

  buckets(): readonly Bucket[] {
    return [...this.#buckets.values()].sort((a, b) => (a.record.name < b.record.name ? -1 : 1));
  }

  bucket(name: string): Bucket {
    const bucket = this.#buckets.get(name);
    if (!bucket) {
      checkBucketName(name);
      throw new S3Error('NoSuchBucket', undefined, { details: { BucketName: name } });
    }
    return bucket;
  }

  createBucket(name: string, region: string, versioning?: BucketRecord['versioning']): void {
    checkBucketName(name);
    if (this.#buckets.has(name)) return;
    const created = this.#around.now().getTime();
    this.#buckets.set(
      name,
      Bucket.create(this.#around, { name, created, region, ...(versioning && { versioning }) }),
    );
  }

  deleteBucket(name: string): void {
    const bucket = this.bucket(name);
    if (bucket.names.size > 0)
      throw new S3Error('BucketNotEmpty', undefined, { details: { BucketName: name } });
    for (const { record } of this.uploads.of(name)) this.uploads.end(record.id);
    bucket.remove();
    this.#buckets.delete(name);
  }
}
