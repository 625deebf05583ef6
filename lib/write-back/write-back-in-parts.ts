import type { S3Client } from '@aws-sdk/client-s3';
import type { WriteBackSettings } from '../config.ts';
import { ObjectChanged, StorageUnavailable } from '../errors.ts';
import { type Deadline, DeadlineExceeded } from '../invocation/deadline.ts';
import { whyNotCopyableInParts } from '../s3/annotations.ts';
import { checkCopy, readTagsAtRisk } from '../s3/check-copy.ts';
import { preservedFields } from '../s3/copy-fields.ts';
import { abortCopy, continueCopy, openCopy } from '../s3/copy-in-parts.ts';
import { headObject, type ObjectHead } from '../s3/head-object.ts';
import type { CopyCheckpoint, ObjectVersion } from '../schemas.ts';
import { hasMarker, type MarkedFile, markerTags } from './marker.ts';
import {
  assertMetadataFits,
  decideWriteBack,
  toTagsReason,
  type WriteBackResult,
  writeNoMetadata,
} from './write-back.ts';

/** The write-back of `copy` continues in the next invocation. */
export type OpenCopy = Readonly<{ copy: CopyCheckpoint }>;

/**
 * `writeBack` for an object that S3 copies only in parts. The first call opens the copy, and each further call continues it.
 * If the object was edited in between, the copy is opened anew. After `ObjectChanged` and errors that a retry can cure, the
 * copy stays open: the next call finds out. After any other error, it is aborted.
 * @throws {DeadlineExceeded} when no part was copied in time; otherwise as `writeBack`
 */
export async function writeBackInParts(
  s3: S3Client,
  pin: ObjectVersion,
  file: MarkedFile,
  settings: WriteBackSettings,
  deadline: Deadline,
  from?: CopyCheckpoint,
): Promise<WriteBackResult | OpenCopy> {
  const { signal } = deadline;
  try {
    const head = await headObject(s3, pin, signal);
    const decision = decideWriteBack(head, pin, file, { ...settings, mode: 'metadata' }, new Date());
    if (decision.action !== 'write-metadata') {
      if (from) await abortCopy(s3, pin, from.uploadId);
      return await writeNoMetadata(s3, head, pin, file, decision, signal);
    }
    const obstacle = await whyNotCopyableInParts(s3, pin, signal);
    if (obstacle !== undefined) {
      if (from) await abortCopy(s3, pin, from.uploadId);
      const tags = markerTags(pin, file, new Date());
      const inTags = { action: 'write-tags', tags, reason: toTagsReason(obstacle) } as const;
      return await writeNoMetadata(s3, head, pin, file, inTags, signal);
    }
    const { metadata, checksum } = decision;
    const copy = { head, checksum, maxPartBytes: settings.maxCopyBytes };
    const tags = from ? await readTagsAtRisk(s3, pin, signal) : {};
    const progress = from && (await continueCopy(s3, copy, from, deadline));
    if (progress === 'complete') {
      const { 'vod-uploaded-at': _, ...kept } = metadata; // the copy has the time at which it was opened
      const isCopy = (current: ObjectHead): boolean => hasMarker(current, file);
      const { lost } = await checkCopy(s3, head, preservedFields(head, kept, {}), tags, isCopy, signal);
      return { to: 'metadata', ...(lost && { reason: lost }) };
    }
    if (from && progress === 'unfinished') return { copy: from };
    assertMetadataFits(pin, metadata);
    return { copy: await openCopy(s3, copy, metadata, signal) };
  } catch (error) {
    const mayContinue = [StorageUnavailable, DeadlineExceeded, ObjectChanged].some(
      (type) => error instanceof type,
    );
    if (from && !mayContinue) await abortCopy(s3, pin, from.uploadId);
    throw error;
  }
}
