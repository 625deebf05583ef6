import { type S3Request, type S3Response, xmlResponse } from '../operation.ts';
import { takeFirst } from '../store/entries.ts';
import type { StoredObject } from '../store/record.ts';
import { storageClassOf } from '../wire/attributes.ts';
import { checksumElement } from '../wire/digest.ts';
import { S3Error } from '../wire/errors.ts';
import type { RequestHeaders } from '../wire/headers.ts';
import { queryCount } from '../wire/target.ts';
import type { XmlElements, XmlValue } from '../wire/xml.ts';
import { describeChecksum } from './copy.ts';
import { findObject } from './get.ts';
import { MAX_ITEMS } from './listing.ts';
import { versionHeader } from './put.ts';

const ATTRIBUTES = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'] as const;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html */
export function getAttributes(request: S3Request): S3Response {
  const { headers } = request;
  const wanted = readAttributeNames(headers);
  const { bucket, object } = findObject(request);
  const { etag, checksum, size, placement } = object;
  const all: Record<(typeof ATTRIBUTES)[number], XmlValue> = {
    ETag: etag, // without quotes, unlike elsewhere
    Checksum: checksum && describeChecksum(checksum),
    ObjectParts: describeParts(headers, object),
    StorageClass: storageClassOf(placement),
    ObjectSize: size,
  };
  const content = Object.fromEntries(wanted.map((name) => [name, all[name]]));
  return xmlResponse('GetObjectAttributesResponse', content, {
    'last-modified': new Date(object.modified).toUTCString(),
    ...versionHeader(bucket, object),
  });
}

function readAttributeNames(headers: RequestHeaders): readonly (typeof ATTRIBUTES)[number][] {
  const names = (headers['x-amz-object-attributes'] ?? '').split(',').map((name) => name.trim());
  const known = ATTRIBUTES.filter((name) => names.includes(name));
  if (known.length > 0 && known.length === new Set(names).size) return known;
  throw new S3Error('InvalidArgument', {
    message: 'Invalid attribute name specified.',
    details: { ArgumentName: 'x-amz-object-attributes' },
  });
}

/** Undefined for an object that was written in one request. */
function describeParts(headers: RequestHeaders, { parts, checksum }: StoredObject): XmlElements | undefined {
  if (!parts) return undefined;
  const count = (name: string, max: number): number => queryCount([[name, headers[name] ?? '']], name, max);
  const max = count('x-amz-max-parts', MAX_ITEMS);
  const after = headers['x-amz-part-number-marker']
    ? count('x-amz-part-number-marker', Number.MAX_SAFE_INTEGER)
    : 0;
  const { items, hasMore } = takeFirst(
    parts.filter(({ number }) => number > after),
    max,
  );
  return {
    PartsCount: parts.length,
    PartNumberMarker: after,
    NextPartNumberMarker: items.at(-1)?.number ?? 0,
    MaxParts: max,
    IsTruncated: hasMore,
    Part: items.map((part) => ({
      PartNumber: part.number,
      Size: part.size,
      ...(checksum &&
        part.checksum !== undefined && { [checksumElement(checksum.algorithm)]: part.checksum }),
    })),
  };
}
