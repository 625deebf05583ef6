import {
  receiveBlob,
  requireQuery,
  type S3Request,
  type S3Response,
  type StoreRequest,
  xmlResponse,
} from '../operation.ts';
import type { PartRecord, UploadRecord } from '../store/record.ts';
import type { Upload } from '../store/uploads.ts';
import { CHECKSUM_TYPES, checksumHeader, readAlgorithm } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import type { RequestHeaders } from '../wire/headers.ts';
import { createETag, encryptionHeaders, readAttributes } from './put.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const MAX_PARTS = 10_000;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html */
export function createUpload({ store, target, headers, now }: S3Request): S3Response {
  const { bucket, key } = target;
  store.getBucket(bucket);
  const checksum = readChecksumPlan(headers);
  const attributes = readAttributes(headers);
  const initiated = now().getTime();
  const { id } = store.uploads.create({ bucket, key, initiated, attributes, ...(checksum && { checksum }) });
  return xmlResponse(
    'InitiateMultipartUploadResult',
    { Bucket: bucket, Key: key, UploadId: id },
    {
      ...encryptionHeaders(attributes.placement),
      'x-amz-checksum-algorithm': checksum?.algorithm,
      'x-amz-checksum-type': checksum?.type,
    },
  );
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html */
export async function uploadPart(request: S3Request): Promise<S3Response> {
  const upload = findUpload(request);
  const number = readPartNumber(request);
  const planned = upload.record.checksum?.algorithm;
  using received = await receiveBlob(request, planned);
  const { md5, size, pieces, checksum } = received;
  if (planned && checksum && checksum.algorithm !== planned) {
    const message = `Checksum Type mismatch occurred, expected checksum Type: ${planned}, actual checksum Type: ${checksum.algorithm}`;
    throw new S3Error('InvalidRequest', message);
  }
  const part = { number, md5, size, pieces: [...pieces], ...(checksum && { checksum }) };
  const { etag } = storePart(request, upload, part);
  return {
    status: 200,
    headers: {
      etag: `"${etag}"`,
      ...(checksum && { [checksumHeader(checksum.algorithm)]: checksum.value }),
      ...encryptionHeaders(upload.record.attributes.placement),
    },
  };
}

/** @throws {S3Error} `NoSuchUpload` when the upload ended while the part was received */
export function storePart(
  { store, now }: StoreRequest,
  { record: { id, attributes } }: Upload,
  part: Omit<PartRecord, 'etag' | 'modified'>,
): PartRecord {
  const modified = Math.floor(now().getTime() / 1000) * 1000;
  const stored = { ...part, etag: createETag(part.md5, attributes.placement), modified };
  if (!store.uploads.addPart(id, stored)) throw new S3Error('NoSuchUpload');
  return stored;
}

export function abortUpload(request: StoreRequest): S3Response {
  request.store.uploads.remove(findUpload(request).record.id);
  return { status: 204 };
}

export function findUpload(request: StoreRequest): Upload {
  const { store, target } = request;
  store.getBucket(target.bucket);
  const uploadId = requireQuery(request, 'uploadId');
  const upload = store.uploads.find(uploadId);
  if (upload?.record.bucket === target.bucket && upload.record.key === target.key) return upload;
  throw new S3Error('NoSuchUpload', { details: { UploadId: uploadId } });
}

export function readPartNumber(request: StoreRequest): number {
  const text = requireQuery(request, 'partNumber');
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= MAX_PARTS) return number;
  throw new S3Error('InvalidArgument', {
    message: `Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`,
    details: { ArgumentName: 'partNumber', ArgumentValue: text },
  });
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html */
function readChecksumPlan(headers: RequestHeaders): UploadRecord['checksum'] {
  const requested = headers['x-amz-checksum-algorithm'];
  const requestedType = headers['x-amz-checksum-type'];
  if (requested === undefined) {
    if (requestedType === undefined) return undefined;
    throw new S3Error(
      'InvalidRequest',
      'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    );
  }
  const algorithm = readAlgorithm(requested);
  const defaultType = algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE';
  const type = CHECKSUM_TYPES.find((known) => known === (requestedType ?? defaultType));
  const isSupported = type === 'FULL_OBJECT' ? algorithm.startsWith('CRC') : algorithm !== 'CRC64NVME';
  if (type && isSupported) return { algorithm, type };
  throw new S3Error(
    'InvalidRequest',
    `The ${requestedType} checksum type cannot be used with the ${algorithm} checksum algorithm.`,
  );
}
