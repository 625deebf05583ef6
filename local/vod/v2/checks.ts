import * as v from 'valibot';
import type { Params } from '../../../lib/vod/v2/signature.ts';
import { VodError, type VodErrorKind } from './vod-error.ts';

const ACTIONS = ['InitUpload', 'UploadPart', 'FinishUpload', 'SmallFileUpload'] as const;
export type Action = (typeof ACTIONS)[number];

const MIN_PART_BYTES = 524_288;
const MAX_PART_BYTES = 1_048_576;
const MAX_SMALL_FILE_BYTES = 1_048_575;
const MAX_NAME_BYTES = 40;

// The message of each rule completes the sentence "<parameter>: expected …".

const matching = (form: RegExp, expected: string) => v.pipe(v.string(), v.regex(form, expected));

const integerBetween = (min: number, max: number) => {
  const expected = `a whole number from ${min} to ${max}`;
  return v.pipe(
    matching(/^(0|-?[1-9]\d{0,15})$/, expected),
    v.transform(Number),
    v.minValue(min, expected),
    v.maxValue(max, expected),
  );
};

const MAX_INTEGER = Number.MAX_SAFE_INTEGER;
/** In lower case. The vendor's C# SDK sends upper case. */
const sha1 = v.pipe(matching(/^[0-9a-f]{40}$/i, '40 hex digits'), v.toLowerCase());
const toBit = (text: string): 0 | 1 => (text === '1' ? 1 : 0);
const flag = v.optional(v.pipe(matching(/^[01]$/, '0 or 1'), v.transform(toBit)), '0');

const fileName = v.pipe(
  v.string(),
  v.minBytes(1, 'a name'),
  v.maxBytes(MAX_NAME_BYTES, `at most ${MAX_NAME_BYTES} bytes of UTF-8`),
  v.regex(/^[^\\/:*?"<>|]*$/, 'none of the characters \\ / : * ? " < > |'),
);

const commonParameters = v.object({
  Action: v.picklist(ACTIONS, `one of ${ACTIONS.join(', ')}`),
  Region: matching(/^[a-z][a-z0-9-]{0,31}$/, 'a region such as gz'),
  Timestamp: matching(/^[1-9]\d{0,10}$/, 'whole seconds since 1970'),
  Nonce: matching(/^[1-9]\d{0,19}$/, 'a positive whole number'),
  SecretId: v.pipe(v.string(), v.nonEmpty('an id')),
  Signature: v.pipe(v.string(), v.nonEmpty('a signature')),
  SignatureMethod: v.optional(v.picklist(['HmacSHA1', 'HmacSHA256'], 'HmacSHA256, HmacSHA1 or nothing')),
});

const initUpload = v.object({
  fileName,
  fileSha: sha1,
  fileSize: integerBetween(1, MAX_INTEGER),
  dataSize: integerBetween(MIN_PART_BYTES, MAX_PART_BYTES),
  fileType: matching(/^[A-Za-z0-9]{1,10}$/, 'an extension of 1 to 10 letters and digits'),
  classId: v.optional(integerBetween(-MAX_INTEGER, MAX_INTEGER), '0'),
  isTranscode: flag,
  isScreenshot: flag,
  isWatermark: flag,
});

const uploadPart = v.object({
  fileSha: sha1,
  offset: integerBetween(0, MAX_INTEGER),
  dataSize: integerBetween(1, MAX_PART_BYTES),
  dataMd5: matching(/^[0-9a-f]{32}$/, '32 lower-case hex digits'),
});

const finishUpload = v.object({ fileSha: sha1 });

const smallFileUpload = v.object({
  fileName,
  fileSha: sha1,
  fileSize: integerBetween(1, MAX_SMALL_FILE_BYTES),
  dataSize: integerBetween(1, MAX_SMALL_FILE_BYTES),
  fileType: v.picklist(['jpg', 'jpeg', 'png', 'gif', 'webp', 'bmp'], 'jpg, jpeg, png, gif, webp or bmp'),
  'extra.usage': v.literal('1', '1, the cover of a video'),
  'extra.fileId': matching(/^[1-9]\d{0,19}$/, 'the fileId of a video'),
});

export const readCommonParameters = (params: Params) => check(commonParameters, params, 'commonParameters');
export const readInitUpload = (params: Params) => ({ ...check(initUpload, params), tags: readTags(params) });
export const readUploadPart = (params: Params) => check(uploadPart, params);
export const readFinishUpload = (params: Params) => check(finishUpload, params);

export function readSmallFileUpload(params: Params): v.InferOutput<typeof smallFileUpload> {
  const image = check(smallFileUpload, params);
  const { dataSize, fileSize } = image;
  if (dataSize === fileSize) return image;
  throw new VodError('parameters', `dataSize: expected ${fileSize}, the same as fileSize, got ${dataSize}`);
}

/** Reads `tags.1`, `tags.2`, … as documented, or `tag.1`, `tag.2`, … as the old SDKs send them. */
function readTags(params: Params): string[] {
  const names = Object.keys(params).filter((name) => /^tags?(\.|$)/.test(name));
  const stem = names[0]?.startsWith('tags') ? 'tags' : 'tag';
  return names.map((_, at) => {
    const name = `${stem}.${at + 1}`;
    const tag = params[name];
    if (tag) return tag;
    const problem = tag === undefined ? `missing next to ${names.join(', ')}` : 'expected a tag, got ""';
    throw new VodError('parameters', `${name}: ${problem}`);
  });
}

function check<Schema extends v.GenericSchema>(
  schema: Schema,
  params: Params,
  kind: VodErrorKind = 'parameters',
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, params, { abortPipeEarly: true });
  if (result.success) return result.output;
  throw new VodError(kind, result.issues.map(formatIssue).join('; '));
}

function formatIssue(issue: v.BaseIssue<unknown>): string {
  const name = v.getDotPath(issue) ?? 'parameters';
  if (issue.type === 'object') return `${name}: missing`;
  const received = issue.received.length > 60 ? `${issue.received.slice(0, 60)}…` : issue.received;
  return `${name}: expected ${issue.message}, got ${received}`;
}
