/**
 * What the service says when it does not do what it was asked. Every refusal is HTTP 200 with a JSON body, as the
 * real service answers; only a path or a method that does not exist at all gets 404 or 405.
 *
 * | Code   | When | canRetry |
 * |--------|------|----------|
 * | -10001 | query not percent-encoded UTF-8, too long, or a parameter given twice; Action unknown; Region, Timestamp, Nonce, SecretId or Signature missing or ill-formed; SignatureMethod unknown | 0 |
 * | -10002 | Signature wrong; the message names the cause where it can be told | 0 |
 * | -10003 | the call's own parameters: missing, out of range, forbidden characters, a part that does not fit its place | 0 |
 * | -10004 | the disk refused a write | 1 |
 * | -10005 | no upload open for this fileSha (0); the upload is just being closed, or the disk refused a read (1) | 0 or 1 |
 * | -10006 | body: no Content-Length, or a body where none belongs (0); length, MD5 or SHA-1 not as declared (1) | 0 or 1 |
 * | 4000   | path or method unknown (with HTTP 404 or 405) | 0 |
 * | 4100   | SecretId unknown | 0 |
 * | 4400   | more calls within a minute than the account may make | 1 |
 * | 4500   | Nonce used before, or Timestamp more than two hours off | 0 |
 * | 5000   | `extra.fileId` names no stored video | 0 |
 * | 5100   | FinishUpload with parts missing, or with bytes that have another SHA-1 | 0 |
 * | 6000   | a fault of this service | 1 |
 */
export const FAULTS = {
  commonParameters: { code: -10001, canRetry: 0 },
  signature: { code: -10002, canRetry: 0 },
  parameters: { code: -10003, canRetry: 0 },
  write: { code: -10004, canRetry: 1 },
  read: { code: -10005, canRetry: 0 },
  body: { code: -10006, canRetry: 1 },
  noSuchCall: { code: 4000, canRetry: 0 },
  unknownSecretId: { code: 4100, canRetry: 0 },
  quota: { code: 4400, canRetry: 1 },
  replayed: { code: 4500, canRetry: 0 },
  noSuchVideo: { code: 5000, canRetry: 0 },
  finishFailed: { code: 5100, canRetry: 0 },
  internal: { code: 6000, canRetry: 1 },
} as const;

export type Fault = keyof typeof FAULTS;

/** The fields that every reply has, and what the call adds to them. */
export type Reply = Readonly<{
  code: number;
  message: string;
  codeDesc: string;
  canRetry: 0 | 1;
  [field: string]: unknown;
}>;

export const accepted = (code: 0 | 1 | 2, fields: Record<string, unknown> = {}): Reply => ({
  code,
  message: '',
  codeDesc: '',
  canRetry: 0,
  ...fields,
});

/** `allow`: the methods that the path has instead; makes it HTTP 405. */
type Circumstances = ErrorOptions & { canRetry?: 0 | 1; status?: 404; allow?: string };

export class VodError extends Error {
  readonly reply: Reply;
  readonly status: number;
  readonly allow: string | undefined;

  constructor(fault: Fault, message: string, { canRetry, status, allow, ...options }: Circumstances = {}) {
    super(message, options);
    const { code, canRetry: usual } = FAULTS[fault];
    this.reply = { code, message, codeDesc: fault, canRetry: canRetry ?? usual };
    this.status = allow ? 405 : (status ?? 200);
    this.allow = allow;
  }
}

/** Runs a piece of disk work; the reply names the system's error code and no path. */
export async function onDisk<T>(fault: 'write' | 'read', what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof VodError) throw cause;
    const reason = cause instanceof Error && 'code' in cause ? cause.code : cause;
    throw new VodError(fault, `${what}: ${reason}`, { canRetry: 1, cause });
  }
}
