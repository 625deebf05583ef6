import { isUtf8 } from 'node:buffer';
import * as v from 'valibot';
import { InvalidInput, InvalidSetting } from '../errors.ts';
import { truncate, UploadOptions } from '../schemas.ts';

const Flag = v.pipe(
  v.string(),
  v.toLowerCase(),
  v.picklist(['0', '1', 'true', 'false'], '0, 1, true, or false'),
  v.transform((flag) => flag === '1' || flag === 'true'),
);
const List = v.pipe(
  v.string(),
  v.transform((text) => [...new Set(text.split(',').map((item) => item.trim()))].filter(Boolean)),
);

/**
 * `key`: the name of the option in object metadata (`x-amz-meta-…`). The setting has the same name in upper case with `_`.
 * `schema` parses its text; the message of an issue is the expected value.
 */
const OPTIONS = {
  classId: {
    key: 'vod-class-id',
    schema: v.pipe(v.string(), v.regex(/^[0-9]{1,15}$/, 'a whole number'), v.transform(Number)),
  },
  tags: { key: 'vod-tags', schema: List },
  transcode: { key: 'vod-transcode', schema: Flag },
  screenshot: { key: 'vod-screenshot', schema: Flag },
  watermark: { key: 'vod-watermark', schema: Flag },
  fileName: { key: 'vod-file-name', schema: v.string() },
  procedure: { key: 'vod-procedure', schema: v.string() },
  expireTime: {
    key: 'vod-expire-time',
    schema: v.pipe(v.string(), v.isoTimestamp('a time such as 2027-01-31T00:00:00Z')),
  },
  sourceContext: {
    key: 'vod-source-context',
    schema: v.pipe(v.string(), v.maxLength(250, 'at most 250 characters')),
  },
} as const satisfies Record<keyof UploadOptions, { key: string; schema: v.GenericSchema<string, unknown> }>;

/** Merges options field by field. A later source wins. */
export const mergeOptions = (...sources: readonly (UploadOptions | undefined)[]): UploadOptions =>
  Object.assign({}, ...sources);

/**
 * Reads the options from the metadata of an object. Keys are lower case, without `x-amz-meta-`.
 * @throws {InvalidInput} with the object, the entry, and the expected value
 */
export const optionsFromMetadata = (
  metadata: Readonly<Record<string, string>>,
  object: string,
): UploadOptions =>
  readOptions(
    ({ key }) => metadata[key],
    ({ key }) => `${object}: metadata entry ${key}`,
    InvalidInput,
  );

/**
 * Reads the defaults from the settings `VOD_CLASS_ID`, `VOD_TAGS`, `VOD_TRANSCODE`, `VOD_SCREENSHOT`, `VOD_WATERMARK`,
 * `VOD_PROCEDURE`, and `VOD_EXPIRE_TIME`.
 * @throws {InvalidSetting} with the setting and the expected value
 */
export const optionsFromEnvironment = (env: Readonly<Record<string, string | undefined>>): UploadOptions =>
  readOptions(
    (option) =>
      option === OPTIONS.fileName || option === OPTIONS.sourceContext ? undefined : env[settingName(option)],
    (option) => `setting ${settingName(option)}`,
    InvalidSetting,
  );

type Option = (typeof OPTIONS)[keyof UploadOptions];

const settingName = ({ key }: Option): string => key.toUpperCase().replaceAll('-', '_');

/** @param label names the source of an option in errors */
function readOptions(
  get: (option: Option) => string | undefined,
  label: (option: Option) => string,
  ErrorClass: typeof InvalidInput | typeof InvalidSetting,
): UploadOptions {
  const options: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(OPTIONS)) {
    const text = decodeMetadata(get(option) ?? '').trim();
    if (text === '') continue;
    const { success, output, issues } = v.safeParse(option.schema, text);
    if (!success)
      throw new ErrorClass(`${label(option)}: expected ${issues[0].message}, got "${truncate(text)}"`);
    options[name] = output;
  }
  return v.parse(UploadOptions, options);
}

/**
 * Metadata travels in HTTP headers, which carry only ASCII safely. Other text is percent-encoded, in encoded words
 * (`=?UTF-8?B?…?=`, RFC 2047), as S3 returns it, or in UTF-8, as other stores return it.
 */
export function decodeMetadata(header: string): string {
  const value = decodeBytes(header);
  if (!ENCODED_WORD.test(value)) return decodePercent(value);
  return value
    .replace(/(\?=)\s+(?==\?)/g, '$1') // RFC 2047, 6.2: the space between two encoded words does not count
    .replace(new RegExp(ENCODED_WORD, 'gi'), (_, form: string, text: string) =>
      form.toLowerCase() === 'b' ? Buffer.from(text, 'base64').toString() : decodeQuotedPrintable(text),
    );
}

/** Node reads each byte of a header as one character. */
function decodeBytes(header: string): string {
  const bytes = Buffer.from(header, 'latin1');
  return isUtf8(bytes) && bytes.toString('latin1') === header ? bytes.toString() : header;
}

const ENCODED_WORD = /=\?utf-8\?([bq])\?([^?]*)\?=/i;

const decodeQuotedPrintable = (text: string): string =>
  Buffer.from(
    text
      .replaceAll('_', ' ')
      .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  ).toString();

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // plain text, such as "100 %"
  }
}
