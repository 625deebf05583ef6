import type { S3Client } from '@aws-sdk/client-s3';
import type { WriteBackSettings } from '../config.ts';
import type { ObjectHead } from '../s3/head-object.ts';
import { readTagsIfAny } from '../s3/tags.ts';
import type { StoredFile } from '../schemas.ts';
import { readMarkerAnnotation } from './annotation.ts';
import { type Marker, metadataMarker, verifiedFile } from './marker.ts';

/** A bucket's objects, and the mode that says where their markers are. */
export type MarkedObjects = Readonly<{ s3: S3Client; writeBack: Pick<WriteBackSettings, 'mode'> }>;

/**
 * Yields the markers of an object, the cheapest to read first. HEAD does not say whether an object has annotations. So they
 * are read only in the modes that write them.
 * @throws {ObjectDeleted} {StorageRejected} {StorageUnavailable}
 */
export async function* readMarkers(
  { s3, writeBack: { mode } }: MarkedObjects,
  head: ObjectHead,
  signal: AbortSignal,
): AsyncGenerator<Marker> {
  if (head.metadata['vod-file-id']) yield metadataMarker(head);
  const tags = await readTagsIfAny(s3, head, signal);
  if (tags['vod-file-id']) {
    const covered = tags['vod-cover-of'];
    yield { place: 'tags', entries: { ...tags, ...(covered && { 'vod-covered': covered }) } };
  }
  if (mode !== 'annotation' && mode !== 'auto') return;
  const entries = await readMarkerAnnotation(s3, head.pin, signal);
  if (entries) yield { place: 'annotation', entries };
}

/** The file that a marker of the object names, if S3 verifies it. @throws as `readMarkers` */
export async function readVerifiedFile(
  objects: MarkedObjects,
  head: ObjectHead,
  signal: AbortSignal,
): Promise<StoredFile | undefined> {
  for await (const marker of readMarkers(objects, head, signal)) {
    const file = verifiedFile(head, marker);
    if (file) return file;
  }
  return undefined;
}
