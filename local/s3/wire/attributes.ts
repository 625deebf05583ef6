import { S3Error } from './errors.ts';
import type { RequestHeaders, StoredHeaders } from './headers.ts';

export type Tag = Readonly<{ key: string; value: string }>;

/** Headers that the metadata directive of a copy applies to, and that a GET may override. */
export const CONTENT_HEADERS = [
  'content-type',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
];

/** Placement headers whose presence makes a copy of an object onto itself legal. */
export const COPY_CHANGE_HEADERS = [
  'x-amz-storage-class',
  'x-amz-website-redirect-location',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-bucket-key-enabled',
];

const KMS_HEADERS = [
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-bucket-key-enabled',
];

const EVENT_HOLD = 'x-amz-object-lock-event-hold';
const EVENT_HOLD_DURATIONS = [`${EVENT_HOLD}-duration-days`, `${EVENT_HOLD}-duration-years`];

/** Headers that every write sets anew. A copy never takes them from its source. */
const PLACEMENT_HEADERS = [
  ...COPY_CHANGE_HEADERS,
  'x-amz-object-lock-mode',
  'x-amz-object-lock-retain-until-date',
  'x-amz-object-lock-legal-hold',
  EVENT_HOLD,
  ...EVENT_HOLD_DURATIONS,
];

const STORAGE_CLASSES = new Set(
  'STANDARD REDUCED_REDUNDANCY STANDARD_IA ONEZONE_IA INTELLIGENT_TIERING GLACIER DEEP_ARCHIVE GLACIER_IR'.split(
    ' ',
  ),
);

const MAX_METADATA_BYTES = 2048;
const MAX_TAGS = 10;
const META = 'x-amz-meta-';
const DEFAULT_KMS_KEY = 'arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000';

export function readContentHeaders(headers: RequestHeaders): StoredHeaders {
  const { 'content-encoding': encodings = '', ...others } = pickHeaders(headers, CONTENT_HEADERS);
  // `aws-chunked` describes the transfer, not the stored bytes. The rest stays as it was sent.
  const encoding = /(^|,)\s*aws-chunked\s*(,|$)/.test(encodings)
    ? encodings
        .split(',')
        .filter((part) => part.trim() !== 'aws-chunked')
        .join(',')
        .trim()
    : encodings;
  return {
    'content-type': 'binary/octet-stream',
    ...others,
    ...(encoding && { 'content-encoding': encoding }),
  };
}

export function readPlacementHeaders(headers: RequestHeaders): StoredHeaders {
  const { 'x-amz-storage-class': storageClass = 'STANDARD', ...placement } = pickHeaders(
    headers,
    PLACEMENT_HEADERS,
  );
  if (!STORAGE_CLASSES.has(storageClass)) throw new S3Error('InvalidStorageClass');
  // Since 2023 S3 encrypts every object, by default with AES256, and returns the method.
  const encryption = placement['x-amz-server-side-encryption'] ?? 'AES256';
  if (!['AES256', 'aws:kms', 'aws:kms:dsse'].includes(encryption)) {
    throw new S3Error('InvalidArgument', 'The encryption method specified is not supported');
  }
  if (!isKms(encryption) && KMS_HEADERS.some((name) => name in placement)) {
    throw new S3Error(
      'InvalidArgument',
      'Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms',
    );
  }
  if ('x-amz-object-lock-mode' in placement !== 'x-amz-object-lock-retain-until-date' in placement) {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied',
    );
  }
  checkEventHold(placement);
  return {
    ...(isKms(encryption) && { 'x-amz-server-side-encryption-aws-kms-key-id': DEFAULT_KMS_KEY }),
    ...placement,
    'x-amz-server-side-encryption': encryption,
    // S3 never returns the header for STANDARD.
    ...(storageClass !== 'STANDARD' && { 'x-amz-storage-class': storageClass }),
  };
}

/** @throws {S3Error} `InvalidArgument` */
function checkEventHold(placement: StoredHeaders): void {
  const { [EVENT_HOLD]: hold } = placement;
  if (hold !== undefined && hold !== 'ON' && hold !== 'OFF')
    throw new S3Error('InvalidArgument', `Unknown ${EVENT_HOLD}: ${hold}`);
  const durations = EVENT_HOLD_DURATIONS.flatMap((name) => placement[name] ?? []);
  if (durations.length > 1)
    throw new S3Error('InvalidArgument', 'An event hold duration must be in days or in years, not in both');
  if (durations.some((duration) => !/^[1-9]\d{0,5}$/.test(duration)))
    throw new S3Error('InvalidArgument', 'An event hold duration must be a positive integer');
}

const isKms = (encryption: string | undefined): boolean => encryption?.startsWith('aws:kms') ?? false;

/** The ETag of an object that is encrypted with KMS is not the MD5 of its bytes. */
export const hidesMd5 = (placement: StoredHeaders): boolean =>
  isKms(placement['x-amz-server-side-encryption']);

export const storageClassOf = (placement: StoredHeaders): string =>
  placement['x-amz-storage-class'] ?? 'STANDARD';

/**
 * Archived bytes cannot be read or copied before they are restored.
 * @throws {S3Error} `InvalidObjectState`
 */
export function rejectArchived(placement: StoredHeaders): void {
  const storageClass = storageClassOf(placement);
  if (storageClass === 'GLACIER' || storageClass === 'DEEP_ARCHIVE') {
    throw new S3Error('InvalidObjectState', { details: { StorageClass: storageClass } });
  }
}

/** User metadata by its name without `x-amz-meta-`. */
export function readMetadata(headers: RequestHeaders): StoredHeaders {
  const metadata = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    name.startsWith(META) && value !== undefined ? [[name.slice(META.length), value]] : [],
  );
  // Node decodes header bytes as Latin-1.
  const size = Buffer.byteLength(metadata.flat().join(''), 'latin1');
  if (size > MAX_METADATA_BYTES) {
    throw new S3Error('MetadataTooLarge', { details: { Size: size, MaxSizeAllowed: MAX_METADATA_BYTES } });
  }
  return Object.fromEntries(metadata); // assigning entries one by one would lose `__proto__`
}

export const metadataHeaders = (metadata: StoredHeaders): StoredHeaders =>
  Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`${META}${name}`, value]));

/**
 * Reads tags from a header: `a=1&b=2`, percent-encoded. A plus stays a plus, as in the strictest stores: a client that
 * means a space must send `%20`.
 */
export const readTagging = (header = ''): readonly Tag[] =>
  checkTags(
    header
      .split('&')
      .filter(Boolean)
      .map((pair) => {
        const [key = '', ...value] = pair.split('=');
        return { key: decodeTag(key), value: decodeTag(value.join('=')) };
      }),
  );

function decodeTag(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    const message =
      "The header 'x-amz-tagging' must be encoded as UTF-8 then URLEncoded URL query parameters";
    throw new S3Error('InvalidArgument', { message, cause });
  }
}

/** Letters, digits, spaces, and `_ . : / = + - @`. */
const TAG_FORM = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html */
export function checkTags(tags: readonly Tag[]): readonly Tag[] {
  if (tags.length > MAX_TAGS)
    throw new S3Error('InvalidTag', `Object tags cannot be greater than ${MAX_TAGS}`);
  if (new Set(tags.map(({ key }) => key)).size < tags.length) {
    throw new S3Error('InvalidTag', 'Cannot provide multiple Tags with the same key');
  }
  for (const { key, value } of tags) {
    if (key.length < 1 || key.length > 128 || !TAG_FORM.test(key) || /^aws:/i.test(key))
      throw new S3Error('InvalidTag', 'The TagKey you have provided is invalid');
    if (value.length > 256 || !TAG_FORM.test(value))
      throw new S3Error('InvalidTag', 'The TagValue you have provided is invalid');
  }
  return tags;
}

const pickHeaders = (headers: RequestHeaders, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name];
      return value ? [[name, value]] : [];
    }),
  );
