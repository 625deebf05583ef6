import * as v from 'valibot';
import {
  receiveText,
  requireQuery,
  type S3Response,
  type StoreRequest,
  xmlResponse,
} from '../s3/operation.ts';
import { selectParts } from '../s3/operations/complete.ts';
import { findObject, getObject } from '../s3/operations/get.ts';
import { findUpload, MAX_PARTS, readPartNumber, storePart } from '../s3/operations/multipart.ts';
import type { PendingBlob } from '../s3/store/blobs.ts';
import type { Attributes, StoredObject } from '../s3/store/record.ts';
import { readContentHeaders } from '../s3/wire/attributes.ts';
import { openBody } from '../s3/wire/body.ts';
import type { WriteGuard } from '../s3/wire/conditions.ts';
import { multipartETag } from '../s3/wire/digest.ts';
import { S3Error } from '../s3/wire/errors.ts';
import { readXml } from '../s3/wire/xml.ts';
import { combineCrc64, startCrc64 } from './crc64.ts';

/** `isPartLost`: the injected fault `part-lost`. */
export type CosRequest = StoreRequest & Readonly<{ isPartLost: boolean }>;
export type CosOperation = (request: CosRequest) => S3Response | Promise<S3Response>;

export const CRC64 = 'x-cos-hash-crc64ecma';

/** Every part except the last has at least 1 MB: https://www.tencentcloud.com/document/product/436/7742 */
const MIN_PART_BYTES = 1024 ** 2;

/** https://www.tencentcloud.com/document/product/436/7749 */
export async function putObject(request: CosRequest): Promise<S3Response> {
  const bucket = request.store.getBucket(request.target.bucket);
  const guard = createGuard(request);
  using received = await receiveBytes(request);
  const { md5, size, pieces, crc64 } = received;
  const object = { ...readAttributes(request), etag: md5, md5, size, pieces: [...pieces], crc64 };
  bucket.publish(request.target.key, object, guard);
  return { status: 200, headers: { etag: `"${md5}"`, [CRC64]: crc64 } };
}

/** https://www.tencentcloud.com/document/product/436/7745 and, for HEAD, https://www.tencentcloud.com/document/product/436/7748 */
export function readObject(request: CosRequest): S3Response {
  const { object } = findObject(request);
  const response = getObject(request);
  return { ...response, headers: { ...response.headers, [CRC64]: object.crc64 } };
}

/** https://www.tencentcloud.com/document/product/436/7746 */
export function createUpload(request: CosRequest): S3Response {
  const { store, target, now } = request;
  const { bucket, key } = target;
  const attributes = readAttributes(request);
  const { id } = store.uploads.create({ bucket, key, initiated: now().getTime(), attributes });
  return xmlResponse('InitiateMultipartUploadResult', { Bucket: bucket, Key: key, UploadId: id });
}

/** https://www.tencentcloud.com/document/product/436/7750 */
export async function uploadPart(request: CosRequest): Promise<S3Response> {
  const upload = findUpload(request);
  const number = readPartNumber(request);
  using received = await receiveBytes(request);
  const { md5, size, pieces, crc64 } = received;
  if (!request.isPartLost) storePart(request, upload, { number, md5, size, pieces: [...pieces], crc64 });
  return { status: 200, headers: { etag: `"${md5}"`, [CRC64]: crc64 } };
}

const completionSchema = v.strictObject({
  Part: v.pipe(
    v.array(
      v.strictObject({
        PartNumber: v.pipe(v.string(), v.digits(), v.transform(Number)),
        ETag: v.pipe(
          v.string(),
          v.transform((etag) => etag.trim().replaceAll('"', '')),
        ),
      }),
    ),
    v.minLength(1),
    v.maxLength(MAX_PARTS),
  ),
});

/** https://www.tencentcloud.com/document/product/436/7742 */
export async function completeUpload(request: CosRequest): Promise<S3Response> {
  const { store, target } = request;
  const bucket = store.getBucket(target.bucket);
  const { Part: listed } = readXml(await receiveText(request), 'CompleteMultipartUpload', completionSchema);
  const uploadId = requireQuery(request, 'uploadId');
  const upload = findUpload(request);
  const parts = selectParts(upload, listed, MIN_PART_BYTES);
  const crc64 = combineCrc64(parts.map(({ crc64 = '', size }) => ({ crc64, size })));
  const object = bucket.publish(
    target.key,
    {
      ...upload.record.attributes,
      etag: multipartETag(parts.map((part) => part.md5)),
      size: parts.reduce((sum, part) => sum + part.size, 0),
      pieces: parts.flatMap((part) => part.pieces),
      uploadId,
      parts: parts.map(({ number, size }) => ({ number, size })),
      crc64,
    },
    createGuard(request),
  );
  store.uploads.remove(uploadId);
  const content = {
    Location: `http://${request.headers.host ?? ''}${target.path}`,
    Bucket: target.bucket,
    Key: target.key,
    ETag: `"${object.etag}"`,
  };
  return xmlResponse('CompleteMultipartUploadResult', content, { [CRC64]: crc64 });
}

const readAttributes = ({ headers }: CosRequest): Attributes => ({
  content: {
    ...readContentHeaders({ 'content-type': 'application/octet-stream', ...withoutEmpty(headers) }),
  },
  placement: {},
  metadata: {},
  tags: [],
  grants: [],
});

/** The vendor's SDK sends empty headers for values that a proxy must not set. */
const withoutEmpty = (headers: CosRequest['headers']): CosRequest['headers'] =>
  Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== ''));

function createGuard({ headers }: CosRequest): WriteGuard {
  const isForbidden = headers['x-cos-forbid-overwrite'] === 'true';
  return (current) => {
    if (isForbidden && current) throw new S3Error('FileAlreadyExists');
  };
}

type ReceivedBytes = PendingBlob & Readonly<{ size: number; md5: string; crc64: string }>;

/** Writes the body to disk and verifies its length and `Content-MD5`. */
async function receiveBytes(request: CosRequest): Promise<ReceivedBytes> {
  const { bytes, facts } = openBody(request.openSource(), request.headers, request.payload);
  const crc = await startCrc64();
  async function* digest(): AsyncGenerator<Buffer> {
    for await (const chunk of bytes) {
      crc.update(chunk);
      yield chunk;
    }
  }
  const blob = await request.store.blobs.write(digest());
  const { size, md5 } = facts();
  return { ...blob, size, md5, crc64: crc.digest() };
}

/** Drops the bytes of a committed object, whose properties stay visible, as VOD keeps it at its path. */
export function dropBytes(store: StoreRequest['store'], bucketName: string, key: string): void {
  const bucket = store.getBucket(bucketName);
  const object: StoredObject | undefined = bucket.getCurrent(key);
  if (object && object.pieces.length > 0)
    bucket.publish(key, { ...object, pieces: [] }, () => {}, object.modified);
}
