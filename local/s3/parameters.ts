import { S3Error } from './wire/errors.ts';
import type { RequestHeaders } from './wire/headers.ts';
import type { Query } from './wire/target.ts';

/** The account of every bucket. */
const ACCOUNT_ID = '000000000000';

const names = (...lists: string[]): ReadonlySet<string> => new Set(lists.join(' ').split(' '));

/** Headers that any request may have, and the query parameter with which the SDKs name the operation. */
const COMMON = names(
  '?x-id x-amz-date x-amz-content-sha256 x-amz-decoded-content-length x-amz-trailer x-amz-user-agent',
  'x-amz-expected-bucket-owner x-amz-request-payer x-amz-security-token',
);

/** Query parameters of a presigned URL. */
const SIGNATURE = names(
  'x-amz-algorithm x-amz-credential x-amz-date x-amz-expires x-amz-signedheaders x-amz-signature x-amz-content-sha256 x-amz-security-token',
);

const VERSION = '?versionId';
const CHECKSUMS =
  'x-amz-checksum-crc32 x-amz-checksum-crc32c x-amz-checksum-crc64nvme x-amz-checksum-sha1 x-amz-checksum-sha256';
const BODY = `content-length content-md5 x-amz-sdk-checksum-algorithm ${CHECKSUMS}`;
const GRANTS =
  'x-amz-acl x-amz-grant-full-control x-amz-grant-read x-amz-grant-read-acp x-amz-grant-write x-amz-grant-write-acp';
const ATTRIBUTES = [
  'cache-control content-disposition content-encoding content-language content-type expires x-amz-meta-',
  'x-amz-storage-class x-amz-website-redirect-location x-amz-tagging x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id x-amz-server-side-encryption-bucket-key-enabled',
  'x-amz-object-lock-mode x-amz-object-lock-retain-until-date x-amz-object-lock-legal-hold',
  'x-amz-object-lock-event-hold x-amz-object-lock-event-hold-duration-days',
  'x-amz-object-lock-event-hold-duration-years',
  GRANTS,
].join(' ');
const GUARDS = 'if-match if-none-match';
const READ = [
  `${VERSION} ?partNumber range if-match if-none-match if-modified-since if-unmodified-since x-amz-checksum-mode`,
  '?response-cache-control ?response-content-disposition ?response-content-encoding ?response-content-language',
  '?response-content-type ?response-expires',
].join(' ');
const SOURCE = [
  'x-amz-copy-source x-amz-copy-source-if-match x-amz-copy-source-if-none-match x-amz-copy-source-if-modified-since',
  'x-amz-copy-source-if-unmodified-since x-amz-source-expected-bucket-owner x-amz-object-annotation-directive',
].join(' ');
const LISTING = '?prefix ?delimiter ?encoding-type';
const OPTIONAL_ATTRIBUTES = 'x-amz-optional-object-attributes';
const ANNOTATION = `?annotationName ${VERSION}`;

/**
 * The query parameters (`?name`) and headers of the SDK's model that each operation implements. A name that ends with `-`
 * is a prefix. The server returns 501 for every other query parameter and every other header that begins with `x-amz-`.
 */
export const PARAMETERS = {
  ListBuckets: names('?max-buckets ?continuation-token ?prefix ?bucket-region'),
  CreateBucket: names(BODY, 'x-amz-acl x-amz-bucket-object-lock-enabled'),
  HeadBucket: names(),
  DeleteBucket: names(),
  GetBucketLocation: names(),
  GetBucketVersioning: names(),
  PutBucketVersioning: names(BODY),
  GetBucketEncryption: names(),
  GetBucketLifecycleConfiguration: names(),
  GetBucketNotificationConfiguration: names(),
  GetBucketReplication: names(),
  GetObjectLockConfiguration: names(),
  ListObjects: names(LISTING, '?max-keys ?marker', OPTIONAL_ATTRIBUTES),
  ListObjectsV2: names(
    LISTING,
    '?list-type ?max-keys ?continuation-token ?start-after ?fetch-owner',
    OPTIONAL_ATTRIBUTES,
  ),
  ListObjectVersions: names(LISTING, '?max-keys ?key-marker ?version-id-marker', OPTIONAL_ATTRIBUTES),
  ListMultipartUploads: names(LISTING, '?max-uploads ?key-marker ?upload-id-marker'),
  DeleteObjects: names(BODY, 'x-amz-bypass-governance-retention'),
  PostObject: names(
    'acl awsaccesskeyid bucket file key policy redirect signature success_action_redirect success_action_status tagging',
    'x-amz-algorithm x-amz-credential x-amz-signature x-ignore-',
    [ATTRIBUTES, BODY].join(' '),
  ),
  PutObject: names(ATTRIBUTES, BODY, GUARDS),
  CopyObject: names(
    ATTRIBUTES,
    SOURCE,
    GUARDS,
    'x-amz-checksum-algorithm x-amz-metadata-directive x-amz-tagging-directive',
  ),
  GetObject: names(READ),
  HeadObject: names(READ),
  DeleteObject: names(VERSION, 'if-match x-amz-bypass-governance-retention'),
  GetObjectAttributes: names(VERSION, 'x-amz-object-attributes x-amz-max-parts x-amz-part-number-marker'),
  GetObjectAcl: names(VERSION),
  PutObjectAcl: names(VERSION, BODY, GRANTS),
  GetObjectTagging: names(VERSION),
  PutObjectTagging: names(VERSION, BODY),
  DeleteObjectTagging: names(VERSION),
  ListObjectAnnotations: names(VERSION, '?annotation-prefix ?continuation-token ?max-annotation-results'),
  GetObjectAnnotation: names(ANNOTATION, 'x-amz-checksum-mode'),
  PutObjectAnnotation: names(ANNOTATION, BODY, 'x-amz-object-if-match'),
  DeleteObjectAnnotation: names(ANNOTATION, 'x-amz-object-if-match'),
  CreateMultipartUpload: names(ATTRIBUTES, 'x-amz-checksum-algorithm x-amz-checksum-type'),
  UploadPart: names('?uploadId ?partNumber', BODY),
  UploadPartCopy: names('?uploadId ?partNumber x-amz-copy-source-range', SOURCE),
  ListParts: names('?uploadId ?max-parts ?part-number-marker'),
  CompleteMultipartUpload: names(
    '?uploadId x-amz-checksum-type x-amz-mp-object-size',
    [BODY, GUARDS].join(' '),
  ),
  AbortMultipartUpload: names('?uploadId'),
} as const satisfies Readonly<Record<string, ReadonlySet<string>>>;

export type ApiName = keyof typeof PARAMETERS;

const has = (list: ReadonlySet<string>, name: string): boolean =>
  list.has(name) || [...list].some((prefix) => prefix.endsWith('-') && name.startsWith(prefix));

const SSE = 'x-amz-server-side-encryption';

/** @throws {S3Error} `NotImplemented` for a header or form field that `api` does not implement */
export function checkHeaderNames(api: ApiName, all: readonly string[]): void {
  for (const name of all) {
    if (name.startsWith(`${SSE}-customer-`) && all.includes(SSE)) {
      throw new S3Error(
        'InvalidArgument',
        'Server Side Encryption with Customer provided key is incompatible with the encryption method specified',
      );
    }
    if (!name.startsWith('x-amz-') || has(COMMON, name) || has(PARAMETERS[api], name)) continue;
    if (name === SSE) {
      throw new S3Error('InvalidArgument', `${SSE} header is not supported for this operation.`);
    }
    throw new S3Error('NotImplemented', {
      message: 'A header you provided implies functionality that is not implemented',
      details: { Header: name },
    });
  }
}

/** @throws {S3Error} `NotImplemented` for a query parameter that `api` does not implement. `subresources` select the operation */
export function checkQueryNames(api: ApiName, query: Query, subresources: readonly string[]): void {
  for (const [name] of query) {
    if (subresources.includes(name) || has(COMMON, `?${name}`) || has(PARAMETERS[api], `?${name}`)) continue;
    if (isHoisted(name) || SIGNATURE.has(name.toLowerCase())) continue;
    throw new S3Error('NotImplemented', {
      message: 'A parameter you provided implies functionality that is not implemented',
      details: { Parameter: name },
    });
  }
}

/** Whether a query parameter refines a request. Every other one names a subresource. */
export const isRefinement = (name: string): boolean =>
  REFINEMENTS.has(name) || name.toLowerCase().startsWith('x-amz-');

const SUBRESOURCES = new Set(['?uploadId', '?annotationName', '?list-type']);
const REFINEMENTS = new Set(
  [COMMON, ...Object.values(PARAMETERS)].flatMap((list) =>
    [...list].filter((name) => name.startsWith('?') && !SUBRESOURCES.has(name)).map((name) => name.slice(1)),
  ),
);

const isHoisted = (name: string): boolean => {
  const lower = name.toLowerCase();
  return lower.startsWith('x-amz-') && !SIGNATURE.has(lower);
};

/** Headers that the signer of a URL moved into its query. Query values are UTF-8, but header bytes are handled as Latin-1. */
export const hoistedHeaders = (query: Query): RequestHeaders =>
  Object.fromEntries(
    query
      .filter(([name]) => isHoisted(name))
      .map(([name, value]) => [name.toLowerCase(), Buffer.from(value).toString('latin1')]),
  );

/** @throws {S3Error} `AccessDenied` when the request expects another owner of a bucket */
export function checkExpectedOwner(headers: RequestHeaders): void {
  for (const name of ['x-amz-expected-bucket-owner', 'x-amz-source-expected-bucket-owner']) {
    const expected = headers[name];
    if (expected !== undefined && expected !== ACCOUNT_ID) throw new S3Error('AccessDenied');
  }
}
