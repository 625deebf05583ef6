import {
  CopyObjectCommand,
  type CopyObjectCommandInput,
  type CopyObjectCommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { ObjectChanged, StorageRejected } from '../errors.ts';
import type { ObjectVersion } from '../schemas.ts';
import { whyCopyForbidden } from './annotations.ts';
import { type CopyCheck, checkCopy, readTagsAtRisk } from './check-copy.ts';
import { copySource, preservedFields, preserveExpires, quoteETag, withFallback } from './copy-fields.ts';
import { readGrants } from './grants.ts';
import {
  fullObjectCrc,
  fullObjectSha1,
  headObject,
  isSameVersion,
  type Metadata,
  type ObjectHead,
  unquoteETag,
  versionOf,
} from './head-object.ts';
import { isNotImplemented, sendS3 } from './request.ts';
import { abilitiesOf } from './store-abilities.ts';

/** `sha1`, `checksum`: S3's own checksum of the copied bytes, if it computed one. */
export type CopyResult = CopyCheck &
  Readonly<{ etag: string; versionId: string | undefined }> &
  Pick<ObjectHead, 'sha1' | 'checksum'>;

type CopyConditions = Pick<
  CopyObjectCommandInput,
  'IfMatch' | 'CopySourceIfMatch' | 'CopySourceIfUnmodifiedSince'
>;

/** S3 rejected the copy, and the reason may be the annotations of the object. */
export class CopyForbidden extends StorageRejected {
  readonly reason: string;

  constructor(reason: string, rejected: StorageRejected) {
    super(rejected.message, { cause: rejected.cause });
    this.reason = reason;
  }
}

/**
 * `condition` `etag`: the object may have other metadata than `head` says, but the same bytes. `algorithm`: of the checksum that S3
 * computes over the stored bytes, an end-to-end proof, which verifies the object from then on.
 */
type CopyOptions = Readonly<{ condition?: 'time' | 'etag'; algorithm?: 'SHA1' | 'CRC64NVME' }>;

/**
 * Copies an object of at most 5 GiB onto itself with other user metadata and keeps everything else. The copy is conditional:
 * it never overwrites a newer object. See docs/decisions/0010.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
 * @throws {ObjectChanged} {ObjectDeleted} {CopyForbidden} {StorageRejected} {StorageUnavailable}
 */
export async function copyInPlace(
  s3: S3Client,
  head: ObjectHead,
  metadata: Metadata,
  signal: AbortSignal,
  { condition = 'time', algorithm = 'SHA1' }: CopyOptions = {},
): Promise<CopyResult> {
  const fields = preservedFields(head, metadata, await readGrants(s3, head.pin, signal));
  const { pin } = head;
  const etag = quoteETag(pin);
  // A metadata edit keeps the ETag and changes only the time (in seconds). S3 ignores the time if the request has a
  // condition on the source's ETag, so the condition on the ETag is set on the destination, which is the same object.
  const ifSameETag: CopyConditions = { CopySourceIfMatch: etag };
  const { LastModified } = head.response;
  const ifUnmodified: CopyConditions = {
    IfMatch: etag,
    ...(LastModified ? { CopySourceIfUnmodifiedSince: LastModified } : ifSameETag),
  };
  const operation = `COPY s3://${pin.bucket}/${pin.key} onto itself`;
  const send = (conditions: CopyConditions): Promise<CopyObjectCommandOutput> => {
    const command = new CopyObjectCommand({
      ...fields,
      ...conditions,
      CopySource: copySource(pin),
      MetadataDirective: 'REPLACE',
      TaggingDirective: 'COPY',
      ChecksumAlgorithm: algorithm,
    });
    preserveExpires(command.middlewareStack, head);
    return sendS3(operation, signal, () => s3.send(command, { abortSignal: signal })).catch(
      async (error: unknown) => {
        const reason = await whyCopyForbidden(s3, pin, error, signal);
        throw reason !== undefined && error instanceof StorageRejected
          ? new CopyForbidden(reason, error)
          : error;
      },
    );
  };
  const tags = await readTagsAtRisk(s3, pin, signal);
  const probed = await copyWithWrongDestination(s3, pin, ifSameETag, send, signal);
  const best = condition === 'time' ? ifUnmodified : { IfMatch: etag, ...ifSameETag };
  const conditions = abilitiesOf(s3).checksDestination === false ? ifSameETag : best;
  const { CopyObjectResult, VersionId } = probed ?? (await withFallback(conditions, ifSameETag, send));
  const copied = { etag: unquoteETag(CopyObjectResult?.ETag), versionId: versionOf(VersionId) };
  const isCopy = (current: ObjectHead): boolean => isSameVersion(current.pin, copied);
  const check = await checkCopy(s3, head, fields, tags, isCopy, signal);
  const sha1 = fullObjectSha1(CopyObjectResult);
  return { ...copied, ...check, sha1, checksum: fullObjectCrc(CopyObjectResult) };
}

/** No object has this ETag. */
const WRONG_ETAG = '"0"';

/**
 * Finds out whether the store checks the destination of a copy. A store that does not makes the copy, which is safe: the
 * condition on the source holds, and it is the same object.
 */
async function copyWithWrongDestination(
  s3: S3Client,
  pin: ObjectVersion,
  ifSameETag: CopyConditions,
  send: (conditions: CopyConditions) => Promise<CopyObjectCommandOutput>,
  signal: AbortSignal,
): Promise<CopyObjectCommandOutput | undefined> {
  const abilities = abilitiesOf(s3);
  if (abilities.checksDestination !== undefined) return undefined;
  try {
    const copied = await send({ ...ifSameETag, IfMatch: WRONG_ETAG });
    abilities.checksDestination = false;
    return copied;
  } catch (error) {
    if (isNotImplemented(error)) return undefined;
    if (!(error instanceof ObjectChanged)) throw error;
    const { pin: now } = await headObject(s3, pin, signal);
    if (!isSameVersion(now, pin)) throw error; // the source has changed, which says nothing about the destination
    abilities.checksDestination = true;
    return undefined;
  }
}
