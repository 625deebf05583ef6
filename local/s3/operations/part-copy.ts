import { type S3Request, type S3Response, xmlResponse } from '../operation.ts';
import { slice } from '../store/blobs.ts';
import { checksumElement, digestBytes } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import { checkCopySize, findCopySource } from './copy.ts';
import { findUpload, readPartNumber, storePart } from './multipart.ts';
import { encryptionHeaders } from './put.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html */
export async function copyPart(request: S3Request): Promise<S3Response> {
  const { store, headers } = request;
  const upload = findUpload(request);
  const number = readPartNumber(request);
  const source = findCopySource(request);
  const { first, size } = readSourceRange(headers['x-amz-copy-source-range'], source.object.size);
  const pieces = slice(source.object.pieces, first, size);

  // The part shares the bytes of the source. They are read because the ETag of a part is their MD5.
  using _ = store.blobs.hold(pieces);
  const { md5, checksum } = await digestBytes(store.blobs.read(pieces), upload.record.checksum?.algorithm);
  const part = storePart(request, upload, { number, md5, size, pieces, ...(checksum && { checksum }) });
  const content = {
    LastModified: new Date(part.modified).toISOString(),
    ETag: `"${part.etag}"`,
    ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value }),
  };
  const encryption = encryptionHeaders(upload.record.attributes.placement);
  return xmlResponse('CopyPartResult', content, { ...source.versionHeader, ...encryption });
}

/** Unlike the range of a GET, this range must state both ends, and both must be inside the source. */
function readSourceRange(header: string | undefined, sourceSize: number): { first: number; size: number } {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(header ?? '') ?? [];
  const [first, last] = header === undefined ? [0, sourceSize - 1] : [Number(from), Number(to)];
  const details = { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: header ?? '' };
  if (header !== undefined && !(first <= last)) {
    const message =
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy';
    throw new S3Error('InvalidArgument', { message, details });
  }
  if (last >= sourceSize) {
    const message = `Range specified is not valid for source object of size: ${sourceSize}`;
    throw new S3Error('InvalidArgument', { message, details });
  }
  const size = last - first + 1;
  checkCopySize(size);
  return { first, size };
}
