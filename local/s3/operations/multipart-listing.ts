import { type S3Response, type StoreRequest, xmlResponse } from '../operation.ts';
import { type Entry, listEntries, takeFirst } from '../store/entries.ts';
import type { PartRecord } from '../store/record.ts';
import { SortedNames } from '../store/sorted-names.ts';
import type { Upload } from '../store/uploads.ts';
import { storageClassOf } from '../wire/attributes.ts';
import { checksumElement } from '../wire/digest.ts';
import { OWNER_XML } from '../wire/grants.ts';
import { queryCount, queryValue } from '../wire/target.ts';
import type { XmlElements, XmlValue } from '../wire/xml.ts';
import { MAX_ITEMS, readListing, takePage } from './listing.ts';
import { findUpload } from './multipart.ts';

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html */
export function listParts(request: StoreRequest): S3Response {
  const { bucket, key, query } = request.target;
  const upload = findUpload(request);
  const max = queryCount(query, 'max-parts', MAX_ITEMS);
  const marker = queryCount(query, 'part-number-marker', Number.MAX_SAFE_INTEGER);
  const after = queryValue(query, 'part-number-marker') ? marker : 0;
  const parts = [...upload.parts.values()]
    .filter(({ number }) => number > after)
    .sort((a, b) => a.number - b.number);
  const { items, hasMore } = takeFirst(parts, max);
  return xmlResponse('ListPartsResult', {
    Bucket: bucket,
    Key: key,
    ...describeUpload(upload),
    PartNumberMarker: after,
    NextPartNumberMarker: items.at(-1)?.number ?? 0,
    MaxParts: max,
    IsTruncated: hasMore,
    Part: items.map(describePart),
  });
}

const describePart = ({ number, modified, etag, size, checksum }: PartRecord): XmlValue => ({
  PartNumber: number,
  LastModified: new Date(modified).toISOString(),
  ETag: `"${etag}"`,
  Size: size,
  ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value }),
});

const describeUpload = ({ record }: Upload): XmlElements => ({
  UploadId: record.id,
  Initiator: OWNER_XML,
  Owner: OWNER_XML,
  StorageClass: storageClassOf(record.attributes.placement),
  ChecksumAlgorithm: record.checksum?.algorithm,
  ChecksumType: record.checksum?.type,
});

type UploadEntry = Entry & Readonly<{ upload?: Upload }>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html */
export function listUploads(request: StoreRequest): S3Response {
  const { store, target } = request;
  store.getBucket(target.bucket);
  const listing = readListing(request, 'max-uploads');
  const { show } = listing;
  const keyMarker = queryValue(target.query, 'key-marker') ?? '';
  // S3 ignores it without a key marker.
  const idMarker = keyMarker && (queryValue(target.query, 'upload-id-marker') ?? '');
  const uploads = store.uploads.listByBucket(target.bucket);
  const { items, last, xml } = takePage(listing, listUploadEntries());
  return xmlResponse('ListMultipartUploadsResult', {
    Bucket: target.bucket,
    KeyMarker: show(keyMarker),
    UploadIdMarker: idMarker,
    NextKeyMarker: last && show(last.name),
    NextUploadIdMarker: last?.upload?.record.id,
    MaxUploads: listing.max,
    ...xml,
    Upload: items.map(
      ({ name, upload }) =>
        upload && {
          Key: show(name),
          Initiated: new Date(upload.record.initiated).toISOString(),
          ...describeUpload(upload),
        },
    ),
  });

  function* listUploadEntries(): Generator<UploadEntry> {
    const names = new SortedNames();
    for (const { record } of uploads) names.add(record.key);
    for (const entry of listEntries(names, { ...listing, after: keyMarker, inclusive: idMarker !== '' })) {
      if (entry.kind === 'group') {
        yield entry;
        continue;
      }
      const uploadsOfKey = uploads.filter(({ record }) => record.key === entry.name);
      for (const upload of uploadsOfKey.sort((a, b) => (a.record.id < b.record.id ? -1 : 1))) {
        if (entry.name === keyMarker && upload.record.id <= idMarker) continue;
        yield { ...entry, upload };
      }
    }
  }
}
