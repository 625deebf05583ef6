import type { S3Client } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { DEFAULT_WRITE_BACK, type WriteBackSettings } from '../config.ts';
import { ContentMismatch, ObjectChanged, UnsupportedObject } from '../errors.ts';
import { copyInPlace } from '../s3/copy-in-place.ts';
import { headObject, type ObjectHead } from '../s3/head-object.ts';
import { type Tags, writeTags } from '../s3/tags.ts';
import { FileId, type ObjectVersion, StoredFile } from '../schemas.ts';
import { coverMetadata, stripCoverMetadata } from './cover-marker.ts';

/** The `fileId` written onto its object, and nothing else changed. */

/** What is written: a file; of an image also the files whose cover it is. */
export type MarkedFile = StoredFile & Readonly<{ coverOf?: readonly FileId[] }>;

/** `nowhere`: the object carries it already. `reason`: why it went into tags. */
export type WriteBackResult = Readonly<{ to: 'metadata' | 'tags' | 'nowhere'; reason?: string }>;

/** User metadata of an object, keys and values together: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html */
const MAX_METADATA_BYTES = 2048;

/**
 * The file that an object is, without reading it: its metadata or tags name one, and S3 itself vouches for the bytes.
 * The names alone prove nothing: they travel with copies, and stay on when other bytes are put with them.
 */
export function verifiedFile(
  { metadata, sha1, pin, etagIsMd5, checksum }: ObjectHead,
  tags: Tags = {},
): StoredFile | undefined {
  const names = metadata['vod-file-id'] ? metadata : tags;
  const named = v.safeParse(StoredFile, {
    fileId: names['vod-file-id'],
    url: names['vod-url'] ?? '',
    sha1: names['vod-sha1'],
  });
  if (!named.success) return undefined;
  const vouched =
    sha1 !== undefined
      ? sha1 === named.output.sha1
      : (etagIsMd5 && pin.etag === names['vod-etag']) ||
        (checksum !== undefined && `${checksum.algorithm}:${checksum.value}` === names['vod-checksum']);
  return vouched ? named.output : undefined;
}

/** The fileId that is on the object and of its bytes: S3 vouches for them, or they lie there as they did then. */
export function trustedFileId(found: ObjectHead, tags: Tags): FileId | undefined {
  const file = verifiedFile(found, tags);
  if (file) return file.fileId;
  const names = found.metadata['vod-file-id'] ? found.metadata : tags;
  const named = v.safeParse(FileId, names['vod-file-id']);
  return named.success && names['vod-etag'] === found.pin.etag ? named.output : undefined;
}

/** Longest time, in milliseconds, from the clock reading of a write-back to S3's for the copy. */
const WRITE_BACK_MS = 5_000;

/**
 * The file that an image was sent as, if this is the very copy that was written then, or if it lies there as it did. Put
 * back later with its metadata it says what was true before another image took its place. Where the two clocks differ
 * nothing worse comes of it than the same image sent once more: what it carries already is not written again.
 */
export function fileFromRecord(found: ObjectHead, names: Tags): StoredFile | undefined {
  const written = Date.parse(names['vod-uploaded-at'] ?? '');
  return modifiedAt(found) - written <= WRITE_BACK_MS
    ? verifiedFile({ ...found, metadata: names })
    : undefined;
}

/** When an image was put there, milliseconds since 1970 by S3's clock: a write-back makes none newer. */
export function originalPutTime(found: ObjectHead): number {
  const { metadata } = found;
  const onRecord = fileFromRecord(found, metadata) && Date.parse(metadata['vod-put-at'] ?? '');
  return onRecord || modifiedAt(found);
}

const modifiedAt = ({ head }: ObjectHead): number => head.LastModified?.getTime() ?? 0;

/** Whether the object carries this file already: writing it again would only start the loop of its own event. */
export const hasMarker = ({ metadata }: ObjectHead, { fileId, sha1, coverOf }: MarkedFile): boolean =>
  metadata['vod-file-id'] === fileId &&
  metadata['vod-sha1'] === sha1 &&
  (coverOf === undefined || metadata['vod-covered'] === coverMetadata(metadata, coverOf)['vod-covered']);

/** The work of an earlier run whose end nobody heard of: a write-back changes version and, of multipart objects, ETag. */
export const isOwnCopyOf = (found: ObjectHead, { etag }: { etag?: string | undefined }): boolean =>
  etag !== undefined && found.metadata['vod-etag'] === etag;

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

const markerMetadata = (found: ObjectHead, { fileId, url, sha1, coverOf }: MarkedFile, inParts: boolean) => ({
  ...(coverOf && {
    ...coverMetadata(found.metadata, coverOf),
    'vod-put-at': new Date(originalPutTime(found)).toISOString(),
  }),
  'vod-file-id': fileId,
  ...(url !== '' && { 'vod-url': url }),
  'vod-sha1': sha1,
  'vod-etag': found.pin.etag,
  // Of a copy in parts S3 computes no SHA-1; the checksum that it keeps of the whole vouches instead.
  ...(inParts && found.checksum && { 'vod-checksum': `${found.checksum.algorithm}:${found.checksum.value}` }),
  'vod-uploaded-at': new Date().toISOString(),
});

const OWN_KEYS = new Set([
  'vod-file-id',
  'vod-url',
  'vod-sha1',
  'vod-etag',
  'vod-checksum',
  'vod-uploaded-at',
  'vod-put-at',
]);

/** What an earlier file left must not stay beside, or vouch for, another. */
const stripMarker = (metadata: ObjectHead['metadata']): ObjectHead['metadata'] =>
  Object.fromEntries(Object.entries(stripCoverMetadata(metadata)).filter(([name]) => !OWN_KEYS.has(name)));

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
