import * as v from 'valibot';
import { formatIssues } from '../schemas.ts';

/** What the service answers, and what is to be done about it. Codes: vod2 protocol, "Errors". */

const Whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
/** Digits, however the reply writes them; kept as a string. */
const Digits = v.pipe(v.string(), v.regex(/^[0-9]{1,40}$/));

const Reply = v.looseObject({
  code: v.pipe(v.number(), v.integer()),
  message: v.optional(v.string(), ''),
  codeDesc: v.optional(v.string(), ''),
  canRetry: v.optional(v.number(), 0),
});
export type VodReply = v.InferOutput<typeof Reply>;

/** It is to fit into an object's metadata, 2 KB of ASCII in all. One that does not is left out: the `fileId` tells it. */
const MAX_URL = 1024;
const Url = v.pipe(
  v.string(),
  v.transform((url) => (/^[\x21-\x7e]*$/.test(url) ? url : (URL.parse(url)?.href ?? ''))),
  v.transform((url) => (url.length <= MAX_URL ? url : '')),
);

const stored = { fileId: Digits, url: v.optional(Url, '') };

/** Code 0: nothing is held. 1: some parts are (`dataSize`: the part size to go on with, where given; the list is read by `listing.ts`). 2: all is stored. */
export const InitUploadResponse = v.variant('code', [
  v.object({ code: v.literal(0) }),
  v.object({
    code: v.literal(1),
    dataSize: v.optional(Whole),
    listParts: v.optional(v.array(v.unknown())),
  }),
  v.object({ code: v.literal(2), ...stored }),
]);
export type InitUploadResponse = v.InferOutput<typeof InitUploadResponse>;

export const UploadPartResponse = v.object({ code: v.literal(0) });
export const FinishUploadResponse = v.object({ code: v.literal(0), ...stored });
export const SmallFileUploadResponse = v.object({ code: v.picklist([0, 2]), ...stored });

/**
 * What to do about a reply that is not the hoped-for one:
 * `stop` it would fail again; `repeat` with backoff, signed anew; `wait` the quota is used up; `lost` begin again at
 * InitUpload, which tells what is held; `resend` the body, read anew.
 */
export type ErrorAction = 'stop' | 'repeat' | 'wait' | 'lost' | 'resend';

const ERROR_ACTIONS: Readonly<Record<number, ErrorAction>> = {
  [-10001]: 'stop',
  [-10002]: 'stop',
  [-10003]: 'stop',
  [-10006]: 'resend',
  4000: 'stop',
  4100: 'stop',
  4200: 'repeat',
  4300: 'stop',
  4400: 'wait',
  4500: 'repeat',
  5000: 'stop',
  6000: 'repeat',
  6100: 'repeat',
  6200: 'repeat',
};

/** Codes for an upload that the service cannot write, read, or close: sending again what it lacks mends them. */
export const UPLOAD_STATE_CODES = new Set([-10004, -10005, 5100]);

export function errorActionFor({ code, canRetry }: VodReply): ErrorAction {
  if (UPLOAD_STATE_CODES.has(code)) return canRetry === 1 ? 'repeat' : 'lost';
  return ERROR_ACTIONS[code] ?? (canRetry === 1 ? 'repeat' : 'stop');
}

const HINTS: Readonly<Record<number, string>> = {
  [-10001]: 'a common parameter is wrong: check VOD_REGION and VOD_SECRET_ID',
  [-10002]: 'the signature is wrong: check VOD_SECRET_KEY, VOD_HOST (the signed host), and the clock',
  4100: 'the account is not known: check VOD_SECRET_ID',
  4300: 'the account may not do this: check its permissions and its balance',
  4500: 'a nonce used twice or a clock over two hours off: check the clock',
};

/** Errors travel through the state machine: no more of the service's own words than help. */
const MAX_WORDS = 400;

/** The service's own words, its code, and what to check. */
export function describeError({ code, message, codeDesc }: VodReply): string {
  const words = [...new Set([message, codeDesc].filter((text) => text !== ''))]
    .join(', ')
    .slice(0, MAX_WORDS);
  const hint = HINTS[code];
  return `code ${code}${words ? ` (${words})` : ''}${hint ? `: ${hint}` : ''}`;
}

/**
 * A reply's JSON, or why it is none. A `fileId` that is written as a number is read as text: it does not fit a double.
 * (In a JSON text no string can hold the pattern: a quote within a string is escaped.)
 * @param hide what the service says in words may repeat what no log shall hold
 */
export function parseResponse(
  text: string,
  hide: (text: string) => string = (words) => words,
): { reply: VodReply } | { fault: string } {
  const start = (): string => JSON.stringify(hide(text).slice(0, 80));
  try {
    const parsed = v.safeParse(
      Reply,
      JSON.parse(text.replace(/("fileId"\s*:\s*)(\d+)(?=\s*[,}])/g, '$1"$2"')),
    );
    if (!parsed.success)
      return { fault: `expected a reply, got ${start()}: ${hide(formatIssues(parsed.issues))}` };
    const { message, codeDesc, ...rest } = parsed.output;
    return { reply: { ...rest, message: hide(message), codeDesc: hide(codeDesc) } };
  } catch {
    return { fault: `expected JSON, got ${start()}` };
  }
}
