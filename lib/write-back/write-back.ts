import type { S3Client } from '@aws-sdk/client-s3';
import { DEFAULT_WRITE_BACK, type WriteBackSettings } from '../config.ts';
import { ContentMismatch, ObjectChanged, StorageUnavailable, UnsupportedObject } from '../errors.ts';
import { CopyForbidden, type CopyResult, copyInPlace } from '../s3/copy-in-place.ts';
import {
  type FullObjectChecksum,
  headObject,
  isSameVersion,
  type Metadata,
  type ObjectHead,
} from '../s3/head-object.ts';
import { abilitiesOf } from '../s3/store-abilities.ts';
import type { Tags } from '../s3/tags.ts';
import type { ObjectVersion } from '../schemas.ts';
import { writeMarkerAnnotation } from './annotation.ts';
import { choosePlace } from './choose-place.ts';
import {
  copyChecksum,
  hasMarker,
  isCopiedInParts,
  isOwnCopyOf,
  type MarkedFile,
  type Marker,
  markerMetadata,
  markerTags,
  stripMarker,
} from './marker.ts';
import { whyNotCopyable } from './rewrite-costs.ts';
import { writeTags } from './write-tags.ts';

/** `to`: the place of the marker. `unchanged`: the object already had it. `reason`: why it is in this place. */
export type WriteBackResult = Readonly<{ to: Marker['place'] | 'unchanged'; reason?: string }>;

/** The settings for one object: `auto` has chosen. */
export type PlacedSettings = WriteBackSettings & Readonly<{ mode: Marker['place'] }>;

export type WriteBackDecision =
  | Readonly<{ action: 'reject-changed' }>
  /**
   * S3 holds other bytes than VOD received. `metadata`: to be restored, since the object carries the marker. In the modes
   * `tags` and `annotation` the functions may not write metadata.
   */
  | Readonly<{ action: 'reject-mismatch'; problem: string; metadata?: Metadata }>
  | Readonly<{ action: 'keep' }>
  | Readonly<{ action: 'write-tags'; tags: Tags; reason?: string }>
  /** `tags`: for an object that cannot have the annotation. */
  | Readonly<{ action: 'write-annotation'; marker: Metadata; tags: Tags }>
  /** `checksum`: the completion of a copy in parts depends on it. */
  | Readonly<{ action: 'write-metadata'; metadata: Metadata; checksum?: FullObjectChecksum }>;

/**
 * Decides how to write the marker of `file` onto an object.
 * @param head the object as it is now
 * @param pin the version that was uploaded as `file`
 */
export function decideWriteBack(
  head: ObjectHead,
  pin: ObjectVersion,
  file: MarkedFile,
  settings: PlacedSettings,
  now: Date,
): WriteBackDecision {
  const { mode } = settings;
  const isMarked = hasMarker(head, file);
  // An earlier attempt may have written the marker without receiving the response.
  if (!isSameVersion(head.pin, pin) && !(isMarked && isOwnCopyOf(head, pin)))
    return { action: 'reject-changed' };
  const unmarked = stripMarker(head.metadata);
  const problem = mismatchOf(head, file);
  if (problem !== undefined)
    return {
      action: 'reject-mismatch',
      problem,
      ...(isMarked && mode === 'metadata' && { metadata: unmarked }),
    };
  if (isMarked) return { action: 'keep' };
  const tags = markerTags(pin, file, now);
  if (mode === 'tags') return { action: 'write-tags', tags };
  if (mode === 'annotation')
    return { action: 'write-annotation', marker: markerMetadata(head, file, head.checksum, now), tags };
  const reason = whyNotCopyable(head);
  if (reason) return { action: 'write-tags', tags, reason: toTagsReason(reason) };
  // S3 computes the SHA-1 of a whole copy if VOD received the bytes with one.
  const needsChecksum = isCopiedInParts(pin, settings) || file.sha1 === undefined;
  const checksum = needsChecksum ? copyChecksum(head, file) : undefined;
  const metadata = { ...unmarked, ...markerMetadata(head, file, checksum, now) };
  return { action: 'write-metadata', metadata, ...(checksum && { checksum }) };
}

/** The difference between S3's checksums of an object and those of the bytes that VOD received. */
function mismatchOf(
  { sha1, checksum }: Pick<ObjectHead, 'sha1' | 'checksum'>,
  file: MarkedFile,
): string | undefined {
  if (sha1 !== undefined && file.sha1 !== undefined && sha1 !== file.sha1)
    return `expected the SHA-1 ${file.sha1} that VOD received, S3 has ${sha1}`;
  if (checksum?.algorithm === 'CRC64NVME' && file.crc64 !== undefined && checksum.value !== file.crc64)
    return `expected the CRC64NVME ${file.crc64} of the bytes that VOD received, S3 has ${checksum.value}`;
  return undefined;
}

export const toTagsReason = (reason: string): string => `the fileId is in the object's tags: ${reason}`;

/** Attempts of a write-back while S3 reports a change of an object that did not change. The last has another condition. */
const MAX_ATTEMPTS = 4;

/**
 * Writes the marker of `file` onto an object: into its metadata by a conditional copy in place, into an annotation, or into
 * its tags. `writeBackInParts` copies objects of more than `maxCopyBytes`.
 * @throws {ObjectChanged} {ObjectDeleted} when the object is no longer the version `pin`
 * @throws {UnsupportedObject} when the marker does not fit {ContentMismatch} when S3's own SHA-1 of the object differs
 * @throws {StorageUnavailable} also when S3 keeps reporting a change of an object that did not change
 */
export async function writeBack(
  s3: S3Client,
  pin: ObjectVersion,
  file: MarkedFile,
  signal: AbortSignal,
  settings: WriteBackSettings = DEFAULT_WRITE_BACK,
): Promise<WriteBackResult> {
  const abilities = abilitiesOf(s3);
  let lastModified: Date | undefined;
  for (let attempt = 1, refusals = 0; ; attempt++) {
    const head = await headObject(s3, pin, signal);
    const { LastModified } = head.response;
    refusals = lastModified && lastModified.getTime() === LastModified?.getTime() ? refusals + 1 : 0;
    lastModified = LastModified;
    const { place, reason: choice } = await choosePlace(s3, head, settings, signal);
    const decision = decideWriteBack(head, pin, file, { ...settings, mode: place }, new Date());
    if (decision.action === 'reject-changed') throw changed(pin, head);
    // A store that compares the time below the second rejects every copy with that condition.
    const condition = abilities.acceptsOwnTime === false || refusals === MAX_ATTEMPTS - 1 ? 'etag' : 'time';
    try {
      if (decision.action !== 'write-metadata') {
        const result = await writeNoMetadata(s3, head, pin, file, decision, signal);
        return result.to === 'unchanged' ? result : withReasons(result.to, choice, result.reason);
      }
      assertMetadataFits(pin, decision.metadata);
      const copied = await copyUnlessForbidden(s3, head, decision.metadata, signal, {
        condition,
        algorithm: file.sha1 === undefined ? 'CRC64NVME' : 'SHA1',
      });
      if ('forbidden' in copied) {
        const tags = markerTags(pin, file, new Date());
        const reason = toTagsReason(copied.forbidden);
        const inTags = { action: 'write-tags', tags, reason } as const;
        const result = await writeNoMetadata(s3, head, pin, file, inTags, signal);
        return withReasons(result.to, choice, result.reason);
      }
      await rejectOtherBytes(s3, pin, file, copied, signal);
      const { lost } = copied;
      if (condition === 'etag') abilities.acceptsOwnTime = false;
      return withReasons('metadata', choice, condition === 'etag' ? ETAG_ONLY : undefined, lost);
    } catch (error) {
      if (!(error instanceof ObjectChanged)) throw error;
      // The object did not change, so no event would upload it again: "superseded" would lose it.
      if (attempt === MAX_ATTEMPTS) throw unchanged(error, attempt);
    }
  }
}

/** S3 rejected the write-back of an object that is still the same. */
export const unchanged = (error: ObjectChanged, attempts: number): StorageUnavailable =>
  new StorageUnavailable(
    `${error.message}: S3 rejected ${attempts} attempts, but the object did not change.`,
    {
      cause: error,
    },
  );

/** @throws as `copyInPlace`, but returns why S3 may forbid the copy of an object with annotations */
async function copyUnlessForbidden(
  ...copy: Parameters<typeof copyInPlace>
): Promise<CopyResult | Readonly<{ forbidden: string }>> {
  try {
    return await copyInPlace(...copy);
  } catch (error) {
    if (error instanceof CopyForbidden) return { forbidden: error.reason };
    throw error;
  }
}

/** Removes the marker from a copy that has other bytes than `file`. @throws {ObjectChanged} {ContentMismatch} as `copyInPlace` */
async function rejectOtherBytes(
  s3: S3Client,
  pin: ObjectVersion,
  file: MarkedFile,
  copied: CopyResult,
  signal: AbortSignal,
): Promise<void> {
  // A service that computes no checksum neither proves nor disproves anything.
  const problem = mismatchOf(copied, file);
  if (problem === undefined && !copied.hasOtherBytes) return;
  // The object must not carry the fileId of other bytes. A newer object of another writer stays as it is.
  const current = await headObject(s3, pin, signal);
  if (isSameVersion(current.pin, copied))
    await copyInPlace(s3, current, stripMarker(current.metadata), signal);
  throw copied.hasOtherBytes || problem === undefined ? changed(pin, current) : mismatch(pin, problem);
}

function withReasons(to: WriteBackResult['to'], ...reasons: (string | undefined)[]): WriteBackResult {
  const reason = reasons.filter((text) => text !== undefined).join('; ');
  return { to, ...(reason !== '' && { reason }) };
}

/** Carries out a decision that adds no metadata. @throws as `writeBack` */
export async function writeNoMetadata(
  s3: S3Client,
  head: ObjectHead,
  pin: ObjectVersion,
  file: MarkedFile,
  decision: Exclude<WriteBackDecision, { action: 'write-metadata' }>,
  signal: AbortSignal,
): Promise<WriteBackResult> {
  switch (decision.action) {
    case 'reject-changed':
      throw changed(pin, head);
    case 'reject-mismatch':
      // S3 keeps the SHA-1 of a whole object of at most 5 GiB only, so it can be copied in one request.
      if (decision.metadata) await copyInPlace(s3, head, decision.metadata, signal);
      throw mismatch(pin, decision.problem);
    case 'keep':
      return { to: 'unchanged' };
    case 'write-tags': {
      const { tags, reason } = decision;
      const isChanged = await writeTags(s3, pin, tags, signal);
      return { to: isChanged ? 'tags' : 'unchanged', ...(reason && { reason }) };
    }
    case 'write-annotation': {
      const written = await writeMarkerAnnotation(s3, pin, decision.marker, signal);
      if ('changed' in written) return { to: written.changed ? 'annotation' : 'unchanged' };
      const { tags } = decision;
      const reason = toTagsReason(written.impossible);
      return writeNoMetadata(s3, head, pin, file, { action: 'write-tags', tags, reason }, signal);
    }
  }
}

const ETAG_ONLY =
  'S3 rejected the condition on the time of the object, so only its ETag was a condition of the copy';

const targetOf = ({ bucket, key }: ObjectVersion): string => `write-back to s3://${bucket}/${key}`;

const changed = (pin: ObjectVersion, head: ObjectHead): ObjectChanged =>
  new ObjectChanged(`${targetOf(pin)}: expected ${describeVersion(pin)}, got ${describeVersion(head.pin)}`);

const mismatch = (pin: ObjectVersion, problem: string): ContentMismatch =>
  new ContentMismatch(`${targetOf(pin)}: ${problem}`);

const describeVersion = ({ etag, versionId }: ObjectVersion): string =>
  versionId ? `version ${versionId}` : `ETag ${etag}`;

/** S3's limit for keys and values together: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html */
const MAX_METADATA_BYTES = 2048;

/** @throws {UnsupportedObject} */
export function assertMetadataFits(pin: ObjectVersion, metadata: Metadata): void {
  const bytes = Object.entries(metadata).reduce(
    (sum, entry) => sum + Buffer.byteLength(entry.join(''), 'latin1'),
    0,
  );
  if (bytes > MAX_METADATA_BYTES) {
    throw new UnsupportedObject(
      `${targetOf(pin)}: expected at most ${MAX_METADATA_BYTES} bytes of metadata, got ${bytes} bytes. Shorten it, then redrive.`,
    );
  }
}
