import * as v from 'valibot';
import { InvalidInput } from './errors.ts';

/** The events, states, and values of the pipeline. All sizes and offsets are in bytes; offsets start at 0. */

export const NonEmptyString = v.pipe(v.string(), v.nonEmpty());
export const NonNegativeInt = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const PositiveInt = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** SHA-1 of a whole object: 40 lower-case hex digits. */
export const Sha1 = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{40}$/, 'Expected 40 lower-case hex digits'),
  v.brand('Sha1'),
);
export type Sha1 = v.InferOutput<typeof Sha1>;

/** VOD's ID of a file: decimal digits in a string, because a double cannot represent it. */
export const FileId = v.pipe(
  v.string(),
  v.regex(/^[0-9]{1,40}$/, 'Expected a string of digits'),
  v.brand('FileId'),
);
export type FileId = v.InferOutput<typeof FileId>;

/** Keys are UTF-8, which cannot encode half of a surrogate pair. */
const WellFormedString = v.pipe(
  NonEmptyString,
  v.check((text) => text.isWellFormed(), 'Expected whole characters, got half of a surrogate pair'),
);
export const BucketName = v.pipe(WellFormedString, v.regex(/^[^/]*$/, 'Expected a bucket, without a slash'));
export const Key = WellFormedString;

/** The options of one upload. `lib/upload/upload-options.ts` reads them from metadata and settings. */
export const UploadOptions = v.strictObject({
  classId: v.optional(NonNegativeInt),
  tags: v.optional(v.array(NonEmptyString)),
  transcode: v.optional(v.boolean()),
  screenshot: v.optional(v.boolean()),
  watermark: v.optional(v.boolean()),
  fileName: v.optional(NonEmptyString),
  /** Name of the task flow that VOD starts after the upload. */
  procedure: v.optional(NonEmptyString),
  /** When VOD deletes the file: ISO 8601. */
  expireTime: v.optional(v.pipe(v.string(), v.isoTimestamp())),
  /** Text that VOD repeats in its event notification. */
  sourceContext: v.optional(v.pipe(v.string(), v.maxLength(250))),
});
export type UploadOptions = v.InferOutput<typeof UploadOptions>;

/** A request that an operator types into a console. Only bucket and key are required. An unknown field is an error. */
export const ManualRequest = v.strictObject({
  bucket: BucketName,
  key: Key,
  versionId: v.optional(NonEmptyString),
  /** For an image: the file that gets it as its cover. */
  fileId: v.optional(FileId),
  options: v.optional(UploadOptions),
  /** Call VOD even if the object has a marker, because the file may be deleted in VOD. */
  force: v.optional(v.boolean()),
});

/** The input of an execution. An event adds `etag`; the execution then applies to that version only. */
export const UploadRequest = v.strictObject({
  ...ManualRequest.entries,
  etag: v.optional(NonEmptyString),
  size: v.optional(NonNegativeInt),
  sequencer: v.optional(NonEmptyString),
});
export type UploadRequest = v.InferOutput<typeof UploadRequest>;

/** The object version of an upload, as the first `HeadObject` returned it. All later reads must match it. */
export const ObjectVersion = v.object({
  bucket: NonEmptyString,
  key: NonEmptyString,
  versionId: v.optional(NonEmptyString),
  etag: NonEmptyString,
  size: NonNegativeInt,
});
export type ObjectVersion = v.InferOutput<typeof ObjectVersion>;

/** The CRC64NVME of a whole object, in base64 as in S3. */
export const Crc64 = v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{11}=$/, 'Expected 8 bytes in base64'));

/**
 * `state` (base64, about 100 bytes) is the saved SHA-1 hasher after `offset` bytes, and `crc64` the saved CRC64NVME if it is
 * computed as well. An empty state starts a new hash pass.
 */
export const HashCheckpoint = v.object({
  offset: NonNegativeInt,
  state: v.string(),
  crc64: v.optional(v.string()),
});
export type HashCheckpoint = v.InferOutput<typeof HashCheckpoint>;

/** `count` parts from part number `first`, which starts at 0. `missing` encodes which of them to send; without it, all. */
export const Batch = v.object({
  first: NonNegativeInt,
  count: PositiveInt,
  missing: v.optional(NonEmptyString),
});
export type Batch = v.InferOutput<typeof Batch>;

/** The fields that all parts of an upload have in common. */
export const UploadBounds = v.object({ size: PositiveInt, partSize: PositiveInt });
export type UploadBounds = v.InferOutput<typeof UploadBounds>;

/**
 * `functions`: those that send batches concurrently. `hasMore`: there are more missing parts than these batches can list. The next
 * round plans them.
 */
export const Upload = v.object({
  ...UploadBounds.entries,
  batches: v.array(Batch),
  functions: PositiveInt,
  hasMore: v.optional(v.literal(true)),
});
export type Upload = v.InferOutput<typeof Upload>;

/** A file that VOD has stored completely. `sha1`: of the bytes that VOD received, if it is known. */
export const StoredFile = v.object({ fileId: FileId, url: v.string(), sha1: v.optional(Sha1) });
export type StoredFile = v.InferOutput<typeof StoredFile>;

const CrcHex = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/, 'Expected 16 lower-case hex digits'));

/** The CRC-64/XZ and the CRC64NVME of `count` consecutive parts from part number `first`. */
export const PartRun = v.object({ first: NonNegativeInt, count: PositiveInt, crc64: CrcHex, nvme: CrcHex });
export type PartRun = v.InferOutput<typeof PartRun>;

/** The parts that VOD confirmed, and their checksums if the target needs them. `restartReason`: the error that ended a batch, after which Init must run again. */
export const SentTotals = v.object({
  parts: NonNegativeInt,
  bytes: NonNegativeInt,
  runs: v.optional(v.array(PartRun)),
  restartReason: v.optional(v.string()),
});
export type SentTotals = v.InferOutput<typeof SentTotals>;

export const Outcome = v.picklist([
  'uploaded',
  'instant',
  'unchanged',
  'waiting',
  'superseded',
  'deleted',
  'skipped',
]);
export type Outcome = v.InferOutput<typeof Outcome>;

/** The result of a video's cover. `Error` and `Cause` come from Step Functions; they do not fail the video. */
export const VideoCover = v.union([
  v.object({
    outcome: v.picklist(['uploaded', 'unchanged']),
    key: NonEmptyString,
    ...StoredFile.entries,
    reason: v.optional(v.string()),
  }),
  v.object({ outcome: v.literal('none') }),
  v.object({ Error: v.string(), Cause: v.string() }),
]);
export type VideoCover = v.InferOutput<typeof VideoCover>;

/** The output of an execution. */
export const Result = v.object({
  next: v.literal('done'),
  bucket: NonEmptyString,
  key: NonEmptyString,
  outcome: Outcome,
  reason: v.optional(v.string()),
  fileId: v.optional(FileId),
  url: v.optional(v.string()),
  sha1: v.optional(Sha1),
  size: v.optional(NonNegativeInt),
  /** For an image: the files that have it as their cover. */
  coverOf: v.optional(v.array(FileId)),
  /** For a video. */
  cover: v.optional(VideoCover),
  sent: SentTotals,
});
export type Result = v.InferOutput<typeof Result>;

const jobFields = {
  request: UploadRequest,
  /** The name of the execution, for the log and for admission. */
  execution: v.optional(v.string()),
  round: NonNegativeInt,
  sent: SentTotals,
  /** When the execution first asked for admission, in milliseconds since 1970. */
  since: v.optional(NonNegativeInt),
  /** The open upload, as `VodTarget` names it. */
  session: v.optional(NonEmptyString),
  /** A fact about the upload, for the reason of the outcome. */
  note: v.optional(v.string()),
};

/** The input of Init: a new request, a hash pass to continue, or an upload whose parts VOD lacks. */
export const InitInput = v.object({
  ...jobFields,
  pin: v.optional(ObjectVersion),
  hash: v.optional(HashCheckpoint),
  sha1: v.optional(Sha1),
  crc64: v.optional(Crc64),
});
export type InitInput = v.InferOutput<typeof InitInput>;

export const PartInput = v.pipe(
  v.object({
    execution: jobFields.execution,
    pin: ObjectVersion,
    upload: v.object({ ...UploadBounds.entries, session: NonEmptyString, functions: PositiveInt }),
    batch: Batch,
    sent: SentTotals,
  }),
  v.check(
    ({ upload, batch }) => batch.first + batch.count <= Math.ceil(upload.size / upload.partSize),
    'Expected a batch of parts that the upload has',
  ),
);
export type PartInput = v.InferOutput<typeof PartInput>;
/** Without `batch`, no part is left to send. With `waitSeconds`, the rest is sent after this time. */
export type PartOutput = Omit<PartInput, 'batch'> & { batch?: Batch; waitSeconds?: number };

/**
 * An open copy of the object onto itself in parts, whose copied parts S3 lists. `source`: a digest of the time, the tags, and
 * the layout of the parts.
 */
export const CopyCheckpoint = v.object({ uploadId: NonEmptyString, source: NonEmptyString });
export type CopyCheckpoint = v.InferOutput<typeof CopyCheckpoint>;

/**
 * `crc64`: of an object whose copy S3 verifies by it. `parts`: the totals of each batch. `file`: set if VOD has the whole
 * file. `copy`: the write-back that Finish continues.
 */
export const FinishJob = v.object({
  ...jobFields,
  pin: ObjectVersion,
  sha1: v.optional(Sha1),
  crc64: v.optional(Crc64),
  upload: v.optional(Upload),
  parts: v.optional(v.array(SentTotals)),
  file: v.optional(StoredFile),
  copy: v.optional(CopyCheckpoint),
});
export type FinishJob = v.InferOutput<typeof FinishJob>;

export const FinishInput = v.object({ job: FinishJob, redrives: NonNegativeInt });
export type FinishInput = v.InferOutput<typeof FinishInput>;

export const ImageJob = v.object({ ...jobFields, pin: ObjectVersion });
export type ImageJob = v.InferOutput<typeof ImageJob>;

/** A video that VOD has stored. */
export const CoveredVideo = v.object({ bucket: NonEmptyString, key: NonEmptyString, fileId: FileId });
export type CoveredVideo = v.InferOutput<typeof CoveredVideo>;

/** Counted by Step Functions: retries of this state, and redrives of the execution. */
const retryCounts = { retries: NonNegativeInt, redrives: NonNegativeInt };

/** The input of Cover: an image for its videos, or a video for its image. */
export const CoverInput = v.union([
  v.object({ ...retryCounts, image: ImageJob }),
  v.object({ ...retryCounts, execution: jobFields.execution, video: CoveredVideo }),
]);
export type CoverInput = v.InferOutput<typeof CoverInput>;

/** The outputs of Init and Finish. `next` selects the next state. */
export type InitOutput =
  | (InitInput & { next: 'hash'; pin: ObjectVersion })
  | (InitInput & { next: 'wait'; pin: ObjectVersion; waitSeconds: number })
  | (FinishJob & { next: 'parts'; upload: Upload })
  | (FinishJob & { next: 'finish' })
  | (ImageJob & { next: 'cover' })
  | Result;
export type FinishOutput =
  | (InitInput & { next: 'init' })
  | (FinishJob & { next: 'finish'; file: StoredFile })
  | (FinishJob & { next: 'wait'; session: string; waitSeconds: number })
  | Result;

/**
 * Parses a value that enters the pipeline.
 * @throws {InvalidInput} with `source` and the path of each wrong field
 */
export function parse<const S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  source: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new InvalidInput(`${source}: ${formatIssues(result.issues)}`);
}

/** Wrong input can have any size, and messages end up in logs and execution histories. */
const MAX_ISSUES = 10;
const MAX_ISSUE_CHARS = 200;

/** Formats the issues of a failed parse in one line: `options.classId: Invalid type: Expected number but received "x"`. */
export function formatIssues(issues: readonly v.BaseIssue<unknown>[]): string {
  const lines = issues.map((issue) => {
    const path = v.getDotPath(issue);
    return truncate(path ? `${path}: ${issue.message}` : issue.message, MAX_ISSUE_CHARS);
  });
  const unique = [...new Set(lines)];
  const more = unique.length - MAX_ISSUES;
  return [...unique.slice(0, MAX_ISSUES), ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}

export const truncate = (text: string, characters = 80): string =>
  text.length > characters ? `${text.slice(0, characters)}…` : text;
