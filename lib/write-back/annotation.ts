import type { S3Client } from '@aws-sdk/client-s3';
import * as v from 'valibot';
import { putAnnotation, readAnnotation } from '../s3/annotations.ts';
import type { Metadata } from '../s3/head-object.ts';
import { FileId, type ObjectVersion, Sha1 } from '../schemas.ts';
import { stripMarkerTags } from './marker.ts';

/** The marker as one annotation: a JSON object with the names of the metadata entries. */

/** S3 reserves names that begin with `s3` or `aws`. */
const NAME = 'tencent-vod';

/** Other fields may be anything, and a write keeps them. */
const MarkerJson = v.pipe(
  v.string(),
  v.parseJson(),
  v.looseObject({ 'vod-file-id': FileId, 'vod-sha1': v.optional(Sha1) }),
);

/** `fields`: of the JSON object, if there is an annotation. `unusable`: why the marker cannot be there. */
type OwnAnnotation = Readonly<
  { fields: Readonly<Record<string, unknown>> | undefined } | { unusable: string }
>;

async function readOwnAnnotation(
  s3: S3Client,
  pin: ObjectVersion,
  signal: AbortSignal,
): Promise<OwnAnnotation> {
  const read = await readAnnotation(s3, pin, NAME, signal);
  if ('unsupported' in read) return { unusable: read.unsupported };
  if (read.text === undefined) return { fields: undefined };
  const parsed = v.safeParse(MarkerJson, read.text);
  return parsed.success
    ? { fields: parsed.output }
    : { unusable: `its annotation ${NAME} is not from the pipeline` };
}

/**
 * Reads the marker. An annotation that cannot be read or is not from the pipeline counts as none.
 * @throws {ObjectDeleted} {StorageUnavailable}
 */
export async function readMarkerAnnotation(
  s3: S3Client,
  pin: ObjectVersion,
  signal: AbortSignal,
): Promise<Metadata | undefined> {
  const own = await readOwnAnnotation(s3, pin, signal);
  if ('unusable' in own || !own.fields) return undefined;
  const texts = Object.entries(own.fields).filter((field): field is [string, string] =>
    v.is(v.string(), field[1]),
  );
  return Object.fromEntries(texts);
}

/**
 * Writes the marker as an annotation, unless the object has other bytes than `pin`. Never replaces an annotation that is not
 * from the pipeline.
 * @returns `changed`: false if the object already had this marker. `impossible`: why it cannot have one
 * @throws {ObjectChanged} {ObjectDeleted} {StorageUnavailable}
 */
export async function writeMarkerAnnotation(
  s3: S3Client,
  pin: ObjectVersion,
  marker: Metadata,
  signal: AbortSignal,
): Promise<Readonly<{ changed: boolean } | { impossible: string }>> {
  const own = await readOwnAnnotation(s3, pin, signal);
  if ('unusable' in own) return { impossible: own.unusable };
  const before = own.fields;
  // The time of an image's record must be later than the image, so it is written again.
  const ignoresTime = marker['vod-covered'] === undefined;
  const isSame = ([name, value]: [string, string]) =>
    (ignoresTime && name === 'vod-uploaded-at') || before?.[name] === value;
  if (before && Object.entries(marker).every(isSame)) return { changed: false };
  const text = JSON.stringify({ ...stripMarkerTags(before ?? {}), ...marker });
  const impossible = await putAnnotation(s3, pin, NAME, text, signal);
  return impossible === undefined ? { changed: true } : { impossible };
}
