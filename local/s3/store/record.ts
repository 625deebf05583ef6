import * as v from 'valibot';
import { NonNegativeInt } from '../../../lib/schemas.ts';
import { ALGORITHMS, CHECKSUM_TYPES } from '../wire/digest.ts';
import { GRANTEE_TYPES, PERMISSIONS } from '../wire/grants.ts';

/** The records of the store: JSON on disk, and the index in memory. */

/** A range of a blob, in bytes. The bytes of an object are its pieces in order. */
const piece = v.object({ blob: v.string(), offset: NonNegativeInt, size: NonNegativeInt });
export type Piece = Readonly<v.InferOutput<typeof piece>>;

const checksum = v.object({
  algorithm: v.picklist(ALGORITHMS),
  type: v.picklist(CHECKSUM_TYPES),
  value: v.string(),
});

/** The CRC-64/XZ in decimal, which only the local COS computes. */
const crc64 = v.string();

/** `v.record` drops names such as `constructor`, which metadata may contain. */
const texts = v.custom<Record<string, string>>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((text) => typeof text === 'string'),
);

/** Everything about an object that its writer chooses. */
const attributes = {
  content: texts,
  placement: texts,
  metadata: texts,
  tags: v.array(v.object({ key: v.string(), value: v.string() })),
  grants: v.array(
    v.object({ type: v.picklist(GRANTEE_TYPES), grantee: v.string(), permission: v.picklist(PERMISSIONS) }),
  ),
};
const attributesSchema = v.object(attributes);
export type Attributes = Readonly<v.InferOutput<typeof attributesSchema>>;

/** A named text of an object version. `etag`: the MD5 of its bytes. */
const annotation = v.object({
  name: v.string(),
  etag: v.string(),
  size: NonNegativeInt,
  /** ms, in whole seconds. */
  modified: NonNegativeInt,
  pieces: v.array(piece),
  checksum: v.object({ algorithm: v.picklist(ALGORITHMS), value: v.string() }),
});
export type Annotation = Readonly<v.InferOutput<typeof annotation>>;

const storedObject = v.object({
  kind: v.literal('object'),
  versionId: v.string(),
  /** ms, in whole seconds. */
  modified: NonNegativeInt,
  sequencer: v.string(),
  etag: v.string(),
  size: NonNegativeInt,
  pieces: v.array(piece),
  /** The MD5 of all bytes in hex, if known. The ETag may differ. */
  md5: v.optional(v.string()),
  checksum: v.optional(checksum),
  crc64: v.optional(crc64),
  /** The multipart upload that created the object. */
  uploadId: v.optional(v.string()),
  /** The parts of that upload, in order. */
  parts: v.optional(
    v.array(v.object({ number: NonNegativeInt, size: NonNegativeInt, checksum: v.optional(v.string()) })),
  ),
  annotations: v.optional(v.array(annotation), []),
  ...attributes,
});
export type StoredObject = Readonly<v.InferOutput<typeof storedObject>>;

const deleteMarker = v.object({
  kind: v.literal('delete marker'),
  versionId: v.string(),
  modified: NonNegativeInt,
});

export type StoredVersion = StoredObject | Readonly<v.InferOutput<typeof deleteMarker>>;

/** One file for each key: a single rename applies any change of a key. The newest version is first. */
export const keyRecord = v.object({
  key: v.string(),
  versions: v.array(v.variant('kind', [storedObject, deleteMarker])),
});

export const VERSIONING = ['Enabled', 'Suspended'] as const;

export const bucketRecord = v.object({
  name: v.string(),
  created: NonNegativeInt,
  region: v.string(),
  versioning: v.optional(v.picklist(VERSIONING)),
});
export type BucketRecord = Readonly<v.InferOutput<typeof bucketRecord>>;

export const uploadRecord = v.object({
  id: v.string(),
  bucket: v.string(),
  key: v.string(),
  initiated: NonNegativeInt,
  checksum: v.optional(v.object({ algorithm: v.picklist(ALGORITHMS), type: v.picklist(CHECKSUM_TYPES) })),
  attributes: attributesSchema,
});
export type UploadRecord = Readonly<v.InferOutput<typeof uploadRecord>>;

export const partRecord = v.object({
  number: NonNegativeInt,
  etag: v.string(),
  md5: v.string(),
  size: NonNegativeInt,
  modified: NonNegativeInt,
  pieces: v.array(piece),
  checksum: v.optional(v.object({ algorithm: v.picklist(ALGORITHMS), value: v.string() })),
  crc64: v.optional(crc64),
});
export type PartRecord = Readonly<v.InferOutput<typeof partRecord>>;
