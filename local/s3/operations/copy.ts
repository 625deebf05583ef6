import { type S3Request, type S3Response, xmlResponse } from '../operation.ts';
import type { Annotation, Attributes, StoredObject } from '../store/record.ts';
import { COPY_CHANGE_HEADERS, rejectArchived } from '../wire/attributes.ts';
import { MAX_BODY_BYTES } from '../wire/body.ts';
import { checkCopySource, createWriteGuard } from '../wire/conditions.ts';
import { type Checksum, checksumElement, digestBytes, readAlgorithm } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import type { RequestHeaders } from '../wire/headers.ts';
import { readCopySource } from '../wire/target.ts';
import type { XmlElements } from '../wire/xml.ts';
import { findVersion } from './get.ts';
import { createETag, encryptionHeaders, readAttributes, versionHeader } from './put.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html */
export async function copyObject(request: S3Request): Promise<S3Response> {
  const { store, target, headers } = request;
  const bucket = store.getBucket(target.bucket);
  const source = findCopySource(request);
  checkCopySize(source.object.size);
  const attributes = buildAttributes(headers, source.object);
  if (source.isCurrent && source.bucket === bucket && source.key === target.key) {
    rejectUnchangedCopy(headers);
  }
  const guard = createWriteGuard(headers);

  // Both objects share the bytes. The copy reads them only to compute a digest that the source does not have.
  using _ = store.blobs.hold(source.object.pieces);
  const { md5, checksum } = await findDigests(request, source.object);
  // A write during the reading, such as a new tag, must not be undone: start again with the new source.
  if (findCopySource(request).object !== source.object) return copyObject(request);
  const { pieces, size } = source.object;
  const etag = createETag(md5, attributes.placement);
  const object = bucket.publish(
    target.key,
    {
      ...attributes,
      ...{ etag, md5, size, pieces, annotations: copiedAnnotations(headers, source.object) },
      ...(checksum && { checksum }),
    },
    guard,
  );
  await request.emitCreated('ObjectCreated:Copy', bucket, target.key, object);

  return xmlResponse(
    'CopyObjectResult',
    {
      LastModified: new Date(object.modified).toISOString(),
      ETag: `"${object.etag}"`,
      ...describeChecksum(object.checksum),
    },
    { ...source.versionHeader, ...encryptionHeaders(object.placement), ...versionHeader(bucket, object) },
  );
}

/** @throws {S3Error} `InvalidRequest` when one request must not copy this many bytes */
export function checkCopySize(size: number): void {
  if (size <= MAX_BODY_BYTES) return;
  throw new S3Error(
    'InvalidRequest',
    `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_BODY_BYTES}`,
  );
}

/** Finds the object in `x-amz-copy-source`. @throws {S3Error} when it must not be copied or a condition fails */
export function findCopySource({ store, headers }: S3Request) {
  const { bucket: name, key, versionId } = readCopySource(headers['x-amz-copy-source'] ?? '');
  const bucket = store.getBucket(name);
  const version = bucket.getVersions(key).find((candidate) => candidate.versionId === versionId);
  if (version?.kind === 'delete marker') {
    throw new S3Error(
      'InvalidRequest',
      'The source of a copy request may not specifically refer to a delete marker by version id.',
    );
  }
  const object = findVersion(bucket, key, versionId);
  rejectArchived(object.placement);
  checkCopySource(headers, object);
  return {
    bucket,
    key,
    object,
    isCurrent: object === bucket.getCurrent(key),
    versionHeader: bucket.record.versioning ? { 'x-amz-copy-source-version-id': object.versionId } : {},
  };
}

export const describeChecksum = (checksum: Checksum | undefined): XmlElements =>
  checksum ? { [checksumElement(checksum.algorithm)]: checksum.value, ChecksumType: checksum.type } : {};

/** The directives select what the copy takes from its source. The request or S3's defaults determine the rest. */
function buildAttributes(headers: RequestHeaders, source: StoredObject): Attributes {
  const attributes = readAttributes(headers);
  const copiesMetadata = readDirective(headers, 'x-amz-metadata-directive') === 'COPY';
  const copiesTags = readDirective(headers, 'x-amz-tagging-directive') === 'COPY';
  return {
    ...attributes,
    ...(copiesMetadata && { content: source.content, metadata: source.metadata }),
    ...(copiesTags && { tags: source.tags }),
  };
}

function readDirective(headers: RequestHeaders, name: string): 'COPY' | 'REPLACE' {
  const value = headers[name] ?? 'COPY';
  if (value === 'COPY' || value === 'REPLACE') return value;
  throw new S3Error('InvalidArgument', `Unknown directive: ${name}`);
}

/** @throws {S3Error} `InvalidArgument` */
function copiedAnnotations(headers: RequestHeaders, { annotations }: StoredObject): Annotation[] {
  const directive = headers['x-amz-object-annotation-directive'] ?? 'COPY';
  if (directive === 'COPY') return [...annotations];
  if (directive === 'EXCLUDE') return [];
  throw new S3Error('InvalidArgument', 'Unknown directive: x-amz-object-annotation-directive');
}

function rejectUnchangedCopy(headers: RequestHeaders): void {
  if (headers['x-amz-metadata-directive'] === 'REPLACE') return;
  if (COPY_CHANGE_HEADERS.some((name) => headers[name] !== undefined)) return;
  throw new S3Error(
    'InvalidRequest',
    "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
  );
}

/**
 * Returns the MD5 and the checksum of the copy. The request may name a checksum algorithm; otherwise the copy has the
 * one of its source. The checksum covers the full object, even if the checksum of the source is composite.
 */
async function findDigests(
  { store, headers }: S3Request,
  { checksum: known, md5, pieces }: StoredObject,
): Promise<Readonly<{ md5: string; checksum: Checksum | undefined }>> {
  const requested = headers['x-amz-checksum-algorithm'];
  const algorithm = requested === undefined ? known?.algorithm : readAlgorithm(requested);
  const reusable = known?.type === 'FULL_OBJECT' && known.algorithm === algorithm ? known : undefined;
  if (md5 !== undefined && (reusable || !algorithm)) return { md5, checksum: reusable };

  const computed = await digestBytes(store.blobs.read(pieces), reusable ? undefined : algorithm);
  const checksum = computed.checksum ? { ...computed.checksum, type: 'FULL_OBJECT' as const } : reusable;
  return { md5: computed.md5, checksum };
}
