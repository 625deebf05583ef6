/**
 * One class for each thing that somebody acts on differently. The `name` is written out, since the state machine
 * matches it (`ErrorEquals`) and a minified bundle would change a class's own name.
 */
abstract class S3VodError extends Error {
  abstract override readonly name: string;
}

/** An event, an input, or an option is not what it should be. Act: correct it and send it again. */
export class InvalidInput extends S3VodError {
  override readonly name = 'InvalidInput';
}

/** A setting of the stack is missing or wrong. Act: set it and redrive. */
export class InvalidSetting extends S3VodError {
  override readonly name = 'InvalidSetting';
}

/** A setting could not be read just now. What was tried may be tried again. The state machine does. */
export class SettingUnavailable extends S3VodError {
  override readonly name = 'SettingUnavailable';
}

/** The object as it is cannot be uploaded or written back: empty, archived, its metadata full. Act: change the object. */
export class UnsupportedObject extends S3VodError {
  override readonly name = 'UnsupportedObject';
}

/** Somebody asked for an object that is not there. Act: check bucket and key. */
export class ObjectNotFound extends S3VodError {
  override readonly name = 'ObjectNotFound';
}

/** The video that an image names by its key has no `fileId` yet, or none that S3 vouches for. Act: as the message says. */
export class VideoNotReady extends S3VodError {
  override readonly name = 'VideoNotReady';
}

/** S3 refuses the request and would again. Act: check credentials, policy, region. */
export class StorageRejected extends S3VodError {
  override readonly name = 'StorageRejected';
}

/** S3 did not answer, or not well; what was tried may be tried again. The state machine does. */
export class StorageUnavailable extends S3VodError {
  override readonly name = 'StorageUnavailable';
}

/** VOD refuses the request and would again. Act: as the message says (secret, clock, parameters, account). */
export class VodRejected extends S3VodError {
  override readonly name = 'VodRejected';
}

/** VOD did not answer, or not well; what was tried may be tried again. The state machine does. */
export class VodUnavailable extends S3VodError {
  override readonly name = 'VodUnavailable';
}

/** The account's quota is used up for now, or nobody can say whether it is. The state machine waits, then repeats. */
export class QuotaExceeded extends S3VodError {
  override readonly name = 'QuotaExceeded';
}

/** The invocation ended without getting anything done. Act: give the function more time, or redrive if S3 or VOD was slow. */
export class NoProgress extends S3VodError {
  override readonly name = 'NoProgress';
}

/** VOD still lacks parts after every round of sending them. Act: redrive, which asks it again what it holds. */
export class UploadIncomplete extends S3VodError {
  override readonly name = 'UploadIncomplete';
}

/** S3's own SHA-1 of the object is not the one that was declared to VOD. Act: find out; nothing was lost. */
export class ContentMismatch extends S3VodError {
  override readonly name = 'ContentMismatch';
}

/** The object is no longer the one that the upload was pinned to. Ends as the outcome `superseded`. */
export class ObjectChanged extends S3VodError {
  override readonly name = 'ObjectChanged';
}

/** The object is no longer there. Ends as the outcome `deleted`. */
export class ObjectDeleted extends S3VodError {
  override readonly name = 'ObjectDeleted';
}

/** VOD no longer knows the upload, or does not hold all of it. Leads back to `InitUpload`, which says what it holds. */
export class UploadNotFound extends S3VodError {
  override readonly name = 'UploadNotFound';
}

/** VOD did not get the bytes that were announced (code -10006). Leads to reading the part's range again. */
export class PartRejected extends S3VodError {
  override readonly name = 'PartRejected';
}

/** What somebody else's error says of itself: some network errors carry a code and no message. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const message = stripCanonicalRequest(error.message);
  const code = 'code' in error && error.code !== undefined ? String(error.code) : '';
  const kind = error.name === 'Error' || error.name === 'AggregateError' ? code : error.name;
  const words = message.includes(kind) ? message : [kind, message].filter(Boolean).join(' ');
  return words || error.name;
}

/**
 * To an error about a signature some services of AWS add, after an empty line, the request as they would have signed it,
 * with the session token in it.
 */
export const stripCanonicalRequest = (message: string): string => message.split(/\n\s*\n/, 1)[0] ?? '';
