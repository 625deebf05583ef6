import * as v from 'valibot';
import { type Call, type Reply, receiveText, required } from '../call.ts';
import type { Bucket } from '../store/bucket.ts';
import type { PartRecord, StoredObject, UploadRecord } from '../store/record.ts';
import { hidesMd5 } from '../wire/attributes.ts';
import { writeGuard } from '../wire/conditions.ts';
import {
  ALGORITHMS,
  type Checksum,
  checksumElement,
  checksumHeader,
  compositeChecksum,
  multipartETag,
  startDigest,
} from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import { document, NAMESPACE, readXml } from '../wire/xml.ts';
import { checksumXml } from './copy.ts';
import { findUpload, MAX_PARTS } from './multipart.ts';
import { encryptionHeaders, simpleETag, versionHeader } from './put.ts';

/** Of every part but the last: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MIN_PART = 5 * 1024 ** 2;

/** The elements `ChecksumSHA1` and so on, each optional. */
const checksums = v.partial(
  v.object({
    ChecksumCRC32: v.string(),
    ChecksumCRC32C: v.string(),
    ChecksumCRC64NVME: v.string(),
    ChecksumSHA1: v.string(),
    ChecksumSHA256: v.string(),
  }),
);

const completion = v.object({
  Part: v.pipe(
    v.array(
      v.object({
        PartNumber: v.pipe(v.string(), v.digits(), v.transform(Number)),
        ETag: v.pipe(
          v.string(),
          v.transform((etag) => etag.trim().replaceAll('"', '')),
        ),
        ...checksums.entries,
      }),
    ),
    v.minLength(1),
    v.maxLength(MAX_PARTS),
  ),
});
type Completion = v.InferOutput<typeof completion>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html */
export async function completeUpload(call: Call): Promise<Reply> {
  const { store, target, headers } = call;
  const bucket = store.bucket(target.bucket);
  const asked = readXml(await receiveText(call), 'CompleteMultipartUpload', completion);
  const uploadId = required(call, 'uploadId');
  // A client that lost the answer asks again, and the listener may have missed the event: both get it once more.
  const done = store.completed(target.bucket, target.key, uploadId);
  if (done) return completed(call, bucket, done);

  const { record } = findUpload(call);
  const guard = writeGuard(headers);
  const parts = chooseParts(call, asked);
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
  const checksum = await checksumOf(call, record, parts);
  // Reading for a checksum takes time, in which somebody else may have ended the upload.
  findUpload(call);
  const md5s = parts.map((part) => part.md5);
  const { attributes } = record;
  const etag = hidesMd5(attributes.placement)
    ? `${simpleETag('', attributes.placement)}-${parts.length}`
    : multipartETag(md5s);
  const object = bucket.publish(
    target.key,
    { ...attributes, etag, size, pieces, uploadId, ...(checksum && { checksum }) },
    guard,
  );
  store.uploads.end(uploadId);
  return completed(call, bucket, object);
}

async function completed(call: Call, bucket: Bucket, object: StoredObject): Promise<Reply> {
  const { key, path } = call.target;
  await call.announce('CompleteMultipartUpload', bucket, key, object);
  const content = {
    '@xmlns': NAMESPACE,
    Location: `http://${call.headers.host ?? 'localhost'}${path}`,
    Bucket: bucket.record.name,
    Key: key,
    ETag: `"${object.etag}"`,
    ...checksumXml(object.checksum),
  };
  return {
    status: 200,
    headers: { ...encryptionHeaders(object.placement), ...versionHeader(bucket, object) },
    xml: document('CompleteMultipartUploadResult', content),
  };
}

/** The parts the client lists, if they are in order, there, as it knows them, and not too small. */
function chooseParts(call: Call, { Part: asked }: Completion): PartRecord[] {
  const { parts } = findUpload(call);
  const chosen = asked.map((entry, at) => {
    const number = entry.PartNumber;
    if (number <= (asked[at - 1]?.PartNumber ?? 0)) throw new S3Error('InvalidPartOrder');
    const part = parts.get(number);
    if (!part || part.etag !== entry.ETag) {
      throw new S3Error('InvalidPart', undefined, { details: { PartNumber: number, ETag: entry.ETag } });
    }
    for (const algorithm of ALGORITHMS) {
      const stated = entry[checksumElement(algorithm)];
      if (stated === undefined || part.checksum?.algorithm !== algorithm) continue;
      if (stated !== part.checksum.value)
        throw new S3Error('InvalidPart', undefined, { details: { PartNumber: number } });
    }
    return part;
  });
  const small = chosen.slice(0, -1).find((part) => part.size < MIN_PART);
  if (small) {
    throw new S3Error('EntityTooSmall', undefined, {
      details: {
        PartNumber: small.number,
        ProposedSize: small.size,
        MinSizeAllowed: MIN_PART,
        ETag: small.etag,
      },
    });
  }
  return chosen;
}

async function checksumOf(
  { store, headers }: Call,
  { checksum: plan }: UploadRecord,
  parts: readonly PartRecord[],
): Promise<Checksum | undefined> {
  if (!plan) return undefined;
  const { algorithm, type } = plan;
  const checksum =
    type === 'COMPOSITE'
      ? compositeChecksum(
          algorithm,
          parts.map((part) => part.checksum?.value ?? ''),
        )
      : await fullChecksum();
  const sent = headers[checksumHeader(algorithm)];
  if (sent !== undefined && sent !== checksum.value) {
    throw new S3Error('BadDigest', `The ${algorithm} you specified did not match the calculated checksum.`);
  }
  return checksum;

  // CRCs of parts can be combined by arithmetic; reading the bytes again is slower, and nothing that can go wrong.
  async function fullChecksum(): Promise<Checksum> {
    const digest = startDigest(algorithm);
    for await (const chunk of store.blobs.read(parts.flatMap((part) => part.pieces))) digest.update(chunk);
    return { algorithm, type, value: digest.digest().toString('base64') };
  }
}
