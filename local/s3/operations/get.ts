import type { S3Response, StoreRequest } from '../operation.ts';
import { slice } from '../store/blobs.ts';
import type { Bucket } from '../store/bucket.ts';
import type { StoredObject } from '../store/record.ts';
import { CONTENT_HEADERS, metadataHeaders, rejectArchived } from '../wire/attributes.ts';
import { checkReadConditions } from '../wire/conditions.ts';
import { type Checksum, checksumHeader } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import { checkHeaders, type RequestHeaders } from '../wire/headers.ts';
import { type ByteRange, readRange } from '../wire/range.ts';
import { type Query, queryValue } from '../wire/target.ts';
import { readPartNumber } from './multipart.ts';
import { versionHeader } from './put.ts';

/** GetObject, and HeadObject without the bytes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html */
export function getObject(request: StoreRequest): S3Response {
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

  const part = findPart(request, object);
  const range = part ? part.range : readRange(headers.range, object.size);
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
      ...(part?.count !== undefined && { 'x-amz-mp-parts-count': part.count }),
      // The checksum covers all bytes, so a partial response must not carry it.
      ...checksumHeaders(
        headers,
        object.checksum,
        length === object.size ? object.checksum?.value : part?.checksum,
      ),
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
export function findObject({
  store,
  target,
}: StoreRequest): Readonly<{ bucket: Bucket; object: StoredObject }> {
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

type PartOfObject = Readonly<{ range: ByteRange | 'whole'; count?: number; checksum?: string | undefined }>;

/** Finds the part that `partNumber` names. An object that was written in one request is its own part 1. */
function findPart(request: StoreRequest, { size, parts }: StoredObject): PartOfObject | undefined {
  if (queryValue(request.target.query, 'partNumber') === undefined) return undefined;
  if (request.headers.range !== undefined) {
    throw new S3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter');
  }
  const number = readPartNumber(request);
  const listed = parts ?? [{ number: 1, size }];
  const at = listed.findIndex((part) => part.number === number);
  const part = listed[at];
  if (!part) throw new S3Error('InvalidPartNumber', { details: { PartNumberRequested: number } });
  const first = listed.slice(0, at).reduce((sum, before) => sum + before.size, 0);
  const range = part.size === 0 ? 'whole' : { first, last: first + part.size - 1 };
  return { range, ...(parts && { count: parts.length }), checksum: part.checksum };
}

function checksumHeaders(
  headers: RequestHeaders,
  checksum: Checksum | undefined,
  value: string | undefined,
): Record<string, string> {
  if (!checksum || value === undefined || headers['x-amz-checksum-mode']?.toUpperCase() !== 'ENABLED')
    return {};
  return { [checksumHeader(checksum.algorithm)]: value, 'x-amz-checksum-type': checksum.type };
}

/** Reads `response-content-type=…` and similar parameters, which any signed request may use. */
function readOverrides(query: Query): Record<string, string> {
  const overrides = query
    .filter(([name]) => name.startsWith('response-'))
    .map(([name, value]) => [name.slice('response-'.length), value] as const)
    .filter(([name]) => CONTENT_HEADERS.includes(name));
  for (const [name, value] of overrides) checkHeaders({ [`response-${name}`]: value });
  return Object.fromEntries(overrides);
}
