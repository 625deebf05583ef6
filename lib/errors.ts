/**
 * One class per reaction of the caller. `name` is a string, not the name of the class, because the state machine matches it
 * (`ErrorEquals`) and a minifier renames classes.
 */
const errorNamed = <const N extends string>(name: N) =>
  class extends Error {
    override readonly name = name;
  };

/** An event, an input, or an option is invalid. Correct it and send it again. */
export class InvalidInput extends errorNamed('InvalidInput') {}

/** A setting of the stack is missing or wrong. Set it and redrive. */
export class InvalidSetting extends errorNamed('InvalidSetting') {}

/** A setting could not be read. The state machine retries. */
export class SettingUnavailable extends errorNamed('SettingUnavailable') {}

/** The object cannot be uploaded or written back: it is empty, archived, or its metadata is full. Change the object. */
export class UnsupportedObject extends errorNamed('UnsupportedObject') {}

/** A request names an object that does not exist. Check bucket and key. */
export class ObjectNotFound extends errorNamed('ObjectNotFound') {}

/** The video that an image names has no `fileId` yet, or one that S3 does not verify. The message says what to do. */
export class VideoNotReady extends errorNamed('VideoNotReady') {}

/** S3 rejects the request and would reject it again. Check credentials, policy, and region. */
export class StorageRejected extends errorNamed('StorageRejected') {}

/** S3 did not respond, or not correctly. The state machine retries. */
export class StorageUnavailable extends errorNamed('StorageUnavailable') {}

/** VOD rejects the request and would reject it again. The message says what to do (secret, clock, parameters, account). */
export class VodRejected extends errorNamed('VodRejected') {}

/** VOD did not respond, or not correctly. The state machine retries. */
export class VodUnavailable extends errorNamed('VodUnavailable') {}

/** The account's quota is used up, or its counter is unavailable. The state machine waits, then retries. */
export class QuotaExceeded extends errorNamed('QuotaExceeded') {}

/** The invocation ended without progress. Give the function more time, or redrive if S3 or VOD was slow. */
export class NoProgress extends errorNamed('NoProgress') {}

/** VOD still lacks parts after every round. Redrive: Init asks VOD again which parts it has. */
export class UploadIncomplete extends errorNamed('UploadIncomplete') {}

/** S3's own checksum of the object differs from that of the bytes that VOD received. Investigate; no data is lost. */
export class ContentMismatch extends errorNamed('ContentMismatch') {}

/** The object is no longer the version of the upload. The outcome is `superseded`. */
export class ObjectChanged extends errorNamed('ObjectChanged') {}

/** The object was deleted. The outcome is `deleted`. */
export class ObjectDeleted extends errorNamed('ObjectDeleted') {}

/** VOD no longer has the upload, or lacks parts of it. Init calls `InitUpload` again, which lists the parts. */
export class UploadNotFound extends errorNamed('UploadNotFound') {
  /** A fact for the reason of the outcome. */
  readonly note: string | undefined;

  constructor(message: string, { note, ...options }: ErrorOptions & { note?: string } = {}) {
    super(message, options);
    this.note = note;
  }
}

/** VOD did not receive the announced bytes (code -10006). The part is read and sent again. */
export class PartRejected extends errorNamed('PartRejected') {}

/** The message of any error. It includes the code or the class, because some network errors have no message. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const message = stripCanonicalRequest(error.message);
  const code = 'code' in error && error.code !== undefined ? String(error.code) : '';
  const kind = error.name === 'Error' || error.name === 'AggregateError' ? code : error.name;
  const text = message.includes(kind) ? message : [kind, message].filter(Boolean).join(' ');
  return text || error.name;
}

/** Some AWS services append the expected canonical request to a signature error. It contains the session token. */
export const stripCanonicalRequest = (message: string): string => message.split(/\n\s*\n/, 1)[0] ?? '';
