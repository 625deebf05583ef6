import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { UnsupportedObject } from '../errors.ts';
import type { ObjectHead } from '../s3/head-object.ts';
import { readRange } from '../s3/read-range.ts';
import { type ObjectVersion, Sha1 } from '../schemas.ts';
import { cleanFileName, detectImageType, mediaTypeOf } from '../upload/media-type.ts';
import { optionsFromMetadata } from '../upload/upload-options.ts';
import type { CoverImage } from '../vod/client.ts';

/** An image, read whole, as VOD gets it. */

/** SmallFileUpload takes files under 1 MB (1,048,576 bytes). */
const MAX_COVER_BYTES = 1_048_575;

/**
 * The bytes of the pinned image, and what VOD is told of them.
 * @throws {UnsupportedObject} for what cannot be a cover, and what `readRange` throws
 */
export async function readImage(
  s3: S3Client,
  { pin, metadata, contentType }: ObjectHead,
  signal: AbortSignal,
  fileName: string | undefined,
): Promise<Omit<CoverImage, 'coverOf'>> {
  const object = `s3://${pin.bucket}/${pin.key}`;
  const media = mediaTypeOf(pin.key, contentType);
  if (media.kind !== 'image') throw new UnsupportedObject(`${object}: no image by its name`);
  const unfit = coverSizeProblem(pin);
  if (unfit) throw new UnsupportedObject(`${object}: ${unfit}: put another image there`);
  const bytes = await readRange(s3, pin, { offset: 0, size: pin.size }, signal);
  const kind = detectImageType(bytes);
  const { fileType } = media;
  if (kind !== (fileType === 'jpeg' ? 'jpg' : fileType)) {
    const begins = Buffer.from(bytes.subarray(0, 12)).toString('hex');
    throw new UnsupportedObject(
      `${object}: expected the bytes of a ${fileType}, they begin with ${begins}${kind ? `, as a ${kind}` : ''}: ` +
        'put the image there under the suffix of its kind',
    );
  }
  const name = fileName ?? optionsFromMetadata(metadata, object).fileName;
  return {
    sha1: v.parse(Sha1, createHash('sha1').update(bytes).digest('hex')),
    bytes,
    fileName: name === undefined ? media.fileName : cleanFileName(name),
    fileType,
  };
}

/** Why an image of this size cannot be a cover, if it cannot. */
export function coverSizeProblem({ size }: ObjectVersion): string | undefined {
  if (size === 0) return 'it is empty (0 bytes)';
  return size > MAX_COVER_BYTES
    ? `it is too large for a cover (${size} bytes, at most ${MAX_COVER_BYTES})`
    : undefined;
}
