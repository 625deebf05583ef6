import type { Call, Reply } from '../call.ts';
import type { Bucket } from '../store/bucket.ts';
import { type Entry, entriesOf, firstOf } from '../store/entries.ts';
import type { StoredVersion } from '../store/record.ts';
import { storageClass } from '../wire/attributes.ts';
import { S3Error } from '../wire/errors.ts';
import { OWNER } from '../wire/grants.ts';
import { encodePath, queryCount, queryValue } from '../wire/target.ts';
import { document, NAMESPACE, type XmlValue } from '../wire/xml.ts';

const MOST = 1000;
const OWNER_XML = { ID: OWNER.id, DisplayName: OWNER.name };

/** What all listings are asked alike. `show` writes a key or a prefix as `encoding-type` wants it. */
export function readListing({ target: { query } }: Call) {
  const encoding = queryValue(query, 'encoding-type');
  if (encoding !== undefined && encoding !== 'url') {
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request');
  }
  return {
    prefix: queryValue(query, 'prefix') ?? '',
    delimiter: queryValue(query, 'delimiter') ?? '',
    most: queryCount(query, 'max-keys', MOST),
    encoding,
    show: encoding === 'url' ? encodePath : (text: string): string => text,
  };
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */
export function listObjectsV2(call: Call): Reply {
  const { query } = call.target;
  if (queryValue(query, 'list-type') !== '2') throw new S3Error('InvalidArgument', 'Invalid List Type');
  const token = queryValue(query, 'continuation-token');
  const startAfter = queryValue(query, 'start-after');
  const withOwner = queryValue(query, 'fetch-owner') === 'true';
  const after = token === undefined ? (startAfter ?? '') : readToken(token);
  return list(call, after, withOwner, ({ count, last, show }) => ({
    KeyCount: count,
    ContinuationToken: token,
    NextContinuationToken: last && writeToken(last),
    StartAfter: startAfter && show(startAfter),
  }));
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html */
export function listObjectsV1(call: Call): Reply {
  const marker = queryValue(call.target.query, 'marker') ?? '';
  return list(call, marker, true, ({ last, delimiter, show }) => ({
    Marker: show(marker),
    // Without a delimiter the last key itself is where to go on.
    NextMarker: last && delimiter ? show(last) : undefined,
  }));
}

type Outcome = Readonly<{
  count: number;
  /** What the next page comes after. */
  last: string | undefined;
  delimiter: string;
  show: (text: string) => string;
}>;

function list(
  call: Call,
  after: string,
  withOwner: boolean,
  describe: (outcome: Outcome) => Record<string, XmlValue>,
): Reply {
  const bucket = call.store.bucket(call.target.bucket);
  const { prefix, delimiter, most, encoding, show } = readListing(call);
  const { items, more } = firstOf(
    visible(bucket, entriesOf(bucket.names, { prefix, delimiter, after })),
    most,
  );
  const last = more ? items.at(-1)?.name : undefined;
  const content = {
    '@xmlns': NAMESPACE,
    Name: bucket.record.name,
    Prefix: show(prefix),
    Delimiter: delimiter ? show(delimiter) : undefined,
    MaxKeys: most,
    EncodingType: encoding,
    IsTruncated: more,
    ...describe({ count: items.length, last, delimiter, show }),
    Contents: items
      .filter(({ kind }) => kind === 'name')
      .map(({ name }) => describeObject(bucket, name, show, withOwner)),
    CommonPrefixes: commonPrefixes(items, show),
  };
  return { status: 200, xml: document('ListBucketResult', content) };
}

/** Keys hidden by a delete marker are not listed, nor is a group in which all are. */
function* visible(bucket: Bucket, entries: Iterable<Entry>): Generator<Entry> {
  for (const entry of entries) {
    if (entry.kind === 'name' ? bucket.current(entry.name) : anyVisible(bucket, entry.name)) yield entry;
  }
}

function anyVisible(bucket: Bucket, group: string): boolean {
  for (const name of bucket.names.from(group)) {
    if (!name.startsWith(group)) return false;
    if (bucket.current(name)) return true;
  }
  return false;
}

function describeObject(bucket: Bucket, key: string, show: Outcome['show'], withOwner: boolean): XmlValue {
  const object = bucket.current(key);
  return (
    object && {
      Key: show(key),
      LastModified: new Date(object.modified).toISOString(),
      ETag: `"${object.etag}"`,
      ChecksumAlgorithm: object.checksum?.algorithm,
      ChecksumType: object.checksum?.type,
      Size: object.size,
      StorageClass: storageClass(object.placement),
      Owner: withOwner ? OWNER_XML : undefined,
    }
  );
}

export const commonPrefixes = (
  entries: readonly Readonly<{ kind: string; name: string }>[],
  show: Outcome['show'],
) => entries.filter(({ kind }) => kind === 'group').map(({ name }) => ({ Prefix: show(name) }));

type VersionEntry = Entry & Readonly<{ version?: StoredVersion; isLatest?: boolean }>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html */
export function listVersions(call: Call): Reply {
  const bucket = call.store.bucket(call.target.bucket);
  const { prefix, delimiter, most, encoding, show } = readListing(call);
  const keyMarker = queryValue(call.target.query, 'key-marker') ?? '';
  const versionMarker = queryValue(call.target.query, 'version-id-marker') ?? '';
  if (versionMarker && !keyMarker) {
    throw new S3Error('InvalidArgument', 'A version-id marker cannot be specified without a key marker.');
  }
  const asked = { prefix, delimiter, after: keyMarker, inclusive: versionMarker !== '' };
  const entries = versionsOf(bucket, entriesOf(bucket.names, asked), keyMarker, versionMarker);
  const { items, more } = firstOf(entries, most);
  const last = more ? items.at(-1) : undefined;
  const listed = (kind: StoredVersion['kind']): XmlValue[] =>
    items.filter(({ version }) => version?.kind === kind).map((entry) => describeVersion(entry, show));
  const content = {
    '@xmlns': NAMESPACE,
    Name: bucket.record.name,
    Prefix: show(prefix),
    KeyMarker: show(keyMarker),
    VersionIdMarker: versionMarker,
    NextKeyMarker: last && show(last.name),
    NextVersionIdMarker: last?.version?.versionId,
    Delimiter: delimiter ? show(delimiter) : undefined,
    MaxKeys: most,
    EncodingType: encoding,
    IsTruncated: more,
    Version: listed('object'),
    DeleteMarker: listed('delete marker'),
    CommonPrefixes: commonPrefixes(items, show),
  };
  return { status: 200, xml: document('ListVersionsResult', content) };
}

function* versionsOf(
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
    const versions = bucket.versions(entry.name);
    const seen =
      entry.name === keyMarker ? versions.findIndex(({ versionId }) => versionId === versionMarker) + 1 : 0;
    for (const version of versions.slice(seen)) {
      yield { ...entry, version, isLatest: version === versions[0] };
    }
  }
}

function describeVersion({ name, version, isLatest }: VersionEntry, show: Outcome['show']): XmlValue {
  if (!version) return undefined;
  const common = {
    Key: show(name),
    VersionId: version.versionId,
    IsLatest: isLatest,
    LastModified: new Date(version.modified).toISOString(),
    Owner: OWNER_XML,
  };
  if (version.kind === 'delete marker') return common;
  return {
    ...common,
    ETag: `"${version.etag}"`,
    ChecksumAlgorithm: version.checksum?.algorithm,
    ChecksumType: version.checksum?.type,
    Size: version.size,
    StorageClass: storageClass(version.placement),
  };
}

const writeToken = (last: string): string => Buffer.from(last).toString('base64url');

function readToken(token: string): string {
  const last = Buffer.from(token, 'base64url').toString();
  if (token === '' || writeToken(last) !== token) {
    throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect');
  }
  return last;
}
