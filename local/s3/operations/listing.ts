import { type S3Request, type S3Response, type StoreRequest, xmlResponse } from '../operation.ts';
import type { Bucket } from '../store/bucket.ts';
import { type Entry, listEntries, takeFirst } from '../store/entries.ts';
import type { StoredVersion } from '../store/record.ts';
import { storageClassOf } from '../wire/attributes.ts';
import { S3Error } from '../wire/errors.ts';
import { OWNER_XML } from '../wire/grants.ts';
import { encodePath, queryCount, queryValue } from '../wire/target.ts';
import type { XmlElements, XmlValue } from '../wire/xml.ts';

export const MAX_ITEMS = 1000;

type Listing = ReturnType<typeof readListing>;

/** Reads the parameters that all listings share. `show` writes a key or prefix as `encoding-type` requests it. */
export function readListing({ target: { query } }: StoreRequest, maxName = 'max-keys') {
  const encoding = queryValue(query, 'encoding-type');
  if (encoding !== undefined && encoding !== 'url') {
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request');
  }
  return {
    prefix: queryValue(query, 'prefix') ?? '',
    delimiter: queryValue(query, 'delimiter') ?? '',
    max: queryCount(query, maxName, MAX_ITEMS),
    encoding,
    show: encoding === 'url' ? encodePath : (text: string): string => text,
  };
}

/** Takes one page. `last` is the entry that the next page starts after; `xml` has the elements that all listings share. */
export function takePage<T extends Entry>(
  { prefix, delimiter, max, encoding, show }: Listing,
  entries: Iterable<T>,
): Readonly<{ items: readonly T[]; last: T | undefined; xml: XmlElements }> {
  const { items, hasMore } = takeFirst(entries, max);
  const groups = items.filter(({ kind }) => kind === 'group');
  const xml = {
    Prefix: show(prefix),
    Delimiter: delimiter ? show(delimiter) : undefined,
    EncodingType: encoding,
    IsTruncated: hasMore,
    CommonPrefixes: groups.map(({ name }) => ({ Prefix: show(name) })),
  };
  return { items, last: hasMore ? items.at(-1) : undefined, xml };
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */
export function listObjectsV2(request: S3Request): S3Response {
  const { query } = request.target;
  if (queryValue(query, 'list-type') !== '2') throw new S3Error('InvalidArgument', 'Invalid List Type');
  const token = queryValue(query, 'continuation-token');
  const startAfter = queryValue(query, 'start-after');
  const withOwner = queryValue(query, 'fetch-owner') === 'true';
  const after = token ? readToken(token) : (startAfter ?? '');
  const { items, last, listing, xml } = listObjects(request, after, withOwner);
  return xmlResponse('ListBucketResult', {
    ...xml,
    KeyCount: items.length,
    ContinuationToken: token,
    NextContinuationToken: last && writeToken(last.name),
    StartAfter: startAfter && listing.show(startAfter),
  });
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html */
export function listObjectsV1(request: S3Request): S3Response {
  const marker = queryValue(request.target.query, 'marker') ?? '';
  const { last, listing, xml } = listObjects(request, marker, true);
  return xmlResponse('ListBucketResult', {
    ...xml,
    Marker: listing.show(marker),
    // Without a delimiter, the client continues after the last key.
    NextMarker: last && listing.delimiter ? listing.show(last.name) : undefined,
  });
}

function listObjects(request: S3Request, after: string, withOwner: boolean) {
  const bucket = request.store.getBucket(request.target.bucket);
  const listing = readListing(request);
  const { items, last, xml } = takePage(
    listing,
    filterVisible(bucket, listEntries(bucket.names, { ...listing, after })),
  );
  const Contents = items
    .filter(({ kind }) => kind === 'name')
    .map(({ name }) => describeObject(bucket, name, listing, withOwner));
  return { items, last, listing, xml: { Name: bucket.record.name, MaxKeys: listing.max, ...xml, Contents } };
}

/** Omits keys that a delete marker hides, and groups that contain only such keys. */
function* filterVisible(bucket: Bucket, entries: Iterable<Entry>): Generator<Entry> {
  for (const entry of entries) {
    if (entry.kind === 'name' ? bucket.getCurrent(entry.name) : hasVisible(bucket, entry.name)) yield entry;
  }
}

function hasVisible(bucket: Bucket, group: string): boolean {
  for (const name of bucket.names.from(group)) {
    if (!name.startsWith(group)) return false;
    if (bucket.getCurrent(name)) return true;
  }
  return false;
}

function describeObject(bucket: Bucket, key: string, { show }: Listing, withOwner: boolean): XmlValue {
  const object = bucket.getCurrent(key);
  return object && { ...describeVersion(key, object, show), Owner: withOwner ? OWNER_XML : undefined };
}

type VersionEntry = Entry & Readonly<{ version?: StoredVersion; isLatest?: boolean }>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html */
export function listVersions(request: S3Request): S3Response {
  const { query } = request.target;
  const bucket = request.store.getBucket(request.target.bucket);
  const listing = readListing(request);
  const { show } = listing;
  const keyMarker = queryValue(query, 'key-marker') ?? '';
  const versionMarker = queryValue(query, 'version-id-marker') ?? '';
  if (versionMarker && !keyMarker) {
    throw new S3Error('InvalidArgument', 'A version-id marker cannot be specified without a key marker.');
  }
  const entries = listEntries(bucket.names, {
    ...listing,
    after: keyMarker,
    inclusive: versionMarker !== '',
  });
  const versions = expandVersions(bucket, entries, keyMarker, versionMarker);
  const { items, last, xml } = takePage(listing, versions);
  const describeKind = (kind: StoredVersion['kind']): XmlValue[] =>
    items.flatMap(({ name, version, isLatest }) => {
      if (version?.kind !== kind) return [];
      const common = { VersionId: version.versionId, IsLatest: isLatest, Owner: OWNER_XML };
      return [{ ...describeVersion(name, version, show), ...common }];
    });
  return xmlResponse('ListVersionsResult', {
    Name: bucket.record.name,
    KeyMarker: show(keyMarker),
    VersionIdMarker: versionMarker,
    NextKeyMarker: last && show(last.name),
    NextVersionIdMarker: last?.version?.versionId,
    MaxKeys: listing.max,
    ...xml,
    Version: describeKind('object'),
    DeleteMarker: describeKind('delete marker'),
  });
}

function* expandVersions(
  bucket: Bucket,
  entries: Iterable<Entry>,
  keyMarker: string,
  versionMarker: string,
): Generator<VersionEntry> {
  for (const entry of entries) {
    if (entry.kind === 'group') {
      yield entry;
      continue;
    }
    const versions = bucket.getVersions(entry.name);
    const listed =
      entry.name === keyMarker ? versions.findIndex(({ versionId }) => versionId === versionMarker) + 1 : 0;
    for (const version of versions.slice(listed)) {
      yield { ...entry, version, isLatest: version === versions[0] };
    }
  }
}

function describeVersion(key: string, version: StoredVersion, show: Listing['show']): XmlElements {
  const common = { Key: show(key), LastModified: new Date(version.modified).toISOString() };
  if (version.kind === 'delete marker') return common;
  return {
    ...common,
    ETag: `"${version.etag}"`,
    ChecksumAlgorithm: version.checksum?.algorithm,
    ChecksumType: version.checksum?.type,
    Size: version.size,
    StorageClass: storageClassOf(version.placement),
  };
}

export const writeToken = (last: string): string => Buffer.from(last).toString('base64url');

export function readToken(token: string): string {
  const last = Buffer.from(token, 'base64url').toString();
  if (token !== '' && writeToken(last) === token) return last;
  throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect');
}
