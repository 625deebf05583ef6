import { type Call, type Reply, receive, required } from '../call.ts';
import type { PartRecord, UploadRecord } from '../store/record.ts';
import type { Upload } from '../store/uploads.ts';
import { CHECKSUM_TYPES, checksumHeader, readAlgorithm } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import { document, NAMESPACE } from '../wire/xml.ts';
import { encryptionHeaders, readAttributes, simpleETag } from './put.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
export const MAX_PARTS = 10_000;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html */
export function createUpload({ store, target, headers, now }: Call): Reply {
  store.bucket(target.bucket);
  const checksum = readChecksumPlan(headers);
  const upload = store.uploads.begin({
    bucket: target.bucket,
    key: target.key,
    initiated: now().getTime(),
    attributes: readAttributes(headers),
    ...(checksum && { checksum }),
  });
  const content = { '@xmlns': NAMESPACE, Bucket: target.bucket, Key: target.key, UploadId: upload.id };
  return {
    status: 200,
    headers: {
      ...encryptionHeaders(upload.attributes.placement),
      'x-amz-checksum-algorithm': checksum?.algorithm,
      'x-amz-checksum-type': checksum?.type,
    },
    xml: document('InitiateMultipartUploadResult', content),
  };
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html */
export async function uploadPart(call: Call): Promise<Reply> {
  const upload = findUpload(call);
  const number = readPartNumber(call);
  const planned = upload.record.checksum?.algorithm;
  using received = await receive(call, planned);
  const { md5, size, pieces, checksum } = received;
  if (planned && checksum && checksum.algorithm !== planned) {
    const message = `Checksum Type mismatch occurred, expected checksum Type: ${planned}, actual checksum Type: ${checksum.algorithm}`;
    throw new S3Error('InvalidRequest', message);
  }
  const part = keepPart(call, upload, {
    number,
    md5,
    size,
    pieces: [...pieces],
    ...(checksum && { checksum }),
  });
  return {
    status: 200,
    headers: {
      etag: `"${part.etag}"`,
      ...(checksum && { [checksumHeader(checksum.algorithm)]: checksum.value }),
      ...encryptionHeaders(upload.record.attributes.placement),
    },
  };
}

export function keepPart(
  call: Call,
  upload: Upload,
  part: Omit<PartRecord, 'etag' | 'modified'>,
): PartRecord {
  const { id, attributes } = upload.record;
  const modified = Math.floor(call.now().getTime() / 1000) * 1000;
  const kept = { ...part, etag: simpleETag(part.md5, attributes.placement), modified };
  if (!call.store.uploads.addPart(id, kept)) throw new S3Error('NoSuchUpload');
  return kept;
}

export function abortUpload(call: Call): Reply {
  call.store.uploads.end(findUpload(call).record.id);
  return { status: 204 };
}

export function findUpload(call: Call): Upload {
  const { store, target } = call;
  store.bucket(target.bucket);
  const uploadId = required(call, 'uploadId');
  const upload = store.uploads.find(uploadId);
  if (!upload || upload.record.bucket !== target.bucket || upload.record.key !== target.key) {
    throw new S3Error('NoSuchUpload', undefined, { details: { UploadId: uploadId } });
  }
  return upload;
}

export function readPartNumber(call: Call): number {
  const text = required(call, 'partNumber');
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= MAX_PARTS) return number;
  throw new S3Error(
    'InvalidArgument',
    `Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`,
    {
      details: { ArgumentName: 'partNumber', ArgumentValue: text },
    },
  );
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html */
function readChecksumPlan(headers: Call['headers']): UploadRecord['checksum'] {
  const stated = headers['x-amz-checksum-algorithm'];
  const statedType = headers['x-amz-checksum-type'];
  if (stated === undefined) {
    if (statedType === undefined) return undefined;
    throw new S3Error(
      'InvalidRequest',
      'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    );
  }
  const algorithm = readAlgorithm(stated);
  const usual = algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE';
  const type = statedType === undefined ? usual : CHECKSUM_TYPES.find((known) => known === statedType);
  const combines = type === 'FULL_OBJECT' ? algorithm.startsWith('CRC') : algorithm !== 'CRC64NVME';
  if (!type || !combines) {
    throw new S3Error(
      'InvalidRequest',
      `The ${statedType} checksum type cannot be used with the ${algorithm} checksum algorithm.`,
    );
  }
  return { algorithm, type };
}
