import { validateHeaderName, validateHeaderValue } from 'node:http';
import { S3Error } from './errors.ts';

type Headers = Readonly<Record<string, string | undefined>>;
export type Tag = Readonly<{ key: string; value: string }>;

/** Headers that travel with a copy's metadata directive. */
const CONTENT_HEADERS = [
  'content-type',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
];

/** Headers that every write states anew: a copy never takes them over from its source. */
const PLACEMENT_HEADERS = [
  'x-amz-storage-class',
  'x-amz-website-redirect-location',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-bucket-key-enabled',
  'x-amz-object-lock-mode',
  'x-amz-object-lock-retain-until-date',
  'x-amz-object-lock-legal-hold',
];

/** Names in lower case. What S3 keeps of a request beside the bytes and gives back as it came. */
export type Kept = Readonly<Record<string, string>>;

const STORAGE_CLASSES = new Set([
  'STANDARD',
  'REDUCED_REDUNDANCY',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER',
  'DEEP_ARCHIVE',
  'GLACIER_IR',
]);

const MAX_METADATA_BYTES = 2048;
const MAX_TAGS = 10;
const META = 'x-amz-meta-';

export function readContentHeaders(headers: Headers): Kept {
  const kept = pick(headers, CONTENT_HEADERS);
  // How the bytes travelled is not how they are stored.
  const encoding = (kept['content-encoding'] ?? '')
    .split(/\s*,\s*/)
    .filter((part) => part !== '' && part !== 'aws-chunked')
    .join(',');
  const { 'content-encoding': _, ...others } = kept;
  return {
    'content-type': 'binary/octet-stream',
    ...others,
    ...(encoding && { 'content-encoding': encoding }),
  };
}

export function readPlacementHeaders(headers: Headers): Kept {
  if (Object.keys(headers).some((name) => name.startsWith('x-amz-server-side-encryption-customer-'))) {
    throw new S3Error('NotImplemented', 'Encryption with a key of the customer (SSE-C) is not supported');
  }
  const { 'x-amz-storage-class': storageClass = 'STANDARD', ...kept } = pick(headers, PLACEMENT_HEADERS);
  if (!STORAGE_CLASSES.has(storageClass)) throw new S3Error('InvalidStorageClass');
  // Since 2023 S3 encrypts what does not say how, and says so.
  const encryption = kept['x-amz-server-side-encryption'] ?? 'AES256';
  if (!['AES256', 'aws:kms', 'aws:kms:dsse'].includes(encryption)) {
    throw new S3Error('InvalidArgument', 'The encryption method specified is not supported');
  }
  const keyId = isKms(encryption) && { 'x-amz-server-side-encryption-aws-kms-key-id': DEFAULT_KMS_KEY };
  const lockParts = ['x-amz-object-lock-mode', 'x-amz-object-lock-retain-until-date'].filter(
    (name) => name in kept,
  );
  if (lockParts.length === 1) {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied',
    );
  }
  return {
    ...keyId,
    ...kept,
    'x-amz-server-side-encryption': encryption,
    // STANDARD is the class that is never named.
    ...(storageClass !== 'STANDARD' && { 'x-amz-storage-class': storageClass }),
  };
}

const DEFAULT_KMS_KEY = 'arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000';

const isKms = (encryption: string | undefined): boolean => encryption?.startsWith('aws:kms') ?? false;

/** An object under KMS has an ETag that is not the MD5 of its bytes. */
export const hidesMd5 = (kept: Kept): boolean => isKms(kept['x-amz-server-side-encryption']);

export const storageClass = (kept: Kept): string => kept['x-amz-storage-class'] ?? 'STANDARD';

/** Bytes in the archive cannot be read, nor copied, before they are restored. */
export function refuseArchived(kept: Kept): void {
  const held = storageClass(kept);
  if (held === 'GLACIER' || held === 'DEEP_ARCHIVE') {
    throw new S3Error('InvalidObjectState', undefined, { details: { StorageClass: held } });
  }
}

/** User metadata by its name without `x-amz-meta-`. */
export function readMetadata(headers: Headers): Kept {
  const metadata: [name: string, value: string][] = [];
  let size = 0;
  for (const [header, value] of Object.entries(headers)) {
    if (!header.startsWith(META) || value === undefined) continue;
    const name = header.slice(META.length);
    metadata.push([name, value]);
    // Latin-1 is how Node hands over the bytes of a header.
    size += Buffer.byteLength(name, 'latin1') + Buffer.byteLength(value, 'latin1');
  }
  if (size > MAX_METADATA_BYTES) {
    throw new S3Error('MetadataTooLarge', undefined, {
      details: { Size: size, MaxSizeAllowed: MAX_METADATA_BYTES },
    });
  }
  return Object.fromEntries(metadata); // assigned one by one, `__proto__` would be lost
}

/** What is to be answered as headers; a form, or a query, may say what none can carry. */
export function checkHeaders(headers: Kept): void {
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch (cause) {
      throw new S3Error('InvalidArgument', `${name} cannot be sent as a header`, { cause });
    }
  }
}

export const metadataHeaders = (metadata: Kept): Kept =>
  Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`${META}${name}`, value]));

/** The header form of tags: `a=1&b=2`, form-encoded. */
export function readTagging(header: string | undefined): readonly Tag[] {
  return checkTags([...new URLSearchParams(header ?? '')].map(([key, value]) => ({ key, value })));
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html */
export function checkTags(tags: readonly Tag[]): readonly Tag[] {
  if (tags.length > MAX_TAGS)
    throw new S3Error('InvalidTag', `Object tags cannot be greater than ${MAX_TAGS}`);
  if (new Set(tags.map(({ key }) => key)).size < tags.length) {
    throw new S3Error('InvalidTag', 'Cannot provide multiple Tags with the same key');
  }
  for (const { key, value } of tags) {
    if (key.length < 1 || key.length > 128)
      throw new S3Error('InvalidTag', 'The TagKey you have provided is invalid');
    if (value.length > 256) throw new S3Error('InvalidTag', 'The TagValue you have provided is invalid');
  }
  return tags;
}

const pick = (headers: Headers, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name];
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );
