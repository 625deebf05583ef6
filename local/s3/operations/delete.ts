import * as v from 'valibot';
import { type Call, type Reply, receiveText } from '../call.ts';
import type { Bucket } from '../store/bucket.ts';
import { writeGuard } from '../wire/conditions.ts';
import { S3Error } from '../wire/errors.ts';
import { checkKey, queryValue } from '../wire/target.ts';
import { document, NAMESPACE, readXml } from '../wire/xml.ts';

/** What became of a key: which version is gone, or which delete marker hides it now. */
type Deleted = Readonly<{ versionId?: string; marker?: string }>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html */
export function deleteObject({ store, target, headers }: Call): Reply {
  const bucket = store.bucket(target.bucket);
  const { versionId, marker } = remove(bucket, target.key, queryValue(target.query, 'versionId'), headers);
  return {
    status: 204,
    headers: {
      'x-amz-version-id': marker ?? versionId,
      'x-amz-delete-marker': marker === undefined ? undefined : 'true',
    },
  };
}

const deletion = v.object({
  Quiet: v.optional(v.string()),
  Object: v.pipe(
    v.array(v.object({ Key: v.pipe(v.string(), v.nonEmpty()), VersionId: v.optional(v.string()) })),
    v.maxLength(1000),
  ),
});

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
export async function deleteObjects(call: Call): Promise<Reply> {
  const bucket = call.store.bucket(call.target.bucket);
  const asked = readXml(await receiveText(call), 'Delete', deletion);
  const results = asked.Object.map(({ Key, VersionId }) => {
    checkKey(Key);
    const { marker } = remove(bucket, Key, VersionId, {});
    return { Key, VersionId, DeleteMarker: marker && true, DeleteMarkerVersionId: marker };
  });
  const content = { '@xmlns': NAMESPACE, Deleted: asked.Quiet === 'true' ? [] : results };
  return { status: 200, xml: document('DeleteResult', content) };
}

/** Deleting what is not there succeeds as well. */
function remove(
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
  headers: Call['headers'],
): Deleted {
  if (headers['if-match'] !== undefined) {
    if (versionId !== undefined) throw new S3Error('NotImplemented', 'If-Match on the deletion of a version');
    writeGuard({ 'if-match': headers['if-match'] })(bucket.current(key));
  }
  if (versionId !== undefined) {
    // It is answered in a header, also where there is no such version.
    if (!/^[\x21-\x7e]+$/.test(versionId))
      throw new S3Error('InvalidArgument', 'Invalid version id specified');
    const version = bucket.versions(key).find((candidate) => candidate.versionId === versionId);
    if (version) bucket.deleteVersion(key, versionId);
    return { versionId, ...(version?.kind === 'delete marker' && { marker: versionId }) };
  }
  if (bucket.record.versioning) return { marker: bucket.addDeleteMarker(key).versionId };
  bucket.deleteVersion(key, 'null');
  return {};
}
