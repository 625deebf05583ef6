import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { UnfitObject } from '../errors.ts';
import { type Found, readRange } from '../s3/head-object.ts';
import { type Pin, Sha1 } from '../schemas.ts';
import { cleanFileName, mediaOf, pictureKindOf } from '../upload/media-type.ts';
import { optionsFromMetadata } from '../upload/upload-options.ts';
import type { Picture } from '../vod/client.ts';

/** A picture, read whole, as VOD gets it. */

/** SmallFileUpload takes files under 1 MB (1,048,576 bytes). */
const MAX_COVER_BYTES = 1_048_575;

/**
 * The bytes of the pinned picture, and what VOD is told of them.
 * @throws {UnfitObject} for what cannot be a cover, and what `readRange` throws
 */
export async function readPicture(
  s3: S3Client,
  { pin, metadata, contentType }: Found,
  signal: AbortSignal,
  fileName: string | undefined,
): Promise<Omit<Picture, 'coverOf'>> {
  const object = `s3://${pin.bucket}/${pin.key}`;
  const media = mediaOf(pin.key, contentType);
  if (media.kind !== 'picture') throw new UnfitObject(`${object}: no picture by its name`);
  const unfit = unfitSize(pin);
  if (unfit) throw new UnfitObject(`${object}: ${unfit}: put another picture there`);
  const bytes = await readRange(s3, pin, { offset: 0, size: pin.size }, signal);
  const kind = pictureKindOf(bytes);
  const { fileType } = media;
  if (kind !== (fileType === 'jpeg' ? 'jpg' : fileType)) {
    const begins = Buffer.from(bytes.subarray(0, 12)).toString('hex');
    throw new UnfitObject(
      `${object}: expected the bytes of a ${fileType}, they begin with ${begins}${kind ? `, as a ${kind}` : ''}: ` +
        'put the picture there under the suffix of its kind',
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

/** Why a picture of this size cannot be a cover, if it cannot. */
export function unfitSize({ size }: Pin): string | undefined {
  if (size === 0) return 'it is empty (0 bytes)';
  return size > MAX_COVER_BYTES
    ? `it is too large for a cover (${size} bytes, at most ${MAX_COVER_BYTES})`
    : undefined;
}
