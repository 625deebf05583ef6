import * as v from 'valibot';
import { InvalidInput } from './errors.ts';

/** What one state says to the next, and the words of the chain. Bytes everywhere; offsets count from the object's start. */

export const Sha1 = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{40}$/, 'Expected 40 lower-case hex digits'),
  v.brand('Sha1'),
);
/** SHA-1 of a whole object: 40 lower-case hex digits. */
export type Sha1 = v.InferOutput<typeof Sha1>;

export const FileId = v.pipe(
  v.string(),
  v.regex(/^[0-9]{1,40}$/, 'Expected a string of digits'),
  v.brand('FileId'),
);
/** VOD's name of a file: decimal digits, always a string since it does not fit a double. */
export type FileId = v.InferOutput<typeof FileId>;

export const NonEmptyString = v.pipe(v.string(), v.nonEmpty());
/** S3 names objects in UTF-8, where half of a surrogate pair has no place. */
const WellFormedString = v.pipe(
  NonEmptyString,
  v.check((text) => text.isWellFormed(), 'Expected whole characters, got half of a surrogate pair'),
);
export const BucketName = v.pipe(WellFormedString, v.regex(/^[^/]*$/, 'Expected a bucket, without a slash'));
export const Key = WellFormedString;
export const NonNegativeInt = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const PositiveInt = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** What may be set for one object; see `lib/upload/upload-options.ts` for where it comes from. */
export const UploadOptions = v.strictObject({
  classId: v.optional(NonNegativeInt),
  tags: v.optional(v.array(NonEmptyString)),
  transcode: v.optional(v.boolean()),
  screenshot: v.optional(v.boolean()),
  watermark: v.optional(v.boolean()),
  fileName: v.optional(NonEmptyString),
});
export type UploadOptions = v.InferOutput<typeof UploadOptions>;

const objectFields = {
  bucket: BucketName,
  key: Key,
  versionId: v.optional(NonEmptyString),
  /** Of an image that somebody sends by hand: the file whose cover it is to be. */
  fileId: v.optional(FileId),
  options: v.optional(UploadOptions),
  /** Ask VOD, whatever the object carries: the file may have been deleted there. */
  force: v.optional(v.boolean()),
};

/** What a person types into a console: just bucket and key will do. A misspelt field is refused, not ignored. */
export const ManualRequest = v.strictObject(objectFields);

/**
 * One object to bring over; the input of an execution. `etag` is there when an event named the object's state:
 * such a request is about those bytes and no others.
 */
export const UploadRequest = v.strictObject({
  ...objectFields,
  etag: v.optional(NonEmptyString),
  size: v.optional(NonNegativeInt),
  sequencer: v.optional(NonEmptyString),
});
export type UploadRequest = v.InferOutput<typeof UploadRequest>;

/** The one state of an object that an upload is about: every read after the first `HeadObject` is held to it. */
export const ObjectVersion = v.object({
  bucket: NonEmptyString,
  key: NonEmptyString,
  versionId: v.optional(NonEmptyString),
  etag: NonEmptyString,
  size: NonNegativeInt,
});
export type ObjectVersion = v.InferOutput<typeof ObjectVersion>;

/**
 * How far the hash pass came: `state` (base64, about 100 bytes) is the resumable hasher's own after `offset` bytes.
 * Without a state the pass starts over with that hasher.
 */
export const HashCheckpoint = v.object({ offset: NonNegativeInt, state: v.string() });
export type HashCheckpoint = v.InferOutput<typeof HashCheckpoint>;

/** A stretch of `count` parts from part number `first` (0-based); `missing` says which of them to send where not all. */
export const Batch = v.object({
  first: NonNegativeInt,
  count: PositiveInt,
  missing: v.optional(NonEmptyString),
});
export type Batch = v.InferOutput<typeof Batch>;

const uploadBounds = { sha1: Sha1, size: PositiveInt, partSize: PositiveInt };

/** What is common to all parts of an upload. */
export const UploadBounds = v.object(uploadBounds);
export type UploadBounds = v.InferOutput<typeof UploadBounds>;

/** `more`: parts are missing beyond these batches, too scattered to be listed at once. */
export const Upload = v.object({
  ...uploadBounds,
  batches: v.array(Batch),
  hasMore: v.optional(v.literal(true)),
});
export type Upload = v.InferOutput<typeof Upload>;

/** A file that VOD has confirmed whole. */
export const StoredFile = v.object({ fileId: FileId, url: v.string(), sha1: Sha1 });
export type StoredFile = v.InferOutput<typeof StoredFile>;

/** Parts that VOD confirmed one by one, and their bytes. `lost`: the error for which a run of parts gave up, if it did. */
export const SentTotals = v.object({
  parts: NonNegativeInt,
  bytes: NonNegativeInt,
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

/** What became of a video's cover; or, in the words of Step Functions, the error that the video did not fail for. */
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

/** How an object's journey ended; the output of an execution. */
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
  /** Of an image: the files whose cover it is. */
  coverOf: v.optional(v.array(FileId)),
  /** Of a video. */
  cover: v.optional(VideoCover),
  sent: SentTotals,
});
export type Result = v.InferOutput<typeof Result>;

/** The name of the execution, for the log. */
const execution = v.optional(v.string());

const jobFields = {
  request: UploadRequest,
  execution,
  /** `InitUpload` is asked again when parts turn out to be missing: a bounded number of rounds between redrives. */
  round: NonNegativeInt,
  sent: SentTotals,
};

/** The input of Init: a fresh request, a hash pass to go on with, or an upload that VOD has not got whole. */
export const InitInput = v.object({
  ...jobFields,
  pin: v.optional(ObjectVersion),
  hash: v.optional(HashCheckpoint),
  sha1: v.optional(Sha1),
});
export type InitInput = v.InferOutput<typeof InitInput>;

/** The input of one run of parts. No `batch`: nothing is left to do. */
export const PartInput = v.pipe(
  v.object({ execution, pin: ObjectVersion, upload: UploadBounds, batch: Batch, sent: SentTotals }),
  v.check(
    ({ upload, batch }) => batch.first + batch.count <= Math.ceil(upload.size / upload.partSize),
    'Expected a batch of parts that the upload has',
  ),
);
export type PartInput = v.InferOutput<typeof PartInput>;
export type PartOutput = Omit<PartInput, 'batch'> & { batch?: Batch };

/** What Finish is about: all parts were sent (`parts`: what each run of them sent), or VOD has the file already (`file`). */
export const FinishJob = v.object({
  ...jobFields,
  pin: ObjectVersion,
  sha1: Sha1,
  upload: v.optional(Upload),
  parts: v.optional(v.array(SentTotals)),
  file: v.optional(StoredFile),
});
export type FinishJob = v.InferOutput<typeof FinishJob>;

export const FinishInput = v.object({ job: FinishJob, redrives: NonNegativeInt });
export type FinishInput = v.InferOutput<typeof FinishInput>;

/** An image on its way to the videos whose cover it is. */
export const ImageJob = v.object({ ...jobFields, pin: ObjectVersion });
export type ImageJob = v.InferOutput<typeof ImageJob>;

/** A video that VOD has. */
export const CoveredVideo = v.object({ bucket: NonEmptyString, key: NonEmptyString, fileId: FileId });
export type CoveredVideo = v.InferOutput<typeof CoveredVideo>;

/** How often Step Functions has repeated this state, and how often the execution was redriven. */
const retryCounts = { retries: NonNegativeInt, redrives: NonNegativeInt };

/** The input of Cover: an image that looks for its videos, or a video that looks for its image. */
export const CoverInput = v.union([
  v.object({ ...retryCounts, image: ImageJob }),
  v.object({ ...retryCounts, execution, video: CoveredVideo }),
]);
export type CoverInput = v.InferOutput<typeof CoverInput>;

/** What Init and Finish answer; the state machine goes where `next` says. */
export type InitOutput =
  | (InitInput & { next: 'hash'; pin: ObjectVersion })
  | (FinishJob & { next: 'parts'; upload: Upload })
  | (FinishJob & { next: 'finish'; file: StoredFile })
  | (ImageJob & { next: 'cover' })
  | Result;
export type FinishOutput = (InitInput & { next: 'init' }) | Result;

/**
 * What a schema makes of `value`, at a door of the chain.
 * @throws {InvalidInput} naming `what` it is and each field that is wrong.
 */
export function parse<const S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  what: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  throw new InvalidInput(`${what}: ${formatIssues(result.issues)}`);
}

/** Characters of one issue, and issues: what is wrong may be of any size, and what is said of it ends up in logs and histories. */
const LIMITS = { characters: 200, issues: 10 };

/** The issues of a failed parse in one line: `options.classId: Invalid type: Expected number but received "x"`. */
export function formatIssues(issues: readonly v.BaseIssue<unknown>[]): string {
  const lines = issues.map((issue) => {
    const path = v.getDotPath(issue);
    return truncate(path ? `${path}: ${issue.message}` : issue.message, LIMITS.characters);
  });
  const told = [...new Set(lines)];
  const more = told.length - LIMITS.issues;
  return [...told.slice(0, LIMITS.issues), ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}

/** The beginning of a text that somebody else wrote. */
export const truncate = (text: string, characters = 80): string =>
  text.length > characters ? `${text.slice(0, characters)}…` : text;
