import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { UnsupportedObject } from '../errors.ts';
import type { ObjectHead } from '../s3/head-object.ts';
import { readRange } from '../s3/read-range.ts';
import { type ObjectVersion, Sha1 } from '../schemas.ts';
import { cleanFileName, detectImageType, mediaTypeOf } from '../upload/media-type.ts';
import { optionsFromMetadata } from '../upload/upload-options.ts';
import type { CoverImage } from '../vod/target.ts';

/** `SmallFileUpload` accepts files under 1 MB (1,048,576 bytes). */
const MAX_COVER_BYTES = 1_048_575;

/**
 * Reads an image as VOD expects it.
 * @param fileName replaces the name from the metadata and the key
 * @throws {UnsupportedObject} for an object that cannot be a cover, and the errors of `readRange`
 */
export async function readImage(
  s3: S3Client,
  { pin, metadata, contentType }: ObjectHead,
  signal: AbortSignal,
  fileName: string | undefined,
): Promise<Omit<CoverImage, 'coverOf'>> {
  const object = `s3://${pin.bucket}/${pin.key}`;
  const media = mediaTypeOf(pin.key, contentType);
  if (media.kind !== 'image') throw new UnsupportedObject(`${object}: expected the extension of an image`);
  const problem = coverSizeProblem(pin);
  if (problem) throw new UnsupportedObject(`${object}: ${problem}. Put another image there.`);
  const bytes = await readRange(s3, pin, { offset: 0, size: pin.size }, signal);
  const { fileType } = media;
  const imageType = detectImageType(bytes);
  if (imageType !== (fileType === 'jpeg' ? 'jpg' : fileType)) {
    const start = Buffer.from(bytes.subarray(0, 12)).toString('hex');
    throw new UnsupportedObject(
      `${object}: expected the bytes of a ${fileType}, got ${start}…${imageType ? `, a ${imageType}` : ''}. ` +
        'Put the image there with the extension of its type.',
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

/** The reason why an image of this size cannot be a cover, if there is one. */
export function coverSizeProblem({ size }: ObjectVersion): string | undefined {
  if (size === 0) return 'it is empty (0 bytes)';
  return size > MAX_COVER_BYTES
    ? `it is too large for a cover (${size} bytes, at most ${MAX_COVER_BYTES})`
    : undefined;
}
