import * as v from 'valibot';
import { receiveText, requireQuery, type S3Request, type S3Response, xmlResponse } from '../operation.ts';
import type { Bucket } from '../store/bucket.ts';
import type { PartRecord, StoredObject, UploadRecord } from '../store/record.ts';
import type { Upload } from '../store/uploads.ts';
import { hidesMd5 } from '../wire/attributes.ts';
import { createWriteGuard } from '../wire/conditions.ts';
import {
  ALGORITHMS,
  type Algorithm,
  type Checksum,
  checksumElement,
  checksumHeader,
  compositeChecksum,
  digestBytes,
  multipartETag,
} from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import type { RequestHeaders } from '../wire/headers.ts';
import { readXml } from '../wire/xml.ts';
import { describeChecksum } from './copy.ts';
import { findUpload, MAX_PARTS } from './multipart.ts';
import { createETag, encryptionHeaders, writtenVersionHeader } from './put.ts';

/** The minimum size of every part except the last: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MIN_PART_BYTES = 5 * 1024 ** 2;

const completionSchema = v.strictObject({
  Part: v.pipe(
    v.array(
      v.strictObject({
        PartNumber: v.pipe(v.string(), v.digits(), v.transform(Number)),
        ETag: v.pipe(
          v.string(),
          v.transform((etag) => etag.trim().replaceAll('"', '')),
        ),
        ChecksumCRC32: v.optional(v.string()),
        ChecksumCRC32C: v.optional(v.string()),
        ChecksumCRC64NVME: v.optional(v.string()),
        ChecksumSHA1: v.optional(v.string()),
        ChecksumSHA256: v.optional(v.string()),
      }),
    ),
    v.minLength(1),
    v.maxLength(MAX_PARTS),
  ),
});
type Completion = v.InferOutput<typeof completionSchema>;
type ListedPart = Pick<Completion['Part'][number], 'PartNumber' | 'ETag'> &
  Partial<Completion['Part'][number]>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
export async function completeUpload(request: S3Request): Promise<S3Response> {
  const { store, target, headers } = request;
  const bucket = store.getBucket(target.bucket);
  const body = await receiveText({ ...request, headers: withoutChecksum(headers) });
  const completion = readXml(body, 'CompleteMultipartUpload', completionSchema);
  const uploadId = requireQuery(request, 'uploadId');
  // A client that lost the response sends the request again, and the listener may have missed the event. Both get it again.
  const completed = store.findCompleted(target.bucket, target.key, uploadId);
  if (completed) return reportCompleted(request, bucket, completed);

  const upload = findUpload(request);
  const { record } = upload;
  const guard = createWriteGuard(headers);
  const parts = selectParts(upload, completion.Part, MIN_PART_BYTES);
  const pieces = parts.flatMap((part) => part.pieces);
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const expected = headers['x-amz-mp-object-size'];
  if (expected !== undefined && Number(expected) !== size) {
    throw new S3Error(
      'InvalidRequest',
      `The provided 'x-amz-mp-object-size' header value ${expected} does not match what was computed: ${size}`,
    );
  }
  using _ = store.blobs.hold(pieces);
  const checksum = await computeChecksum(request, record, parts);
  if (checksum?.type === 'COMPOSITE') requirePartChecksums(completion, checksum.algorithm);
  // Another request may have ended the upload during the computation.
  findUpload(request);
  const { attributes } = record;
  const etag = hidesMd5(attributes.placement)
    ? `${createETag('', attributes.placement)}-${parts.length}`
    : multipartETag(parts.map((part) => part.md5));
  const object = bucket.publish(
    target.key,
    {
      ...attributes,
      ...{ etag, size, pieces, uploadId, parts: parts.map((part) => describePart(part, checksum)) },
      ...(checksum && { checksum }),
    },
    guard,
    record.initiated,
  );
  store.uploads.remove(uploadId);
  return reportCompleted(request, bucket, object);
}

/** In this request, they are the checksums of the object, not of the body. */
const withoutChecksum = (headers: RequestHeaders): RequestHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('x-amz-checksum-')));

async function reportCompleted(
  request: S3Request,
  bucket: Bucket,
  object: StoredObject,
): Promise<S3Response> {
  const { key, path } = request.target;
  await request.emitCreated('ObjectCreated:CompleteMultipartUpload', bucket, key, object);
  const content = {
    Location: `http://${request.headers.host ?? 'localhost'}${path}`,
    Bucket: bucket.record.name,
    Key: key,
    ETag: `"${object.etag}"`,
    ...describeChecksum(object.checksum),
  };
  const headers = { ...encryptionHeaders(object.placement), ...writtenVersionHeader(object) };
  return xmlResponse('CompleteMultipartUploadResult', content, headers);
}

/**
 * Returns the parts that the client lists. `minBytes`: the minimum size of every part except the last.
 * @throws {S3Error} if one is missing, different, out of order, or too small
 */
export function selectParts(
  { parts }: Upload,
  listed: readonly ListedPart[],
  minBytes: number,
): PartRecord[] {
  const selected = listed.map((entry, at) => {
    const number = entry.PartNumber;
    if (number <= (listed[at - 1]?.PartNumber ?? 0)) throw new S3Error('InvalidPartOrder');
    const part = parts.get(number);
    if (!part || part.etag !== entry.ETag) {
      throw new S3Error('InvalidPart', { details: { PartNumber: number, ETag: entry.ETag } });
    }
    for (const algorithm of ALGORITHMS) {
      const value = entry[checksumElement(algorithm)];
      if (value === undefined || part.checksum?.algorithm !== algorithm) continue;
      if (value !== part.checksum.value)
        throw new S3Error('InvalidPart', { details: { PartNumber: number } });
    }
    return part;
  });
  const small = selected.slice(0, -1).find((part) => part.size < minBytes);
  if (small) {
    throw new S3Error('EntityTooSmall', {
      details: {
        PartNumber: small.number,
        ProposedSize: small.size,
        MinSizeAllowed: minBytes,
        ETag: small.etag,
      },
    });
  }
  return selected;
}

/** The checksums of the parts have the algorithm of the object, unless the object has none. */
const describePart = ({ number, size, checksum: part }: PartRecord, whole: Checksum | undefined) => ({
  ...{ number, size },
  ...(part && part.algorithm === whole?.algorithm && { checksum: part.value }),
});

function requirePartChecksums({ Part }: Completion, algorithm: Algorithm): void {
  const missing = Part.find((part) => part[checksumElement(algorithm)] === undefined);
  if (!missing) return;
  throw new S3Error(
    'InvalidRequest',
    `The upload was created using a ${algorithm.toLowerCase()} checksum. The complete request must include the checksum for each part. It was missing for part ${missing.PartNumber} in the request.`,
  );
}

/**
 * Computes the checksum that the upload was begun with, and compares it with the one in the headers of the request.
 * Without the first, a sent CRC must be the one of the whole object.
 */
async function computeChecksum(
  { store, headers }: S3Request,
  { checksum: begun }: UploadRecord,
  parts: readonly PartRecord[],
): Promise<Checksum | undefined> {
  const sent = readSentChecksum(headers);
  if (begun && sent && sent.algorithm !== begun.algorithm) {
    throw new S3Error(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${begun.algorithm}, actual checksum Type: ${sent.algorithm}`,
    );
  }
  const plan = begun ?? (sent && { algorithm: sent.algorithm, type: 'FULL_OBJECT' as const });
  const sentType = headers['x-amz-checksum-type'];
  if (sentType !== undefined && sentType !== plan?.type) {
    throw new S3Error(
      'InvalidRequest',
      `The upload was created using the ${plan?.type ?? 'default'} checksum mode. The complete request must use the same checksum mode.`,
    );
  }
  if (!plan) return undefined;
  const { algorithm, type } = plan;
  // CRCs of parts can be combined by arithmetic. Reading the bytes again is slower but simpler.
  const checksum =
    type === 'COMPOSITE'
      ? await compositeChecksum(
          algorithm,
          parts.map((part) => part.checksum?.value ?? ''),
        )
      : await digestBytes(store.blobs.read(parts.flatMap((part) => part.pieces)), algorithm).then(
          (digests) => ({ algorithm, type, value: digests.checksum?.value ?? '' }),
        );
  // Clients send a composite checksum with and without the number of parts.
  if (sent && sent.value !== checksum.value && sent.value !== checksum.value.replace(/-\d+$/, '')) {
    throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
  }
  return checksum;
}

function readSentChecksum(headers: RequestHeaders): { algorithm: Algorithm; value: string } | undefined {
  const [sent, ...others] = ALGORITHMS.flatMap((algorithm) => {
    const value = headers[checksumHeader(algorithm)];
    return value === undefined ? [] : [{ algorithm, value }];
  });
  if (others.length === 0) return sent;
  throw new S3Error(
    'InvalidRequest',
    'Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed.',
  );
}
