import type { S3Client } from '@aws-sdk/client-s3';
import { headObject, isSameVersion } from '../s3/head-object.ts';
import type { UploadRequest } from '../schemas.ts';
import { mediaTypeOf } from '../upload/media-type.ts';
import { fileFromRecord, metadataMarker } from './marker.ts';

/**
 * Whether the event of a copy is the echo of a write-back: the object is still the version of the event, a video, and the
 * very copy that the write-back made. Then nothing is left to do. Tags and annotations make no event, so they are not read. False in any doubt, also when S3 does not respond: the
 * execution finds out.
 * @throws the reason of the signal
 */
export async function isWrittenBack(
  s3: S3Client,
  { bucket, key, etag, versionId }: UploadRequest,
  signal: AbortSignal,
): Promise<boolean> {
  if (etag === undefined) return false;
  try {
    const head = await headObject(s3, { bucket, key }, signal);
    return (
      isSameVersion(head.pin, { etag, versionId }) &&
      // An execution for an image also looks for videos without it. A copy that a user made may have another name.
      mediaTypeOf(key, head.contentType).kind === 'video' &&
      fileFromRecord(head, metadataMarker(head)) !== undefined
    );
  } catch {
    signal.throwIfAborted();
    return false;
  }
}
