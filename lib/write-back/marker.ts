import * as v from 'valibot';
import type { ObjectHead } from '../s3/head-object.ts';
import type { Tags } from '../s3/tags.ts';
import { FileId, StoredFile } from '../schemas.ts';
import { coverMetadata, stripCoverMetadata } from './cover-marker.ts';

/** What is written: a file; of an image also the files whose cover it is. */
export type MarkedFile = StoredFile & Readonly<{ coverOf?: readonly FileId[] }>;

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

export const markerMetadata = (
  found: ObjectHead,
  { fileId, url, sha1, coverOf }: MarkedFile,
  inParts: boolean,
) => ({
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
export const stripMarker = (metadata: ObjectHead['metadata']): ObjectHead['metadata'] =>
  Object.fromEntries(Object.entries(stripCoverMetadata(metadata)).filter(([name]) => !OWN_KEYS.has(name)));
