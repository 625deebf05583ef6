/**
 * The errors of the service. Like the real service, it returns HTTP 200 with a JSON body for every error except an
 * unknown path or method. The code that throws an error may set another `canRetry`.
 */
export const VOD_ERRORS = {
  /** A common parameter is missing or invalid, or the query is too long, ambiguous, or not UTF-8. */
  commonParameters: { code: -10001, canRetry: 0 },
  /** The message names the likely cause. */
  signature: { code: -10002, canRetry: 0 },
  /** A parameter of the call is missing or invalid, or the part does not match its offset. */
  parameters: { code: -10003, canRetry: 0 },
  write: { code: -10004, canRetry: 1 },
  /**
   * No upload is open for this fileSha, or FinishUpload found missing or other bytes. 1: it is being finished, or the disk
   * rejected a read. Not 5100: the vendor's PHP SDK takes a positive code of FinishUpload for success.
   */
  read: { code: -10005, canRetry: 0 },
  /** The length, MD5, or SHA-1 differs from the parameters. 0: no body is allowed. */
  body: { code: -10006, canRetry: 1 },
  noSuchCall: { code: 4000, canRetry: 0 },
  unknownSecretId: { code: 4100, canRetry: 0 },
  quota: { code: 4400, canRetry: 1 },
  /** The Nonce was used before, or the Timestamp is off by more than two hours. */
  replayed: { code: 4500, canRetry: 0 },
  /** The same for UploadPart, which documents only codes below 0. Its old clients count a part with another code as sent. */
  replayedPart: { code: -10001, canRetry: 0 },
  noSuchVideo: { code: 5000, canRetry: 0 },
  internal: { code: 6000, canRetry: 1 },
} as const;

export type VodErrorKind = keyof typeof VOD_ERRORS;

/** The fields of every response, plus those of the call. */
export type VodResponse = Readonly<{
  code: number;
  message: string;
  codeDesc: string;
  canRetry: 0 | 1;
  [field: string]: unknown;
}>;

/** Builds the response to a successful call. */
export const createResponse = (code: 0 | 1 | 2, fields: Record<string, unknown> = {}): VodResponse => ({
  code,
  message: '',
  codeDesc: '',
  canRetry: 0,
  ...fields,
});

/** `allow`: the methods of the path; sets HTTP status 405. */
type VodErrorOptions = ErrorOptions & { canRetry?: 0 | 1; status?: 404; allow?: string };

export class VodError extends Error {
  readonly response: VodResponse;
  readonly status: number;
  readonly allow: string | undefined;

  constructor(kind: VodErrorKind, message: string, options: VodErrorOptions = {}) {
    const { canRetry = VOD_ERRORS[kind].canRetry, status = 200, allow, ...errorOptions } = options;
    super(message, errorOptions);
    this.response = { code: VOD_ERRORS[kind].code, message, codeDesc: kind, canRetry };
    this.status = allow ? 405 : status;
    this.allow = allow;
  }
}

/** Runs a disk operation. @throws {VodError} with the error code of the system, without paths */
export async function runOnDisk<T>(
  kind: 'write' | 'read',
  action: string,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (cause instanceof VodError) throw cause;
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause;
    throw new VodError(kind, `${action}: ${reason}`, { canRetry: 1, cause });
  }
}
