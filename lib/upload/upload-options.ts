import { InvalidInput } from '../errors.ts';
import type { UploadOptions } from '../schemas.ts';
import { truncate } from '../schemas.ts';

/** Names of the options in object metadata (`x-amz-meta-…`) and, upper-cased with `_`, in the functions' environment. */
const METADATA_KEYS = {
  classId: 'vod-class-id',
  tags: 'vod-tags',
  transcode: 'vod-transcode',
  screenshot: 'vod-screenshot',
  watermark: 'vod-watermark',
  fileName: 'vod-file-name',
} as const satisfies Record<keyof UploadOptions, string>;

/** Options are merged field by field; a later source wins. */
export const mergeOptions = (...sources: readonly (UploadOptions | undefined)[]): UploadOptions =>
  Object.assign({}, ...sources);

/**
 * The options that an object's metadata sets. Keys are lower case without `x-amz-meta-`.
 * @throws {InvalidInput} naming the object, the entry, and what it may be
 */
export const optionsFromMetadata = (
  metadata: Readonly<Record<string, string>>,
  object: string,
): UploadOptions =>
  read(
    (name) => metadata[METADATA_KEYS[name]],
    (name) => `${object}: metadata entry ${METADATA_KEYS[name]}`,
  );

/** The stack's defaults, from `VOD_CLASS_ID`, `VOD_TAGS`, `VOD_TRANSCODE`, `VOD_SCREENSHOT`, `VOD_WATERMARK`. */
export const optionsFromEnvironment = (env: Readonly<Record<string, string | undefined>>): UploadOptions =>
  read(
    (name) => (name === 'fileName' ? undefined : env[variable(name)]),
    (name) => `setting ${variable(name)}`,
  );

const variable = (name: keyof UploadOptions): string =>
  METADATA_KEYS[name].toUpperCase().replaceAll('-', '_');

function read(
  get: (name: keyof UploadOptions) => string | undefined,
  label: (name: keyof UploadOptions) => string,
): UploadOptions {
  const text = (name: keyof UploadOptions): string | undefined =>
    decodeMetadata(get(name) ?? '').trim() || undefined;
  const classId = text('classId');
  const tags = text('tags');
  const fileName = text('fileName');
  return {
    ...(classId !== undefined && { classId: parseInteger(classId, label('classId')) }),
    ...(tags !== undefined && { tags: parseList(tags) }),
    ...(fileName !== undefined && { fileName }),
    ...flags(text, label),
  };
}

function flags(
  text: (name: keyof UploadOptions) => string | undefined,
  label: (name: keyof UploadOptions) => string,
) {
  const set: Partial<Record<'transcode' | 'screenshot' | 'watermark', boolean>> = {};
  for (const name of ['transcode', 'screenshot', 'watermark'] as const) {
    const value = text(name);
    if (value !== undefined) set[name] = parseBoolean(value, label(name));
  }
  return set;
}

function parseInteger(value: string, what: string): number {
  if (!/^[0-9]{1,15}$/.test(value))
    throw new InvalidInput(`${what}: expected a whole number, got "${truncate(value)}"`);
  return Number(value);
}

function parseBoolean(value: string, what: string): boolean {
  const known = { '1': true, true: true, '0': false, false: false };
  const found = Object.entries(known).find(([word]) => word === value.toLowerCase());
  if (!found) throw new InvalidInput(`${what}: expected 0, 1, true, or false, got "${truncate(value)}"`);
  return found[1];
}

const parseList = (value: string): string[] => [
  ...new Set(
    value
      .split(',')
      .map((tag) => tag.trim())
      .filter((tag) => tag !== ''),
  ),
];

/**
 * Metadata travels in HTTP headers, where only ASCII is safe. Other text comes percent-encoded, or as the encoded words
 * (`=?UTF-8?B?…?=`, RFC 2047) that S3 itself answers for it.
 */
export function decodeMetadata(value: string): string {
  if (!ENCODED_WORD.test(value)) return decodePercent(value);
  return value
    .replace(/(\?=)\s+(?==\?)/g, '$1') // space between two encoded words is none of the text: RFC 2047, 6.2
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
    return text; // a plain "100 %" is meant as it stands
  }
}
