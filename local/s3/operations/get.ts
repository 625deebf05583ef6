import type { Call, Reply } from '../call.ts';
import { slice } from '../store/blobs.ts';
import type { Bucket } from '../store/bucket.ts';
import type { StoredObject } from '../store/record.ts';
import { checkHeaders, metadataHeaders, refuseArchived } from '../wire/attributes.ts';
import { checkRead } from '../wire/conditions.ts';
import { checksumHeader } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import { readRange } from '../wire/range.ts';
import { type Query, queryValue } from '../wire/target.ts';
import { versionHeader } from './put.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, and HeadObject: the same without the bytes. */
export function getObject(call: Call): Reply {
  const { store, target, headers } = call;
  const bucket = store.bucket(target.bucket);
  const object = findObject(bucket, target.key, queryValue(target.query, 'versionId'));
  const known = {
    etag: `"${object.etag}"`,
    'last-modified': new Date(object.modified).toUTCString(),
    ...versionHeader(bucket, object),
  };
  if (checkRead(headers, object) === 'not modified') return { status: 304, headers: known };
  if (call.method === 'GET') refuseArchived(object.placement);

  const range = readRange(headers.range, object.size);
  if (range === 'unsatisfiable') throw unsatisfiable(headers.range ?? '', object.size);
  const { first, last } = range === 'whole' ? { first: 0, last: object.size - 1 } : range;
  const length = last - first + 1;
  const whole = length === object.size;
  const pieces = slice(object.pieces, first, length);
  return {
    status: range === 'whole' ? 200 : 206,
    headers: {
      ...object.content,
      ...object.placement,
      ...metadataHeaders(object.metadata),
      ...known,
      ...(object.tags.length > 0 && { 'x-amz-tagging-count': object.tags.length }),
      // The checksum is of all bytes: beside a part of them it would mislead.
      ...(whole && checksumHeaders(headers, object)),
      ...overrides(target.query),
      'accept-ranges': 'bytes',
      'content-length': length,
      'content-range': range === 'whole' ? undefined : `bytes ${first}-${last}/${object.size}`,
    },
    ...(call.method === 'GET' && {
      body: { ...store.blobs.hold(pieces), send: (out) => store.blobs.send(pieces, out) },
    }),
  };
}

/** The version asked for, or the current one. */
export function findObject(bucket: Bucket, key: string, versionId?: string): StoredObject {
  const versions = bucket.versions(key);
  const found =
    versionId === undefined ? versions[0] : versions.find((version) => version.versionId === versionId);
  if (found?.kind === 'object') return found;
  if (found) {
    const headers = { 'x-amz-delete-marker': 'true', 'x-amz-version-id': found.versionId };
    if (versionId === undefined)
      throw new S3Error('NoSuchKey', undefined, { details: { Key: key }, headers });
    throw new S3Error('MethodNotAllowed', undefined, { headers: { ...headers, allow: 'DELETE' } });
  }
  if (versionId === undefined) throw new S3Error('NoSuchKey', undefined, { details: { Key: key } });
  throw new S3Error('NoSuchVersion', undefined, { details: { Key: key, VersionId: versionId } });
}

const unsatisfiable = (range: string, size: number): S3Error =>
  new S3Error('InvalidRange', undefined, {
    details: { RangeRequested: range, ActualObjectSize: size },
    headers: { 'content-range': `bytes */${size}` },
  });

const checksumHeaders = (headers: Call['headers'], { checksum }: StoredObject): Record<string, string> =>
  checksum && headers['x-amz-checksum-mode']?.toUpperCase() === 'ENABLED'
    ? { [checksumHeader(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type }
    : {};

const OVERRIDABLE = new Set([
  'content-type',
  'content-language',
  'expires',
  'cache-control',
  'content-disposition',
  'content-encoding',
]);

/** `response-content-type=…` and its like; anybody who may sign a request may use them. */
const overrides = (query: Query): Record<string, string> =>
  Object.fromEntries(
    query
      .filter(([name]) => name.startsWith('response-') && OVERRIDABLE.has(name.slice('response-'.length)))
      .map(([name, value]) => {
        checkHeaders({ [name]: value });
        return [name.slice('response-'.length), value];
      }),
  );
