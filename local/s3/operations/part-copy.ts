import type { Call, Reply } from '../call.ts';
import { slice } from '../store/blobs.ts';
import { MAX_BODY } from '../wire/body.ts';
import { checksumElement, startDigest, startMd5 } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import { document, NAMESPACE } from '../wire/xml.ts';
import { findCopySource } from './copy.ts';
import { findUpload, keepPart, readPartNumber } from './multipart.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html */
export async function copyPart(call: Call): Promise<Reply> {
  const { store, headers } = call;
  const upload = findUpload(call);
  const number = readPartNumber(call);
  const source = findCopySource(call);
  const { first, length } = readSourceRange(headers['x-amz-copy-source-range'], source.object.size);
  const pieces = slice(source.object.pieces, first, length);

  // The part shares the source's bytes; they are read only because a part's ETag is their MD5.
  using _ = store.blobs.hold(pieces);
  const algorithm = upload.record.checksum?.algorithm;
  const md5 = startMd5();
  const digest = algorithm && startDigest(algorithm);
  for await (const chunk of store.blobs.read(pieces)) {
    md5.update(chunk);
    digest?.update(chunk);
  }
  const checksum = algorithm && digest && { algorithm, value: digest.digest().toString('base64') };
  const part = keepPart(call, upload, {
    number,
    md5: md5.digest().toString('hex'),
    size: length,
    pieces,
    ...(checksum && { checksum }),
  });
  const content = {
    '@xmlns': NAMESPACE,
    LastModified: new Date(part.modified).toISOString(),
    ETag: `"${part.etag}"`,
    ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value }),
  };
  return { status: 200, headers: source.versionHeader, xml: document('CopyPartResult', content) };
}

/** Both ends must be named and lie inside the source, unlike in a GET. */
function readSourceRange(header: string | undefined, size: number): { first: number; length: number } {
  if (header === undefined) {
    if (size > MAX_BODY) throw tooLarge();
    return { first: 0, length: size };
  }
  const match = /^bytes=(\d+)-(\d+)$/.exec(header);
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (!match || last < first) {
    throw new S3Error(
      'InvalidArgument',
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
      { details: { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: header } },
    );
  }
  if (last >= size) {
    throw new S3Error('InvalidArgument', `Range specified is not valid for source object of size: ${size}`, {
      details: { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: header },
    });
  }
  const length = last - first + 1;
  if (length > MAX_BODY) throw tooLarge();
  return { first, length };
}

const tooLarge = (): S3Error =>
  new S3Error(
    'InvalidRequest',
    `The specified copy source is larger than the maximum allowable size for a copy source: ${MAX_BODY}`,
  );
