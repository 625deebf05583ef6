import type { S3Client } from '@aws-sdk/client-s3';
import { DEFAULT_WRITE_BACK, type WriteBackSettings } from '../config.ts';
import { ContentMismatch, ObjectChanged, UnsupportedObject } from '../errors.ts';
import { copyInPlace } from '../s3/copy-in-place.ts';
import { headObject, type ObjectHead } from '../s3/head-object.ts';
import type { FileId, ObjectVersion, StoredFile } from '../schemas.ts';
import { coverMetadata } from './cover-marker.ts';
import { hasMarker, isOwnCopyOf, type MarkedFile, markerMetadata, stripMarker } from './marker.ts';
import { writeTags } from './write-tags.ts';

/** The `fileId` written onto its object, and nothing else changed. */

/** `nowhere`: the object carries it already. `reason`: why it went into tags. */
export type WriteBackResult = Readonly<{ to: 'metadata' | 'tags' | 'nowhere'; reason?: string }>;

/** User metadata of an object, keys and values together: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html */
const MAX_METADATA_BYTES = 2048;

/**
 * Writes `file` onto the object: into its metadata by a conditional copy onto itself, or into its tags, where that is
 * asked for or the object cannot be rewritten.
 * @throws {ObjectChanged} {ObjectDeleted} when the object is no longer the pinned one
 * @throws {UnsupportedObject} when there is no room for it {ContentMismatch} when S3's own SHA-1 of the object is another
 */
export async function writeBack(
  s3: S3Client,
  pin: ObjectVersion,
  file: MarkedFile,
  signal: AbortSignal,
  { mode, maxCopyBytes }: WriteBackSettings = DEFAULT_WRITE_BACK,
): Promise<WriteBackResult> {
  const found = await headObject(s3, pin, signal); // as it is now: somebody may have edited it since
  const at = `write-back to s3://${pin.bucket}/${pin.key}`;
  const isPinned = found.pin.etag === pin.etag && found.pin.versionId === pin.versionId;
  if (!isPinned && !(isOwnCopyOf(found, pin) && hasMarker(found, file))) {
    throw new ObjectChanged(
      `${at}: expected ${describeVersion(pin)}, it is now ${describeVersion(found.pin)}`,
    );
  }
  if (found.sha1 !== undefined && found.sha1 !== file.sha1) {
    if (hasMarker(found, file))
      await copyInPlace(s3, found, stripMarker(found.metadata), signal, maxCopyBytes);
    throw mismatch(at, found.sha1, file);
  }
  if (hasMarker(found, file)) return { to: 'nowhere' };
  const reason = mode === 'tags' ? undefined : whyNotRewritable(found);
  if (mode === 'tags' || reason) {
    const more = file.coverOf ? tagsOfCover(found, file.coverOf) : {};
    const wrote = await writeTags(s3, pin, file, signal, more);
    return {
      to: wrote ? 'tags' : 'nowhere',
      ...(reason && { reason: `the fileId is in the object's tags: ${reason}` }),
    };
  }
  const metadata = {
    ...stripMarker(found.metadata),
    ...markerMetadata(found, file, pin.size > maxCopyBytes),
  };
  assertMetadataFits(at, metadata);
  const written = await copyInPlace(s3, found, metadata, signal, maxCopyBytes);
  // A store that computes no checksum proves nothing, and refutes nothing.
  if (written.sha1 !== undefined && written.sha1 !== file.sha1) {
    const now = await headObject(s3, pin, signal);
    // It shall not carry the id of other bytes; what somebody else has put since is not ours to touch.
    const isOurs = now.pin.etag === written.etag && now.pin.versionId === written.versionId;
    if (isOurs) await copyInPlace(s3, now, stripMarker(now.metadata), signal, maxCopyBytes);
    throw mismatch(at, written.sha1, file);
  }
  return { to: 'metadata' };
}

/** In tags nobody instructs: one entry says whose cover it is. */
const tagsOfCover = ({ metadata }: ObjectHead, coverOf: readonly FileId[]) => ({
  'vod-cover-of': coverMetadata(metadata, coverOf)['vod-covered'],
  'vod-uploaded-at': new Date().toISOString(),
});

const mismatch = (at: string, held: string, { sha1 }: StoredFile): ContentMismatch =>
  new ContentMismatch(`${at}: S3 holds bytes of SHA-1 ${held}, VOD was sent bytes of SHA-1 ${sha1}`);

const describeVersion = ({ etag, versionId }: ObjectVersion): string =>
  versionId ? `version ${versionId}` : `ETag ${etag}`;

const ARCHIVED = new Set(['GLACIER', 'DEEP_ARCHIVE']);

/** A copy needs the bytes and loses what cannot be restated. */
function whyNotRewritable({ head }: ObjectHead): string | undefined {
  if (ARCHIVED.has(head.StorageClass ?? '') && !head.Restore?.includes('ongoing-request="false"')) {
    return `it is archived (${head.StorageClass})`;
  }
  if (head.MissingMeta) return `${head.MissingMeta} of its metadata entries cannot be read over HTTP`;
  return undefined;
}

function assertMetadataFits(at: string, metadata: Readonly<Record<string, string>>): void {
  const bytes = Object.entries(metadata).reduce((sum, entry) => sum + Buffer.byteLength(entry.join('')), 0);
  if (bytes > MAX_METADATA_BYTES) {
    throw new UnsupportedObject(
      `${at}: its metadata would be ${bytes} bytes, S3 allows ${MAX_METADATA_BYTES}: shorten it, then redrive`,
    );
  }
}
