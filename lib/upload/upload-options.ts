import { InvalidInput } from '../errors.ts';
import { truncate, type UploadOptions } from '../schemas.ts';

/** The names of the options in object metadata (`x-amz-meta-…`). The settings have the same names in upper case with `_`. */
const METADATA_KEYS = {
  classId: 'vod-class-id',
  tags: 'vod-tags',
  transcode: 'vod-transcode',
  screenshot: 'vod-screenshot',
  watermark: 'vod-watermark',
  fileName: 'vod-file-name',
} as const satisfies Record<keyof UploadOptions, string>;

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
    (name) => metadata[METADATA_KEYS[name]],
    (name) => `${object}: metadata entry ${METADATA_KEYS[name]}`,
  );

/** Reads the defaults from the settings `VOD_CLASS_ID`, `VOD_TAGS`, `VOD_TRANSCODE`, `VOD_SCREENSHOT`, and `VOD_WATERMARK`. */
export const optionsFromEnvironment = (env: Readonly<Record<string, string | undefined>>): UploadOptions =>
  readOptions(
    (name) => (name === 'fileName' ? undefined : env[variable(name)]),
    (name) => `setting ${variable(name)}`,
  );

const variable = (name: keyof UploadOptions): string =>
  METADATA_KEYS[name].toUpperCase().replaceAll('-', '_');

function readOptions(
  get: (name: keyof UploadOptions) => string | undefined,
  label: (name: keyof UploadOptions) => string,
): UploadOptions {
  const parse = (
    name: keyof UploadOptions,
    parser: (text: string, label: string) => UploadOptions,
  ): UploadOptions => {
    const text = decodeMetadata(get(name) ?? '').trim();
    return text === '' ? {} : parser(text, label(name));
  };
  return {
    ...parse('classId', (text, at) => ({ classId: parseInteger(text, at) })),
    ...parse('tags', (text) => ({ tags: parseList(text) })),
    ...parse('fileName', (fileName) => ({ fileName })),
    ...parse('transcode', (text, at) => ({ transcode: parseBoolean(text, at) })),
    ...parse('screenshot', (text, at) => ({ screenshot: parseBoolean(text, at) })),
    ...parse('watermark', (text, at) => ({ watermark: parseBoolean(text, at) })),
  };
}

function parseInteger(value: string, label: string): number {
  if (!/^[0-9]{1,15}$/.test(value))
    throw new InvalidInput(`${label}: expected a whole number, got "${truncate(value)}"`);
  return Number(value);
}

const BOOLEANS = new Map([
  ['1', true],
  ['true', true],
  ['0', false],
  ['false', false],
]);

function parseBoolean(value: string, label: string): boolean {
  const parsed = BOOLEANS.get(value.toLowerCase());
  if (parsed === undefined)
    throw new InvalidInput(`${label}: expected 0, 1, true, or false, got "${truncate(value)}"`);
  return parsed;
}

function parseList(value: string): string[] {
  const items = value.split(',').map((item) => item.trim());
  return [...new Set(items)].filter((item) => item !== '');
}

/**
 * Metadata travels in HTTP headers, which carry only ASCII safely. Other text is percent-encoded, or in encoded words
 * (`=?UTF-8?B?…?=`, RFC 2047), as S3 returns it.
 */
export function decodeMetadata(value: string): string {
  if (!ENCODED_WORD.test(value)) return decodePercent(value);
  return value
    .replace(/(\?=)\s+(?==\?)/g, '$1') // RFC 2047, 6.2: the space between two encoded words does not count
    .replace(new RegExp(ENCODED_WORD, 'gi'), (_, form: string, text: string) =>
      form.toLowerCase() === 'b' ? Buffer.from(text, 'base64').toString() : decodeQuotedPrintable(text),
    );
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
