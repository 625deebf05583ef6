import * as v from 'valibot';
import type { Params } from '../../lib/vod/signature.ts';
import { type Fault, VodError } from './vod-error.ts';

export const ACTIONS = ['InitUpload', 'UploadPart', 'FinishUpload', 'SmallFileUpload'] as const;
export type Action = (typeof ACTIONS)[number];

const SMALLEST_PART = 524_288;
const LARGEST_PART = 1_048_576;
const SMALL_FILE_BELOW = 1_048_576;
const LONGEST_NAME = 40;

// A rule's message completes the sentence "<parameter>: expected …".

const written = (form: RegExp, expected: string) => v.pipe(v.string(), v.regex(form, expected));

const whole = (least: number, most: number) => {
  const expected = `a whole number from ${least} to ${most}`;
  return v.pipe(
    written(/^(0|-?[1-9]\d{0,15})$/, expected),
    v.transform(Number),
    v.minValue(least, expected),
    v.maxValue(most, expected),
  );
};

const MOST = Number.MAX_SAFE_INTEGER;
const sha1 = written(/^[0-9a-f]{40}$/, '40 lower-case hex digits');
const flag = v.optional(
  v.pipe(
    written(/^[01]$/, '0 or 1'),
    v.transform((text) => (text === '1' ? 1 : 0)),
  ),
  '0',
);

const fileName = v.pipe(
  v.string(),
  v.minBytes(1, 'a name'),
  v.maxBytes(LONGEST_NAME, `at most ${LONGEST_NAME} bytes of UTF-8`),
  v.regex(/^[^\\/:*?"<>|]*$/, 'none of the characters \\ / : * ? " < > |'),
);

const common = v.object({
  Action: v.picklist(ACTIONS, `one of ${ACTIONS.join(', ')}`),
  Region: written(/^[a-z][a-z0-9-]{0,31}$/, 'a region such as gz'),
  Timestamp: written(/^[1-9]\d{0,10}$/, 'whole seconds since 1970'),
  Nonce: written(/^[1-9]\d{0,19}$/, 'a positive whole number'),
  SecretId: v.pipe(v.string(), v.nonEmpty('an id')),
  Signature: v.pipe(v.string(), v.nonEmpty('a signature')),
  SignatureMethod: v.optional(v.picklist(['HmacSHA1', 'HmacSHA256'], 'HmacSHA256, HmacSHA1 or nothing')),
});

const initUpload = v.object({
  fileName,
  fileSha: sha1,
  fileSize: whole(1, MOST),
  dataSize: whole(SMALLEST_PART, LARGEST_PART),
  fileType: written(/^[A-Za-z0-9]{1,10}$/, 'a suffix of 1 to 10 letters and digits'),
  classId: v.optional(whole(-MOST, MOST), '0'),
  isTranscode: flag,
  isScreenshot: flag,
  isWatermark: flag,
});

const uploadPart = v.object({
  fileSha: sha1,
  offset: whole(0, MOST),
  dataSize: whole(1, LARGEST_PART),
  dataMd5: written(/^[0-9a-f]{32}$/, '32 lower-case hex digits'),
});

const finishUpload = v.object({ fileSha: sha1 });

const smallFileUpload = v.object({
  fileName,
  fileSha: sha1,
  fileSize: whole(1, SMALL_FILE_BELOW - 1),
  dataSize: whole(1, SMALL_FILE_BELOW - 1),
  fileType: v.picklist(['jpg', 'jpeg', 'png', 'gif', 'webp', 'bmp'], 'jpg, jpeg, png, gif, webp or bmp'),
  'extra.usage': v.literal('1', '1, the cover of a video'),
  'extra.fileId': written(/^[1-9]\d{0,19}$/, 'the fileId of a video'),
});

export const checkCommon = (params: Params) => check(common, params, 'commonParameters');

export type Opening = v.InferOutput<typeof initUpload> & { tags: readonly string[] };
export const checkInitUpload = (params: Params): Opening => ({
  ...check(initUpload, params, 'parameters'),
  tags: tagsOf(params),
});

export type Part = v.InferOutput<typeof uploadPart>;
export const checkUploadPart = (params: Params): Part => check(uploadPart, params, 'parameters');

export const checkFinishUpload = (params: Params): { fileSha: string } =>
  check(finishUpload, params, 'parameters');

export type Image = v.InferOutput<typeof smallFileUpload>;
export function checkSmallFileUpload(params: Params): Image {
  const image = check(smallFileUpload, params, 'parameters');
  if (image.dataSize !== image.fileSize) {
    throw new VodError(
      'parameters',
      `dataSize: expected ${image.fileSize}, the same as fileSize, got ${image.dataSize}`,
    );
  }
  return image;
}

/** `tags.1`, `tags.2`, … as documented, or `tag.1`, `tag.2`, … as the old SDKs send them. */
function tagsOf(params: Params): string[] {
  const names = Object.keys(params).filter((name) => /^tags?(\.|$)/.test(name));
  const stem = names[0]?.startsWith('tags') ? 'tags' : 'tag';
  return names.map((_, at) => {
    const tag = params[`${stem}.${at + 1}`];
    if (tag === undefined) {
      throw new VodError('parameters', `${stem}.${at + 1}: missing beside ${names.join(', ')}`);
    }
    if (tag === '') throw new VodError('parameters', `${stem}.${at + 1}: expected a tag, got ""`);
    return tag;
  });
}

function check<Schema extends v.GenericSchema>(
  schema: Schema,
  params: Params,
  fault: Fault,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, params, { abortPipeEarly: true });
  if (result.success) return result.output;
  throw new VodError(fault, result.issues.map(told).join('; '));
}

function told(issue: v.BaseIssue<unknown>): string {
  const name = v.getDotPath(issue) ?? 'parameters';
  if (issue.type === 'object') return `${name}: missing`;
  const got = issue.received.length > 60 ? `${issue.received.slice(0, 60)}…` : issue.received;
  return `${name}: expected ${issue.message}, got ${got}`;
}
