/** What an object is, by its key and content type, and what the service is to call it. */

export type Media =
  | { kind: 'video'; fileName: string; fileType: string }
  | { kind: 'image'; fileName: string; fileType: string }
  | { kind: 'other'; reason: string };

export const VIDEO_EXTENSIONS = new Set(
  '3gp asf avi dat f4v flv m2ts m4v mkv mov mp4 mpe mpeg mpg mts mxf ogv rm rmvb ts vob webm wmv'.split(' '),
);
export const IMAGE_EXTENSIONS = new Set('bmp gif jpeg jpg png webp'.split(' '));

/** Types of `video/…` content whose name is not their suffix. */
const EXTENSION_OF_TYPE: Readonly<Record<string, string>> = {
  'video/3gpp': '3gp',
  'video/mp2t': 'ts',
  'video/mpeg': 'mpg',
  'video/ogg': 'ogv',
  'video/quicktime': 'mov',
  'video/x-flv': 'flv',
  'video/x-m4v': 'm4v',
  'video/x-matroska': 'mkv',
  'video/x-ms-asf': 'asf',
  'video/x-ms-wmv': 'wmv',
  'video/x-msvideo': 'avi',
};

/** What uploaders declare when they know nothing. */
const UNKNOWN_TYPES = new Set(['', 'application/octet-stream', 'binary/octet-stream']);

/**
 * The suffix of the key decides. Where the key has none, or one that means nothing here, a `video/…` content type does.
 * A name without any suffix and without a telling content type is taken for a video: whoever drops it into this bucket
 * means it to be one.
 */
export function mediaTypeOf(key: string, contentType: string | undefined): Media {
  const base = key.slice(key.lastIndexOf('/') + 1);
  if (base === '') return { kind: 'other', reason: 'a folder marker, not a file' };
  const dot = base.lastIndexOf('.');
  const suffix = dot > 0 ? base.slice(dot + 1).toLowerCase() : '';
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const fileName = cleanFileName(dot > 0 ? base.slice(0, dot) : base);

  if (VIDEO_EXTENSIONS.has(suffix)) return { kind: 'video', fileName, fileType: suffix };
  if (IMAGE_EXTENSIONS.has(suffix)) return { kind: 'image', fileName, fileType: suffix };
  if (type.startsWith('video/')) return { kind: 'video', fileName, fileType: extensionOf(type) };
  if (suffix === '' && UNKNOWN_TYPES.has(type)) return { kind: 'video', fileName, fileType: 'mp4' };
  return {
    kind: 'other',
    reason: `neither a video nor an image (${suffix ? `suffix .${suffix}` : 'no suffix'}${type ? `, ${type}` : ''})`,
  };
}

function extensionOf(type: string): string {
  const plain = type.slice('video/'.length).replace(/^x-/, '');
  return EXTENSION_OF_TYPE[type] ?? (VIDEO_EXTENSIONS.has(plain) ? plain : 'mp4');
}

/** `fileName` of InitUpload: at most 40 bytes of UTF-8 (the narrower of the two readings: 40 characters, 40 bytes). */
export const MAX_FILE_NAME_BYTES = 40;

/** Forbidden by the service: `\ / : * ? " < > |`, the typographic quotes its page shows for `"`, control characters. */
const FORBIDDEN = /[\\/:*?"“”<>|\p{Cc}]/gu;

/** A name that the service takes, as near to `name` as its rules allow; cut between characters as a reader sees them. */
export function cleanFileName(name: string): string {
  const clean = name.toWellFormed().normalize('NFC').replace(FORBIDDEN, '_').trim();
  if (Buffer.byteLength(clean) <= MAX_FILE_NAME_BYTES) return clean || 'video';
  // Made here, since making one takes 20 ms, which each start of a function would pay.
  const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });
  let kept = '';
  let bytes = 0;
  for (const { segment } of graphemes.segment(clean)) {
    bytes += Buffer.byteLength(segment);
    if (bytes > MAX_FILE_NAME_BYTES) break;
    kept += segment;
  }
  return kept.trim() || 'video';
}

/** A key without its suffix: a video and its images have it in common. */
export function withoutExtension(key: string): string {
  const slash = key.lastIndexOf('/');
  const dot = key.lastIndexOf('.');
  return dot > slash + 1 ? key.slice(0, dot) : key;
}

const isAscii = (bytes: Uint8Array, offset: number, text: string): boolean =>
  Buffer.from(bytes.subarray(offset, offset + text.length)).toString('latin1') === text;

/** How files of each kind begin. */
const MAGIC: Readonly<Record<string, (bytes: Uint8Array) => boolean>> = {
  jpg: (bytes) => isAscii(bytes, 0, '\xff\xd8\xff'), // ISO/IEC 10918-1, B.1.1.3: SOI, and the next marker
  png: (bytes) => isAscii(bytes, 0, '\x89PNG\r\n\x1a\n'), // https://www.w3.org/TR/png-3/#3PNGsignature
  gif: (bytes) => isAscii(bytes, 0, 'GIF87a') || isAscii(bytes, 0, 'GIF89a'), // https://www.w3.org/Graphics/GIF/spec-gif89a.txt
  webp: (bytes) => isAscii(bytes, 0, 'RIFF') && isAscii(bytes, 8, 'WEBP'), // RFC 9649, 2.4
  bmp: (bytes) => isAscii(bytes, 0, 'BM'), // https://learn.microsoft.com/windows/win32/api/wingdi/ns-wingdi-bitmapfileheader
};

/** What kind of image these bytes are: `jpg`, `png`, `gif`, `webp`, `bmp`, or none of them. */
export const detectImageType = (bytes: Uint8Array): string | undefined =>
  Object.entries(MAGIC).find(([, begins]) => begins(bytes))?.[0];
