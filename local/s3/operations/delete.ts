import * as v from 'valibot';
import {
  receiveText,
  type S3Request,
  type S3Response,
  type StoreRequest,
  xmlResponse,
} from '../operation.ts';
import type { Bucket } from '../store/bucket.ts';
import type { StoredVersion } from '../store/record.ts';
import { createWriteGuard } from '../wire/conditions.ts';
import { S3Error } from '../wire/errors.ts';
import { checkKey, queryValue } from '../wire/target.ts';
import { readXml, type XmlElements } from '../wire/xml.ts';

/** The deleted version, or the delete marker that was added or deleted. */
type Deletion = Readonly<{ versionId?: string; marker?: string }>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html */
export function deleteObject({ store, target, headers }: StoreRequest): S3Response {
  const bucket = store.getBucket(target.bucket);
  const versionId = queryValue(target.query, 'versionId');
  const deletion = deleteKey(bucket, target.key, versionId, headers['if-match']);
  return {
    status: 204,
    headers: {
      'x-amz-version-id': deletion.marker ?? deletion.versionId,
      'x-amz-delete-marker': deletion.marker === undefined ? undefined : 'true',
    },
  };
}

const deleteSchema = v.strictObject({
  Quiet: v.optional(v.string()),
  Object: v.pipe(
    v.array(
      v.strictObject({
        Key: v.pipe(v.string(), v.nonEmpty()),
        VersionId: v.optional(v.string()),
        ETag: v.optional(v.string()),
      }),
    ),
    v.minLength(1),
    v.maxLength(1000),
  ),
});

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
export async function deleteObjects(request: S3Request): Promise<S3Response> {
  const bucket = request.store.getBucket(request.target.bucket);
  const { Object: objects, Quiet } = readXml(await receiveText(request), 'Delete', deleteSchema);
  for (const { Key } of objects) checkKey(Key);
  const deleted: XmlElements[] = [];
  const errors: XmlElements[] = [];
  for (const { Key, VersionId, ETag } of objects) {
    try {
      const { marker } = deleteKey(bucket, Key, VersionId, ETag);
      deleted.push({ Key, VersionId, DeleteMarker: marker && true, DeleteMarkerVersionId: marker });
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      errors.push({ Key, VersionId, Code: error.code, Message: error.message });
    }
  }
  return xmlResponse('DeleteResult', { Deleted: Quiet === 'true' ? [] : deleted, Error: errors });
}

/**
 * Deletes a version, or hides the key behind a delete marker. Succeeds for a key or version that does not exist, even with
 * a condition.
 */
function deleteKey(
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
  match: string | undefined,
): Deletion {
  // A condition on a key that does not exist succeeds and adds no delete marker.
  if (match !== undefined && bucket.getVersions(key).length === 0) return {};
  if (versionId !== undefined) {
    // The response repeats the version ID in a header, even if the version does not exist.
    if (!/^[\x21-\x7e]+$/.test(versionId)) {
      throw new S3Error('InvalidArgument', 'Invalid version id specified');
    }
    const version = bucket.getVersions(key).find((candidate) => candidate.versionId === versionId);
    checkMatch(version);
    if (version) bucket.deleteVersion(key, versionId);
    return { versionId, ...(version?.kind === 'delete marker' && { marker: versionId }) };
  }
  checkMatch(bucket.getVersions(key)[0]);
  if (bucket.record.versioning) return { marker: bucket.addDeleteMarker(key).versionId };
  bucket.deleteVersion(key, 'null');
  return {};

  /** A delete marker exists but has no ETag, so only `*` matches it. */
  function checkMatch(version: StoredVersion | undefined): void {
    if (match !== undefined && version) createWriteGuard({ 'if-match': match })({ etag: '', ...version });
  }
}
