/** Decides from key and content type whether an object is a video or an image, and its name in VOD. */

export type Media =
  | { kind: 'video'; fileName: string; fileType: string }
  | { kind: 'image'; fileName: string; fileType: string }
  | { kind: 'other'; reason: string };

export const VIDEO_EXTENSIONS = new Set(
  '3gp asf avi dat f4v flv m2ts m4v mkv mov mp4 mpe mpeg mpg mts mxf ogv rm rmvb ts vob webm wmv'.split(' '),
);
export const IMAGE_EXTENSIONS = new Set('bmp gif jpeg jpg png webp'.split(' '));

/** Content types whose subtype is not the extension. */
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

/** The content types that upload tools set by default. */
const UNKNOWN_TYPES = new Set(['', 'application/octet-stream', 'binary/octet-stream']);

/**
 * The extension decides. Without a known extension, a `video/…` content type decides. An object with neither an extension nor a
 * specific content type counts as a video, because the bucket is for videos.
 */
export function mediaTypeOf(key: string, contentType: string | undefined): Media {
  const base = key.slice(key.lastIndexOf('/') + 1);
  if (base === '') return { kind: 'other', reason: 'a folder marker, not a file' };
  const dot = base.lastIndexOf('.');
  const extension = dot > 0 ? base.slice(dot + 1).toLowerCase() : '';
  const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const fileName = cleanFileName(dot > 0 ? base.slice(0, dot) : base);

  if (VIDEO_EXTENSIONS.has(extension)) return { kind: 'video', fileName, fileType: extension };
  if (IMAGE_EXTENSIONS.has(extension)) return { kind: 'image', fileName, fileType: extension };
  if (type.startsWith('video/')) return { kind: 'video', fileName, fileType: extensionOf(type) };
  if (extension === '' && UNKNOWN_TYPES.has(type)) return { kind: 'video', fileName, fileType: 'mp4' };
  return {
    kind: 'other',
    reason: `neither a video nor an image (${extension ? `extension .${extension}` : 'no extension'}${type ? `, ${type}` : ''})`,
  };
}

function extensionOf(type: string): string {
  const plain = type.slice('video/'.length).replace(/^x-/, '');
  return EXTENSION_OF_TYPE[type] ?? (VIDEO_EXTENSIONS.has(plain) ? plain : 'mp4');
}

/** VOD limits `fileName` to a length of 40. The unit is not documented, so this is the stricter one: bytes of UTF-8. */
export const MAX_FILE_NAME_BYTES = 40;

/** VOD forbids `\ / : * ? " < > |`. Its page shows `"` as typographic quotes, so they count too, and control characters. */
const FORBIDDEN = /[\\/:*?"“”<>|\p{Cc}]/gu;

/** Makes a name that VOD accepts: replaces forbidden characters, and shortens it between grapheme clusters. */
export function cleanFileName(name: string): string {
  const clean = name.toWellFormed().normalize('NFC').replace(FORBIDDEN, '_').trim();
  if (Buffer.byteLength(clean) <= MAX_FILE_NAME_BYTES) return clean || 'video';
  // Created here, because it takes 20 ms, which would delay each start of a function.
  const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });
  let prefix = '';
  let bytes = 0;
  for (const { segment } of graphemes.segment(clean)) {
    bytes += Buffer.byteLength(segment);
    if (bytes > MAX_FILE_NAME_BYTES) break;
    prefix += segment;
  }
  return prefix.trim() || 'video';
}

/** The key without its extension. A video and its images share it. */
export function withoutExtension(key: string): string {
  const slash = key.lastIndexOf('/');
  const dot = key.lastIndexOf('.');
  return dot > slash + 1 ? key.slice(0, dot) : key;
}

const isAscii = (bytes: Uint8Array, offset: number, text: string): boolean =>
  Buffer.from(bytes.subarray(offset, offset + text.length)).toString('latin1') === text;

/** The first bytes of each image type. */
const MAGIC: Readonly<Record<string, (bytes: Uint8Array) => boolean>> = {
  jpg: (bytes) => isAscii(bytes, 0, '\xff\xd8\xff'), // ISO/IEC 10918-1, B.1.1.3: SOI, and the next marker
  png: (bytes) => isAscii(bytes, 0, '\x89PNG\r\n\x1a\n'), // https://www.w3.org/TR/png-3/#3PNGsignature
  gif: (bytes) => isAscii(bytes, 0, 'GIF87a') || isAscii(bytes, 0, 'GIF89a'), // https://www.w3.org/Graphics/GIF/spec-gif89a.txt
  webp: (bytes) => isAscii(bytes, 0, 'RIFF') && isAscii(bytes, 8, 'WEBP'), // RFC 9649, 2.4
  bmp: (bytes) => isAscii(bytes, 0, 'BM'), // https://learn.microsoft.com/windows/win32/api/wingdi/ns-wingdi-bitmapfileheader
};

/** Detects `jpg`, `png`, `gif`, `webp`, or `bmp` from the first bytes. */
export const detectImageType = (bytes: Uint8Array): string | undefined =>
  Object.entries(MAGIC).find(([, matches]) => matches(bytes))?.[0];
