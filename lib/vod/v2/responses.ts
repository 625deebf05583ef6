import * as v from 'valibot';
import { FileId, formatIssues, NonNegativeInt } from '../../schemas.ts';
import { MediaUrl } from '../media-url.ts';

/** The responses of VOD and the reactions to them. Codes: vod2 protocol, "Errors". */

const VodResponse = v.looseObject({
  code: v.pipe(v.number(), v.integer()),
  message: v.optional(v.string(), ''),
  codeDesc: v.optional(v.string(), ''),
  canRetry: v.optional(v.number(), 0),
});
export type VodResponse = v.InferOutput<typeof VodResponse>;

const fileFields = { fileId: FileId, url: v.optional(MediaUrl, '') };

/**
 * Code 0: VOD holds no parts. Code 1: it holds some, and `dataSize` is the part size of the upload. `part-list.ts` reads the
 * parts. Code 2: VOD has the file.
 */
export const InitUploadResponse = v.variant('code', [
  v.object({ code: v.literal(0) }),
  v.object({
    code: v.literal(1),
    dataSize: v.optional(NonNegativeInt),
    listParts: v.optional(v.array(v.unknown())),
  }),
  v.object({ code: v.literal(2), ...fileFields }),
]);

export const UploadPartResponse = v.object({ code: v.literal(0) });
export const FinishUploadResponse = v.object({ code: v.literal(0), ...fileFields });
export const SmallFileUploadResponse = v.object({ code: v.picklist([0, 2]), ...fileFields });

/**
 * `stop`: the same request would fail again. `repeat`: send it again with backoff and a new signature. `wait`: the quota is used
 * up. `lost`: continue with InitUpload, which returns the held parts. `resend`: read the body again and send it.
 */
export type ErrorAction = 'stop' | 'repeat' | 'wait' | 'lost' | 'resend';

const STOP_CODES = new Set([-10001, -10002, -10003, 4000, 4100, 4300, 5000]);
const REPEAT_CODES = new Set([4200, 4500, 6000, 6100, 6200]);
/** VOD cannot write, read, or finish the upload. Sending the missing parts again helps. */
export const UPLOAD_STATE_CODES = new Set([-10004, -10005, 5100]);

export function errorActionFor({ code, canRetry }: VodResponse): ErrorAction {
  if (code === -10006) return 'resend';
  if (code === 4400) return 'wait';
  if (STOP_CODES.has(code)) return 'stop';
  if (REPEAT_CODES.has(code) || canRetry === 1) return 'repeat';
  return UPLOAD_STATE_CODES.has(code) ? 'lost' : 'stop';
}

const HINTS: Readonly<Record<number, string>> = {
  [-10001]: 'a common parameter is wrong. Check VOD_REGION and VOD_SECRET_ID',
  [-10002]: 'the signature is wrong. Check VOD_SECRET_KEY, VOD_HOST (the signed host), and the clock',
  4100: 'the account is unknown. Check VOD_SECRET_ID. Accounts opened since 2023 need VOD_API=2018-07-17',
  4300: 'the account lacks the permission. Check its permissions and its balance',
  4500: 'a repeated nonce, or a clock that is wrong by more than two hours. Check the clock',
};

/** The protocol lost support in 2022. How VOD will reject its calls is not documented. */
const OFFLINE = /offline|no longer supported|已下线/i;
const OFFLINE_HINT = 'the API is offline for this account. Set VOD_API=2018-07-17';

/** Errors travel through the states of the state machine. */
const MAX_MESSAGE_CHARS = 400;

/** The code, the messages of VOD, and what to check. */
export function describeError({ code, message, codeDesc }: VodResponse): string {
  const messages = new Set([message, codeDesc].filter((text) => text !== ''));
  const text = [...messages].join(', ').slice(0, MAX_MESSAGE_CHARS);
  const hint = OFFLINE.test(text) ? OFFLINE_HINT : HINTS[code];
  return `code ${code}${text ? ` (${text})` : ''}${hint ? `: ${hint}` : ''}`;
}

/**
 * Parses a response. A `fileId` that is a number becomes a string, because a double cannot represent it. The pattern cannot
 * match inside a JSON string, where quotes are escaped.
 * @param redact removes secrets from text that VOD returns
 */
export function parseResponse(
  text: string,
  redact: (text: string) => string = (unchanged) => unchanged,
): { response: VodResponse } | { problem: string } {
  const excerpt = (): string => JSON.stringify(redact(text).slice(0, 80));
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/("fileId"\s*:\s*)(\d+)(?=\s*[,}])/g, '$1"$2"'));
  } catch {
    return { problem: `expected JSON, got ${excerpt()}` };
  }
  const { success, output, issues } = v.safeParse(VodResponse, json);
  if (!success) return { problem: `expected a response, got ${excerpt()}: ${redact(formatIssues(issues))}` };
  const [message, codeDesc] = [redact(output.message), redact(output.codeDesc)];
  return { response: { ...output, message, codeDesc } };
}
