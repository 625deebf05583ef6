import { CopyObjectCommand, type CopyObjectCommandInput, type S3Client } from '@aws-sdk/client-s3';
import { copySource, preservedFields, preserveExpires, quoteETag, withFallback } from './copy-fields.ts';
import { readGrants } from './grants.ts';
import { fullObjectSha1, type Metadata, type ObjectHead, unquoteETag, versionOf } from './head-object.ts';
import { sendS3 } from './request.ts';

/** `sha1`: S3's own SHA-1 of the copied bytes, if it computed one. */
export type CopyResult = Readonly<{ etag: string; versionId: string | undefined; sha1: ObjectHead['sha1'] }>;

type CopyConditions = Pick<
  CopyObjectCommandInput,
  'IfMatch' | 'CopySourceIfMatch' | 'CopySourceIfUnmodifiedSince'
>;

/**
 * Copies an object of at most 5 GiB onto itself with other user metadata and keeps everything else. The copy is conditional:
 * it never overwrites a newer object. See docs/decisions/0010.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
 * @throws {ObjectChanged} {ObjectDeleted} {StorageRejected} {StorageUnavailable}
 */
export async function copyInPlace(
  s3: S3Client,
  head: ObjectHead,
  metadata: Metadata,
  signal: AbortSignal,
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
  const { CopyObjectResult, VersionId } = await withFallback(ifUnmodified, ifSameETag, (conditions) => {
    const command = new CopyObjectCommand({
      ...fields,
      ...conditions,
      CopySource: copySource(pin),
      MetadataDirective: 'REPLACE',
      TaggingDirective: 'COPY',
      // S3 computes it over the stored bytes: an end-to-end proof, which verifies the object from then on.
      ChecksumAlgorithm: 'SHA1',
    });
    preserveExpires(command.middlewareStack, head);
    return sendS3(operation, signal, () => s3.send(command, { abortSignal: signal }));
  });
  return {
    etag: unquoteETag(CopyObjectResult?.ETag),
    versionId: versionOf(VersionId),
    sha1: fullObjectSha1(CopyObjectResult),
  };
}
