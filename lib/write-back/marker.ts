import * as v from 'valibot';
import type { WriteBackSettings } from '../config.ts';
import type { FullObjectChecksum, Metadata, ObjectHead } from '../s3/head-object.ts';
import type { Tags } from '../s3/tags.ts';
import { FileId, type ObjectVersion, StoredFile } from '../schemas.ts';
import { formatFileIds, userCoverOf } from './cover-marker.ts';

/**
 * The content of a marker. `coverOf`: of an image, the files that have it as their cover. `crc64`: the CRC64NVME of the bytes
 * that VOD received, if `needsCrc64`.
 */
export type MarkedFile = StoredFile & Readonly<{ coverOf?: readonly FileId[]; crc64?: string | undefined }>;

const MARKER_KEYS = new Set([
  ...['vod-file-id', 'vod-url', 'vod-sha1', 'vod-etag', 'vod-checksum', 'vod-uploaded-at'],
  ...['vod-put-at', 'vod-cover-of', 'vod-covered'], // of an image
]);

/** The marker of an object, as it was found in one place. */
export type Marker = Readonly<{ place: 'metadata' | 'tags' | 'annotation'; entries: Metadata }>;

export const metadataMarker = ({ metadata }: ObjectHead): Marker => ({
  place: 'metadata',
  entries: metadata,
});

/**
 * The file that the marker names, if S3's own checksum or ETag confirms that the object has these bytes. A marker alone
 * proves nothing: it travels with copies, and users put other bytes with the metadata of the old ones.
 *
 * S3 accepted an annotation only for the ETag in it, and a write of other bytes drops it. So the ETag confirms the bytes even
 * if it is no MD5. See docs/decisions/0018.
 */
export function verifiedFile(
  { sha1, pin, etagIsMd5, checksum }: ObjectHead,
  { place, entries }: Marker,
): StoredFile | undefined {
  const parsed = v.safeParse(StoredFile, {
    fileId: entries['vod-file-id'],
    url: entries['vod-url'] ?? '',
    sha1: entries['vod-sha1'],
  });
  if (!parsed.success) return undefined;
  const { sha1: recorded } = parsed.output;
  const isVerified =
    sha1 !== undefined && recorded !== undefined
      ? sha1 === recorded
      : ((etagIsMd5 || place === 'annotation' || recorded === undefined) &&
          pin.etag === entries['vod-etag']) ||
        (checksum !== undefined && entries['vod-checksum'] === formatChecksum(checksum));
  return isVerified ? parsed.output : undefined;
}

/** The fileId in the marker, if it is verified or if the object still has the ETag that it had at the write-back. */
export function trustedFileId(head: ObjectHead, marker: Marker): FileId | undefined {
  const file = verifiedFile(head, marker);
  if (file) return file.fileId;
  const fileId = v.safeParse(FileId, marker.entries['vod-file-id']);
  return fileId.success && marker.entries['vod-etag'] === head.pin.etag ? fileId.output : undefined;
}

const formatChecksum = ({ algorithm, value }: FullObjectChecksum): string => `${algorithm}:${value}`;

/** The longest time between the clock reading of a write-back and S3's time for the copy. */
const MAX_WRITE_BACK_MS = 5_000;

/**
 * The file that an image was sent as, if this object is the very copy that the write-back made, or is older. An image put
 * again later with its metadata carries a record from before another image replaced it. Clock skew causes at most one
 * redundant upload: a marker that the object already has is not written again.
 */
export const fileFromRecord = (head: ObjectHead, record: Marker): StoredFile | undefined =>
  lastModifiedMs(head) - Date.parse(record.entries['vod-uploaded-at'] ?? '') <= MAX_WRITE_BACK_MS
    ? verifiedFile(head, record)
    : undefined;

/** When the user put an image, in milliseconds since 1970 by S3's clock. A write-back does not change it. */
export function originalPutTime(head: ObjectHead): number {
  const record = metadataMarker(head);
  const recorded = fileFromRecord(head, record) && Date.parse(record.entries['vod-put-at'] ?? '');
  return recorded || lastModifiedMs(head);
}

const lastModifiedMs = ({ response }: ObjectHead): number => response.LastModified?.getTime() ?? 0;

/** Whether the object already has this marker. Writing it again would emit another event, and that event another write. */
export const hasMarker = ({ metadata }: ObjectHead, { fileId, sha1, coverOf }: MarkedFile): boolean =>
  metadata['vod-file-id'] === fileId &&
  metadata['vod-sha1'] === sha1 &&
  (coverOf === undefined || metadata['vod-covered'] === formatFileIds(coverOf));

/** Whether the object is the write-back's copy of an earlier version. The copy has another version ID, and a multipart object another ETag. */
export const isOwnCopyOf = ({ metadata }: ObjectHead, { etag }: { etag?: string | undefined }): boolean =>
  etag !== undefined && metadata['vod-etag'] === etag;

/** S3 copies a larger object only in parts, and computes no SHA-1 of the copy. */
export const isCopiedInParts = (
  { size }: ObjectVersion,
  { mode, maxCopyBytes }: WriteBackSettings,
): boolean => mode === 'metadata' && size > maxCopyBytes;

/**
 * Whether the hash pass computes the CRC64NVME, because S3 has no CRC of the whole object to verify the copy by. See
 * docs/decisions/0014.
 */
export const needsCrc64 = (head: ObjectHead, settings: WriteBackSettings): boolean =>
  isCopiedInParts(head.pin, settings) && head.checksum === undefined;

/** The CRC of the whole object that verifies its copy in parts. */
export const copyChecksum = (head: ObjectHead, { crc64 }: MarkedFile): FullObjectChecksum | undefined =>
  head.checksum ?? (crc64 === undefined ? undefined : { algorithm: 'CRC64NVME', value: crc64 });

/** @param checksum that S3 keeps of the whole object after the write-back, unless it is the SHA-1 */
export const markerMetadata = (
  head: ObjectHead,
  { fileId, url, sha1, coverOf }: MarkedFile,
  checksum: FullObjectChecksum | undefined,
  now: Date,
): Metadata => ({
  ...(coverOf && {
    'vod-cover-of': userCoverOf(head.metadata) ?? formatFileIds(coverOf),
    'vod-covered': formatFileIds(coverOf),
    'vod-put-at': new Date(originalPutTime(head)).toISOString(),
  }),
  'vod-file-id': fileId,
  ...(url !== '' && { 'vod-url': url }),
  ...(sha1 !== undefined && { 'vod-sha1': sha1 }),
  'vod-etag': head.pin.etag,
  ...(checksum && { 'vod-checksum': formatChecksum(checksum) }),
  'vod-uploaded-at': now.toISOString(),
});

/** S3's rules for a tag value. The `url` may break them and is then left out: the `fileId` identifies the file. */
const TAG_VALUE = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,256}$/u;

/** Tags hold no user's `vod-cover-of`, so one entry names the files that an image covers. */
export const markerTags = (
  { etag }: ObjectVersion,
  { fileId, url, sha1, coverOf }: MarkedFile,
  now: Date,
): Tags => {
  const tags: Record<string, string> = {
    ...{ 'vod-file-id': fileId, 'vod-etag': etag, 'vod-url': url },
    ...(sha1 !== undefined && { 'vod-sha1': sha1 }),
    ...(coverOf && { 'vod-cover-of': formatFileIds(coverOf), 'vod-uploaded-at': now.toISOString() }),
  };
  return Object.fromEntries(Object.entries(tags).filter(([, value]) => TAG_VALUE.test(value)));
};

/** Metadata without the marker. A user's `vod-cover-of` stays. */
export function stripMarker(metadata: Metadata): Metadata {
  const coverOf = userCoverOf(metadata);
  return { ...stripMarkerTags(metadata), ...(coverOf !== undefined && { 'vod-cover-of': coverOf }) };
}

export const stripMarkerTags = <T>(tags: Readonly<Record<string, T>>): Readonly<Record<string, T>> =>
  Object.fromEntries(Object.entries(tags).filter(([name]) => !MARKER_KEYS.has(name)));
