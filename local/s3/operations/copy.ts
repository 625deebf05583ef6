import type { Call, Reply } from '../call.ts';
import type { Attributes, StoredObject } from '../store/record.ts';
import { readTagging, refuseArchived } from '../wire/attributes.ts';
import { MAX_BODY } from '../wire/body.ts';
import { checkCopySource, writeGuard } from '../wire/conditions.ts';
import {
  type Algorithm,
  type Checksum,
  checksumElement,
  readAlgorithm,
  startDigest,
  startMd5,
} from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import { readCopySource } from '../wire/target.ts';
import { document, NAMESPACE, type XmlValue } from '../wire/xml.ts';
import { findObject } from './get.ts';
import { encryptionHeaders, readAttributes, simpleETag, versionHeader } from './put.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html */
export async function copyObject(call: Call): Promise<Reply> {
  const { store, target, headers } = call;
  const bucket = store.bucket(target.bucket);
  const source = findCopySource(call);
  if (source.object.size > MAX_BODY) {
    const message = `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_BODY}`;
    throw new S3Error('InvalidRequest', message);
  }
  const attributes = attributesOfCopy(headers, source.object);
  if (source.isCurrent && source.bucket === bucket && source.key === target.key) refuseUnchanged(headers);
  const guard = writeGuard(headers);

  // The bytes are not copied: both objects share them. They are read only for what is not known about them yet.
  using _ = store.blobs.hold(source.object.pieces);
  const { md5, checksum } = await digestsOfCopy(call, source.object);
  // Copied is what stands there at the moment of the copy: what somebody wrote meanwhile, a tag only, is not undone.
  if (findCopySource(call).object !== source.object) return copyObject(call);
  const { pieces, size } = source.object;
  const etag = simpleETag(md5, attributes.placement);
  const object = bucket.publish(
    target.key,
    { ...attributes, etag, md5, size, pieces, ...(checksum && { checksum }) },
    guard,
  );
  await call.announce('Copy', bucket, target.key, object);

  const result = {
    '@xmlns': NAMESPACE,
    LastModified: new Date(object.modified).toISOString(),
    ETag: `"${object.etag}"`,
    ...checksumXml(object.checksum),
  };
  return {
    status: 200,
    headers: {
      ...encryptionHeaders(object.placement),
      ...versionHeader(bucket, object),
      ...source.versionHeader,
    },
    xml: document('CopyObjectResult', result),
  };
}

/** The object in `x-amz-copy-source`, if it may be copied and the conditions on it hold. */
export function findCopySource({ store, headers }: Call) {
  const { bucket: name, key, versionId } = readCopySource(headers['x-amz-copy-source'] ?? '');
  const bucket = store.bucket(name);
  const named = bucket.versions(key).find((version) => version.versionId === versionId);
  if (named?.kind === 'delete marker') {
    throw new S3Error(
      'InvalidRequest',
      'The source of a copy request may not specifically refer to a delete marker by version id.',
    );
  }
  const object = findObject(bucket, key, versionId);
  refuseArchived(object.placement);
  checkCopySource(headers, object);
  const [version] = Object.values(versionHeader(bucket, object));
  return {
    bucket,
    key,
    object,
    isCurrent: object === bucket.current(key),
    versionHeader: version === undefined ? {} : { 'x-amz-copy-source-version-id': version },
  };
}

export const checksumXml = (checksum: Checksum | undefined): Record<string, XmlValue> =>
  checksum ? { [checksumElement(checksum.algorithm)]: checksum.value, ChecksumType: checksum.type } : {};

/** What the directives let through from the source. All else is as the request says, or S3's default. */
function attributesOfCopy(headers: Call['headers'], source: StoredObject): Attributes {
  const stated = readAttributes(headers);
  const metadata = readDirective(headers, 'x-amz-metadata-directive');
  const tagging = readDirective(headers, 'x-amz-tagging-directive');
  return {
    ...stated,
    ...(metadata === 'COPY' && { content: source.content, metadata: source.metadata }),
    tags: tagging === 'COPY' ? source.tags : [...readTagging(headers['x-amz-tagging'])],
  };
}

function readDirective(headers: Call['headers'], name: string): 'COPY' | 'REPLACE' {
  const value = headers[name] ?? 'COPY';
  if (value === 'COPY' || value === 'REPLACE') return value;
  throw new S3Error('InvalidArgument', `Unknown directive: ${name}`);
}

const CHANGES = [
  'x-amz-storage-class',
  'x-amz-website-redirect-location',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-bucket-key-enabled',
];

function refuseUnchanged(headers: Call['headers']): void {
  if (
    headers['x-amz-metadata-directive'] === 'REPLACE' ||
    CHANGES.some((name) => headers[name] !== undefined)
  )
    return;
  throw new S3Error(
    'InvalidRequest',
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
  );
}

/**
 * The MD5 and checksum of the copy. A checksum is computed where one is asked for; otherwise that of the source is
 * carried along, of the full object also where the source's is a composite of its parts.
 */
async function digestsOfCopy(
  { store, headers }: Call,
  source: StoredObject,
): Promise<{ md5: string; checksum: Checksum | undefined }> {
  const asked = headers['x-amz-checksum-algorithm'];
  const algorithm = asked === undefined ? source.checksum?.algorithm : readAlgorithm(asked);
  const carried =
    source.checksum?.type === 'FULL_OBJECT' && source.checksum.algorithm === algorithm
      ? source.checksum
      : undefined;
  if (source.md5 !== undefined && (carried || algorithm === undefined))
    return { md5: source.md5, checksum: carried };

  const md5 = startMd5();
  const digest = carried === undefined && algorithm ? startDigest(algorithm) : undefined;
  for await (const chunk of store.blobs.read(source.pieces)) {
    md5.update(chunk);
    digest?.update(chunk);
  }
  return {
    md5: md5.digest().toString('hex'),
    checksum: digest && algorithm ? fullObject(algorithm, digest.digest()) : carried,
  };
}

const fullObject = (algorithm: Algorithm, value: Buffer): Checksum => ({
  algorithm,
  type: 'FULL_OBJECT',
  value: value.toString('base64'),
});
