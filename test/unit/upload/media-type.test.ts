import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  cleanFileName,
  detectImageType,
  MAX_FILE_NAME_BYTES,
  mediaTypeOf,
  withoutExtension,
} from '../../../lib/upload/media-type.ts';

const NONE = undefined;

describe('mediaTypeOf', () => {
  test.each([
    ['clip.mp4', NONE, 'clip', 'mp4'],
    ['a/b/Clip.MOV', 'image/png', 'Clip', 'mov'],
    ['talk.2026-11-21.mkv', 'application/octet-stream', 'talk.2026-11-21', 'mkv'],
    ['stream.ts', 'video/mp2t', 'stream', 'ts'],
    // Without a known extension, the content type decides.
    ['clip', 'video/quicktime', 'clip', 'mov'],
    ['clip', 'VIDEO/X-Matroska; codecs="avc1"', 'clip', 'mkv'],
    ['clip.part', 'video/webm', 'clip', 'webm'],
    ['clip', 'video/x-ms-asf', 'clip', 'asf'],
    ['clip', 'video/x-msvideo', 'clip', 'avi'],
    ['clip', 'video/mp4', 'clip', 'mp4'],
    ['clip', 'video/x-never-heard-of', 'clip', 'mp4'],
    ['clip', 'video/constructor', 'clip', 'mp4'],
    ['clip', 'video/', 'clip', 'mp4'],
    // Without either, it is a video.
    ['clip', NONE, 'clip', 'mp4'],
    ['clip', '', 'clip', 'mp4'],
    ['clip', 'application/octet-stream', 'clip', 'mp4'],
    ['clip', 'binary/octet-stream; charset=x', 'clip', 'mp4'],
    ['a.b/clip', NONE, 'clip', 'mp4'],
    ['clip.', NONE, 'clip', 'mp4'],
    // A dot at the start does not start an extension.
    ['.mp4', NONE, '.mp4', 'mp4'],
    ['dir/.hidden.mp4', NONE, '.hidden', 'mp4'],
  ])('%s with content type %s is a video', (key, type, fileName, fileType) => {
    expect(mediaTypeOf(key, type)).toEqual({ kind: 'video', fileName, fileType });
  });

  test.each([
    ['cover.jpg', NONE, 'cover', 'jpg'],
    ['cover.PNG', 'video/mp4', 'cover', 'png'],
    ['a/cover.webp', 'image/webp', 'cover', 'webp'],
  ])('%s with content type %s is an image', (key, type, fileName, fileType) => {
    expect(mediaTypeOf(key, type)).toEqual({ kind: 'image', fileName, fileType });
  });

  test.each([
    ['folder/', 'application/x-directory', 'a folder marker, not a file'],
    ['', NONE, 'a folder marker, not a file'],
    ['notes.txt', NONE, 'neither a video nor an image (extension .txt)'],
    ['notes.txt', 'text/plain; charset=utf-8', 'neither a video nor an image (extension .txt, text/plain)'],
    [
      'archive.zip',
      'application/octet-stream',
      'neither a video nor an image (extension .zip, application/octet-stream)',
    ],
    ['notes', 'text/plain', 'neither a video nor an image (no extension, text/plain)'],
    ['cover', 'image/jpeg', 'neither a video nor an image (no extension, image/jpeg)'],
    ['odd.constructor', NONE, 'neither a video nor an image (extension .constructor)'],
  ])('%s with content type %s is neither: %s', (key, type, reason) => {
    expect(mediaTypeOf(key, type)).toEqual({ kind: 'other', reason });
  });

  test('returns a file type of a few letters and digits for any key and content type', () => {
    const anyType = fc.oneof(
      fc.string(),
      fc.string().map((text) => `video/${text}`),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), anyType, (key, type) => {
        const media = mediaTypeOf(key, type);
        if (media.kind !== 'other') expect(media.fileType).toMatch(/^[a-z0-9]{2,5}$/);
      }),
    );
  });
});

describe('cleanFileName', () => {
  const family = '👨‍👩‍👧‍👦';

  test.each([
    ['keeps a plain name', 'My film (1) [final], 50% + ü', 'My film (1) [final], 50% + ü'],
    ['replaces each forbidden character by _', 'a\\b/c:d*e?f"g<h>i|j', 'a_b_c_d_e_f_g_h_i_j'],
    ['replaces typographic quotes', '“quoted”', '_quoted_'],
    ['replaces control characters', 'a\u0000b\tc\u007fd\u0085e\r\nf', 'a_b_c_d_e__f'],
    ['trims spaces', '  film \u3000', 'film'],
    ['returns video when nothing is left', ' \u3000 ', 'video'],
    ['returns video for an empty name', '', 'video'],
    ['keeps 40 bytes', 'x'.repeat(40), 'x'.repeat(40)],
    ['shortens 41 bytes', 'x'.repeat(41), 'x'.repeat(40)],
    ['keeps 13 Chinese characters of three bytes', '电影'.repeat(20), `${'电影'.repeat(6)}电`],
    ['does not divide an emoji', `${'🎬'.repeat(9)}end of it`, `${'🎬'.repeat(9)}end `.trim()],
    ['does not divide a family of 25 bytes', family.repeat(2), family],
    ['does not divide a flag', '🇩🇪'.repeat(6), '🇩🇪'.repeat(5)],
    ['composes marks with their letters', 'e\u0301'.repeat(25), 'é'.repeat(20)],
    ['keeps marks that cannot be composed', 'q\u0323\u0307'.repeat(9), 'q\u0323\u0307'.repeat(8)],
    ['drops a character that is longer than the limit', `a${'\u0335'.repeat(50)}`, 'video'],
    ['replaces half of a surrogate pair', 'film \ud83c', 'film \ufffd'],
    ['trims after shortening', `${'x'.repeat(39)} y`, 'x'.repeat(39)],
  ])('%s', (_, name, clean) => {
    expect(cleanFileName(name)).toBe(clean);
  });

  const anyName = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc
      .array(fc.constantFrom(family, 'e\u0301', '\ud800', ...'电🎬\u0338<" \u00a0\u200d\r\nx'))
      .map((bits) => bits.join('')),
    fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 })
      .map((units) => String.fromCharCode(...units)),
  );

  test('returns a valid name for any name, and keeps a valid name', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        const clean = cleanFileName(name);
        expect(Buffer.byteLength(clean)).toBeLessThanOrEqual(MAX_FILE_NAME_BYTES);
        expect(clean).not.toBe('');
        expect(clean).not.toMatch(/[\\/:*?"<>|“”\p{Cc}]/u);
        expect(clean.isWellFormed()).toBe(true);
        expect(clean.trim()).toBe(clean);
        expect(cleanFileName(clean)).toBe(clean);
      }),
      { numRuns: 1000 },
    );
  });

  test('returns a prefix when only the length is wrong', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9电影🎬ü]{1,80}$/u), (name) => {
        const clean = cleanFileName(name);
        expect(name.startsWith(clean)).toBe(true);
        const rest = [...name.slice(clean.length)][0] ?? '';
        expect(rest === '' || Buffer.byteLength(clean + rest) > MAX_FILE_NAME_BYTES).toBe(true);
      }),
    );
  });
});

test.each([
  ['shows/ep1.mp4', 'shows/ep1'],
  ['shows/ep1.part.MP4', 'shows/ep1.part'],
  ['shows/ep1', 'shows/ep1'],
  ['shows.2026/ep1', 'shows.2026/ep1'],
  ['.hidden', '.hidden'],
  ['shows/.hidden', 'shows/.hidden'],
  ['shows/..mp4', 'shows/.'],
  ['shows/', 'shows/'],
])('withoutExtension(%s) is %s', (key, stem) => {
  expect(withoutExtension(key)).toBe(stem);
});

test.each([
  ['ffd8ffe0', 'jpg'],
  ['ffd8', undefined],
  ['89504e470d0a1a0a', 'png'],
  ['89504e470a0d1a0a', undefined],
  ['474946383761', 'gif'],
  ['474946383961', 'gif'],
  ['474946383861', undefined],
  ['524946460000000057454250', 'webp'],
  ['524946460000000057415645', undefined], // a WAVE file
  ['424d', 'bmp'],
  ['3c737667', undefined],
  ['', undefined],
])('detectImageType returns for %s: %s', (hex, type) => {
  expect(detectImageType(Buffer.from(hex, 'hex'))).toBe(type);
});
