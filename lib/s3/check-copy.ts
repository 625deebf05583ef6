import { isDeepStrictEqual } from 'node:util';
import type { HeadObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import { errorMessage, ObjectDeleted } from '../errors.ts';
import type { ObjectVersion } from '../schemas.ts';
import type { CopyFields } from './copy-fields.ts';
import { headObject, type Metadata, type ObjectHead } from './head-object.ts';
import { isNotImplemented } from './request.ts';
import { abilitiesOf } from './store-abilities.ts';
import { putTags, readTags, type Tags } from './tags.ts';

/**
 * A store that is not AWS can ignore what a copy asks for, with status 200. So the copy is compared with the request. Tags are
 * written again, and everything else is reported.
 */

/** `hasOtherBytes`: the store copied bytes of another writer. `lost`: what the store did not keep, in words. */
export type CopyCheck = Readonly<{ hasOtherBytes: boolean; lost?: string }>;

/** Reads the tags that the copy may lose: none on AWS, or in a store without tags. */
export async function readTagsAtRisk(s3: S3Client, pin: ObjectVersion, signal: AbortSignal): Promise<Tags> {
  if (abilitiesOf(s3).isAws) return {};
  return readTags(s3, pin, signal).catch((error: unknown) => {
    if (isNotImplemented(error)) return {};
    throw error;
  });
}

/**
 * Compares a copy with the object before, and writes lost tags again. Sends no request to AWS.
 * @param fields of the copy. Only the metadata entries in it are compared
 * @param tags of the object before
 * @param isCopy whether the current object is the copy. A newer one stays as it is
 * @throws {ObjectDeleted}
 */
export async function checkCopy(
  s3: S3Client,
  before: ObjectHead,
  fields: CopyFields,
  tags: Tags,
  isCopy: (current: ObjectHead) => boolean,
  signal: AbortSignal,
): Promise<CopyCheck> {
  if (abilitiesOf(s3).isAws) return { hasOtherBytes: false };
  try {
    const current = await headObject(s3, before.pin, signal);
    if (!isCopy(current)) return { hasOtherBytes: false };
    const isOtherMd5 = before.etagIsMd5 && current.etagIsMd5 && before.pin.etag !== current.pin.etag;
    if (isOtherMd5 || before.pin.size !== current.pin.size) return { hasOtherBytes: true };
    const lost = [
      ...lostFields(fields, current.response),
      ...lostMetadata(fields.Metadata, current.metadata),
      ...(before.response.ExpiresString === current.response.ExpiresString ? [] : ['Expires']),
      ...(await restoreTags(s3, current.pin, tags, signal)),
    ];
    return {
      hasOtherBytes: false,
      ...(lost.length > 0 && { lost: `the store did not keep ${lost.join(', ')}` }),
    };
  } catch (error) {
    if (error instanceof ObjectDeleted) throw error;
    // The copy is made, and a retry would no longer know the object before.
    const lost = `the copy could not be compared with the object before: ${errorMessage(error)}`;
    return { hasOtherBytes: false, lost };
  }
}

/** Names the fields that the response has, too, with another value. A store may leave out the default storage class. */
function lostFields(fields: CopyFields, response: HeadObjectCommandOutput): string[] {
  const { Bucket: _bucket, Key: _key, Metadata: _metadata, ...headers } = fields;
  const found = new Map<string, unknown>(Object.entries({ StorageClass: 'STANDARD', ...response }));
  return Object.entries(headers).flatMap(([name, value]) => {
    if (value === undefined || value === false || name.startsWith('Grant')) return [];
    return isDeepStrictEqual(found.get(name), value) ? [] : [name];
  });
}

const lostMetadata = (meant: Metadata, found: Metadata): string[] =>
  Object.entries(meant).flatMap(([name, value]) => (found[name] === value ? [] : [`x-amz-meta-${name}`]));

/** Never throws: the copy is made, and a retry would no longer know the tags. */
async function restoreTags(
  s3: S3Client,
  copied: ObjectVersion,
  tags: Tags,
  signal: AbortSignal,
): Promise<string[]> {
  if (Object.keys(tags).length === 0) return [];
  try {
    const kept = await readTags(s3, copied, signal);
    if (Object.keys(kept).length === 0) await putTags(s3, copied, tags, signal);
    return [];
  } catch {
    return [`the tags ${JSON.stringify(tags)}`];
  }
}
