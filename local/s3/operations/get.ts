import type { S3Request, S3Response } from '../operation.ts';
import { slice } from '../store/blobs.ts';
import type { Bucket } from '../store/bucket.ts';
import type { StoredObject } from '../store/record.ts';
import { CONTENT_HEADERS, metadataHeaders, rejectArchived } from '../wire/attributes.ts';
import { checkReadConditions } from '../wire/conditions.ts';
import { checksumHeader } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import { checkHeaders, type RequestHeaders } from '../wire/headers.ts';
import { readRange } from '../wire/range.ts';
import { type Query, queryValue } from '../wire/target.ts';
import { versionHeader } from './put.ts';

/** GetObject, and HeadObject without the bytes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html */
export function getObject(request: S3Request): S3Response {
  const { store, target, headers, method } = request;
  const { bucket, object } = findObject(request);
  const versionHeaders = {
    etag: `"${object.etag}"`,
    'last-modified': new Date(object.modified).toUTCString(),
    ...versionHeader(bucket, object),
  };
  if (checkReadConditions(headers, object) === 'not modified') {
    return { status: 304, headers: versionHeaders };
  }
  if (method === 'GET') rejectArchived(object.placement);

  const range = readRange(headers.range, object.size);
  if (range === 'unsatisfiable') throw rangeError(headers.range ?? '', object.size);
  const { first, last } = range === 'whole' ? { first: 0, last: object.size - 1 } : range;
  const length = last - first + 1;
  const pieces = slice(object.pieces, first, length);
  return {
    status: range === 'whole' ? 200 : 206,
    headers: {
      ...object.content,
      ...object.placement,
      ...metadataHeaders(object.metadata),
      ...versionHeaders,
      ...(object.tags.length > 0 && { 'x-amz-tagging-count': object.tags.length }),
      // The checksum covers all bytes, so a partial response must not carry it.
      ...(length === object.size && checksumHeaders(headers, object)),
      ...readOverrides(target.query),
      'accept-ranges': 'bytes',
      'content-length': length,
      'content-range': range === 'whole' ? undefined : `bytes ${first}-${last}/${object.size}`,
    },
    ...(method === 'GET' && {
      body: { ...store.blobs.hold(pieces), send: (out) => store.blobs.send(pieces, out) },
    }),
  };
}

/** Finds the object of a request and its bucket. @throws {S3Error} */
export function findObject({ store, target }: S3Request): Readonly<{ bucket: Bucket; object: StoredObject }> {
  const bucket = store.getBucket(target.bucket);
  return { bucket, object: findVersion(bucket, target.key, queryValue(target.query, 'versionId')) };
}

/** Finds the version with this ID, or the current one. @throws {S3Error} */
export function findVersion(bucket: Bucket, key: string, versionId?: string): StoredObject {
  const versions = bucket.getVersions(key);
  const version =
    versionId === undefined ? versions[0] : versions.find((candidate) => candidate.versionId === versionId);
  if (version?.kind === 'object') return version;
  if (version) {
    const headers = { 'x-amz-delete-marker': 'true', 'x-amz-version-id': version.versionId };
    if (versionId === undefined) throw new S3Error('NoSuchKey', { details: { Key: key }, headers });
    throw new S3Error('MethodNotAllowed', { headers: { ...headers, allow: 'DELETE' } });
  }
  if (versionId === undefined) throw new S3Error('NoSuchKey', { details: { Key: key } });
  throw new S3Error('NoSuchVersion', { details: { Key: key, VersionId: versionId } });
}

const rangeError = (range: string, size: number): S3Error =>
  new S3Error('InvalidRange', {
    details: { RangeRequested: range, ActualObjectSize: size },
    headers: { 'content-range': `bytes */${size}` },
  });

const checksumHeaders = (headers: RequestHeaders, { checksum }: StoredObject): Record<string, string> =>
  checksum && headers['x-amz-checksum-mode']?.toUpperCase() === 'ENABLED'
    ? { [checksumHeader(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type }
    : {};

/** Reads `response-content-type=…` and similar parameters, which any signed request may use. */
function readOverrides(query: Query): Record<string, string> {
  const overrides = query
    .filter(([name]) => name.startsWith('response-'))
    .map(([name, value]) => [name.slice('response-'.length), value] as const)
    .filter(([name]) => CONTENT_HEADERS.includes(name));
  for (const [name, value] of overrides) checkHeaders({ [`response-${name}`]: value });
  return Object.fromEntries(overrides);
}
