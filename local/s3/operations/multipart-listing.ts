import type { Call, Reply } from '../call.ts';
import { entriesOf, firstOf } from '../store/entries.ts';
import type { PartRecord } from '../store/record.ts';
import { SortedNames } from '../store/sorted-names.ts';
import type { Upload } from '../store/uploads.ts';
import { storageClass } from '../wire/attributes.ts';
import { checksumElement } from '../wire/digest.ts';
import { OWNER } from '../wire/grants.ts';
import { queryCount, queryValue } from '../wire/target.ts';
import { document, NAMESPACE, type XmlValue } from '../wire/xml.ts';
import { commonPrefixes, readListing } from './listing.ts';
import { findUpload } from './multipart.ts';

const MOST = 1000;
const ACCOUNT = { ID: OWNER.id, DisplayName: OWNER.name };

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html */
export function listParts(call: Call): Reply {
  const { target } = call;
  const { record, parts } = findUpload(call);
  const most = queryCount(target.query, 'max-parts', MOST);
  const marker = queryCount(target.query, 'part-number-marker', Number.MAX_SAFE_INTEGER);
  const after = queryValue(target.query, 'part-number-marker') ? marker : 0;
  const following = [...parts.values()]
    .filter(({ number }) => number > after)
    .sort((a, b) => a.number - b.number);
  const { items, more } = firstOf(following, most);
  const content = {
    '@xmlns': NAMESPACE,
    Bucket: target.bucket,
    Key: target.key,
    UploadId: record.id,
    Initiator: ACCOUNT,
    Owner: ACCOUNT,
    StorageClass: storageClass(record.attributes.placement),
    ChecksumAlgorithm: record.checksum?.algorithm,
    ChecksumType: record.checksum?.type,
    PartNumberMarker: after,
    NextPartNumberMarker: items.at(-1)?.number ?? 0,
    MaxParts: most,
    IsTruncated: more,
    Part: items.map(describePart),
  };
  return { status: 200, xml: document('ListPartsResult', content) };
}

const describePart = ({ number, modified, etag, size, checksum }: PartRecord): XmlValue => ({
  PartNumber: number,
  LastModified: new Date(modified).toISOString(),
  ETag: `"${etag}"`,
  Size: size,
  ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value }),
});

type UploadEntry = Readonly<{ kind: 'name' | 'group'; name: string; upload?: Upload }>;

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html */
export function listUploads(call: Call): Reply {
  const { store, target } = call;
  store.bucket(target.bucket);
  const { prefix, delimiter, encoding, show } = readListing(call);
  const most = queryCount(target.query, 'max-uploads', MOST);
  const keyMarker = queryValue(target.query, 'key-marker') ?? '';
  // Without a key marker it is ignored, by S3 too.
  const idMarker = keyMarker && (queryValue(target.query, 'upload-id-marker') ?? '');
  const uploads = store.uploads.of(target.bucket);
  const { items, more } = firstOf(entries(), most);
  const last = more ? items.at(-1) : undefined;
  const content = {
    '@xmlns': NAMESPACE,
    Bucket: target.bucket,
    KeyMarker: show(keyMarker),
    UploadIdMarker: idMarker,
    NextKeyMarker: last && show(last.name),
    NextUploadIdMarker: last?.upload?.record.id,
    Prefix: show(prefix),
    Delimiter: delimiter ? show(delimiter) : undefined,
    EncodingType: encoding,
    MaxUploads: most,
    IsTruncated: more,
    Upload: items.map(({ upload }) => upload && describeUpload(upload, show)),
    CommonPrefixes: commonPrefixes(items, show),
  };
  return { status: 200, xml: document('ListMultipartUploadsResult', content) };

  function* entries(): Generator<UploadEntry> {
    const names = new SortedNames();
    for (const { record } of uploads) names.add(record.key);
    for (const entry of entriesOf(names, {
      prefix,
      delimiter,
      after: keyMarker,
      inclusive: idMarker !== '',
    })) {
      if (entry.kind === 'group') {
        yield entry;
        continue;
      }
      const ofKey = uploads.filter(({ record }) => record.key === entry.name);
      for (const upload of ofKey.sort((a, b) => (a.record.id < b.record.id ? -1 : 1))) {
        if (entry.name === keyMarker && upload.record.id <= idMarker) continue;
        yield { ...entry, upload };
      }
    }
  }
}

const describeUpload = ({ record }: Upload, show: (text: string) => string): XmlValue => ({
  Key: show(record.key),
  UploadId: record.id,
  Initiator: ACCOUNT,
  Owner: ACCOUNT,
  StorageClass: storageClass(record.attributes.placement),
  Initiated: new Date(record.initiated).toISOString(),
  ChecksumAlgorithm: record.checksum?.algorithm,
  ChecksumType: record.checksum?.type,
});
