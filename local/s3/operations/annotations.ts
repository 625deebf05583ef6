import { isUtf8 } from 'node:buffer';
import { requireQuery, type S3Request, type S3Response, xmlResponse } from '../operation.ts';
import type { Bucket } from '../store/bucket.ts';
import { takeFirst } from '../store/entries.ts';
import type { Annotation, StoredObject } from '../store/record.ts';
import { compareUtf8 } from '../store/sorted-names.ts';
import { type BodyFacts, openBody } from '../wire/body.ts';
import { createWriteGuard } from '../wire/conditions.ts';
import { checksumHeader } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import type { StoredHeaders } from '../wire/headers.ts';
import { queryCount, queryValue } from '../wire/target.ts';
import { findObject } from './get.ts';
import { MAX_ITEMS, readToken, writeToken } from './listing.ts';
import { encryptionHeaders } from './put.ts';

/**
 * Annotations: named texts of an object version. Writing one changes nothing else of the object and emits no event.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/annotations-overview.html
 */

const MAX_NAME_BYTES = 512;
const MAX_PAYLOAD_BYTES = 1024 ** 2;
const MAX_ANNOTATIONS = 1000;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAnnotation.html */
export async function putAnnotation(request: S3Request): Promise<S3Response> {
  const { target, store, now } = request;
  const name = readName(request);
  findMatching(request);
  const { bytes, md5, size, checksum } = await receivePayload(request);
  using blob = await store.blobs.write(toIterable(bytes));
  // The object may have been replaced during the request.
  const { bucket, object } = findMatching(request);
  const others = object.annotations.filter((annotation) => annotation.name !== name);
  if (others.length >= MAX_ANNOTATIONS) throw new S3Error('AnnotationLimitExceeded');
  const modified = Math.floor(now().getTime() / 1000) * 1000;
  const annotation = { name, etag: md5, size, modified, pieces: [...blob.pieces], checksum };
  bucket.updateInPlace(target.key, object.versionId, { annotations: [...others, annotation] });
  return xmlResponse(
    'PutObjectAnnotationOutput',
    { Key: target.key, AnnotationName: name },
    { etag: `"${annotation.etag}"`, ...checksumHeaders(annotation), ...objectHeaders(bucket, object) },
  );
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAnnotation.html */
export function getAnnotation(request: S3Request): S3Response {
  const { store, headers } = request;
  const name = readName(request);
  const { bucket, object } = findObject(request);
  const annotation = object.annotations.find((candidate) => candidate.name === name);
  if (!annotation) throw new S3Error('NoSuchAnnotation', { details: { AnnotationName: name } });
  const { pieces, size, modified } = annotation;
  return {
    status: 200,
    headers: {
      etag: `"${annotation.etag}"`,
      ...(headers['x-amz-checksum-mode'] === 'ENABLED' && checksumHeaders(annotation)),
      ...objectHeaders(bucket, object),
      'content-length': size,
      'last-modified': new Date(modified).toUTCString(),
    },
    body: { ...store.blobs.hold(pieces), send: (out) => store.blobs.send(pieces, out) },
  };
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectAnnotations.html */
export function listAnnotations(request: S3Request): S3Response {
  const { key, bucket: bucketName, query } = request.target;
  const { bucket, object } = findObject(request);
  const prefix = queryValue(query, 'annotation-prefix') ?? '';
  if (Buffer.byteLength(prefix) > MAX_NAME_BYTES) throw new S3Error('InvalidPrefix');
  const token = queryValue(query, 'continuation-token');
  const after = token === undefined ? '' : readToken(token);
  const max = queryCount(query, 'max-annotation-results', MAX_ITEMS);
  const matching = object.annotations
    .filter(({ name }) => name.startsWith(prefix) && compareUtf8(name, after) > 0)
    .sort((a, b) => compareUtf8(a.name, b.name));
  const { items, hasMore } = takeFirst(matching, max);
  const last = hasMore ? items.at(-1) : undefined;
  const content = {
    Annotations: { AnnotationEntry: items.map(describeAnnotation) },
    Bucket: bucketName,
    Key: key,
    AnnotationPrefix: prefix || undefined,
    MaxAnnotationResults: max,
    AnnotationCount: items.length,
    ContinuationToken: token,
    NextContinuationToken: last && writeToken(last.name),
  };
  return xmlResponse('ListObjectAnnotationsOutput', content, versionHeader(bucket, object));
}

/** Succeeds for an annotation that does not exist: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectAnnotation.html */
export function deleteAnnotation(request: S3Request): S3Response {
  const name = readName(request);
  const { bucket, object } = findMatching(request);
  const annotations = object.annotations.filter((annotation) => annotation.name !== name);
  bucket.updateInPlace(request.target.key, object.versionId, { annotations });
  return { status: 204, headers: versionHeader(bucket, object) };
}

/** Finds the object. It must have the ETag in `x-amz-object-if-match`, if there is one. @throws {S3Error} */
function findMatching(request: S3Request): ReturnType<typeof findObject> {
  const found = findObject(request);
  createWriteGuard({ 'if-match': request.headers['x-amz-object-if-match'] })(found.object);
  return found;
}

/** Names that begin with `aws` or `s3` are reserved. @throws {S3Error} */
function readName(request: S3Request): string {
  const name = requireQuery(request, 'annotationName');
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw new S3Error('AnnotationNameTooLong');
  if (/^(aws|s3)/i.test(name)) throw new S3Error('InvalidAnnotationName');
  return name;
}

/** Reads a text of 1 byte to 1 MiB. S3 computes a CRC64NVME if the request has no checksum. @throws {S3Error} */
async function receivePayload({ openSource, headers, payload }: S3Request) {
  const compute = 'CRC64NVME';
  const limits = { min: 1, max: MAX_PAYLOAD_BYTES };
  const body = openBody(openSource(), headers, payload, { compute, limits });
  const chunks: Buffer[] = [];
  for await (const chunk of body.bytes) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (!isUtf8(bytes)) throw new S3Error('UnsupportedMediaType');
  const { md5, size, checksum }: BodyFacts = body.facts();
  if (!checksum) throw new Error(`expected the ${compute} of the payload, got none`);
  return { bytes, md5, size, checksum };
}

async function* toIterable(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

const describeAnnotation = ({ name, modified, etag, size, checksum }: Annotation) => ({
  AnnotationName: name,
  LastModified: new Date(modified).toISOString(),
  ETag: `"${etag}"`,
  ChecksumAlgorithm: checksum.algorithm,
  Size: size,
});

const checksumHeaders = ({ checksum: { algorithm, value } }: Annotation): StoredHeaders => ({
  [checksumHeader(algorithm)]: value,
  'x-amz-checksum-type': 'FULL_OBJECT',
});

/** An annotation has the encryption of its object. */
const objectHeaders = (bucket: Bucket, object: StoredObject): StoredHeaders => ({
  'x-amz-server-side-encryption': 'AES256',
  ...encryptionHeaders(object.placement),
  ...versionHeader(bucket, object),
});

const versionHeader = ({ record }: Bucket, { versionId }: StoredObject): StoredHeaders =>
  record.versioning ? { 'x-amz-object-version-id': versionId } : {};
