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

describe('what an object is', () => {
  test.each([
    ['clip.mp4', NONE, 'clip', 'mp4'],
    ['a/b/Clip.MOV', 'image/png', 'Clip', 'mov'],
    ['talk.2026-11-21.mkv', 'application/octet-stream', 'talk.2026-11-21', 'mkv'],
    ['stream.ts', 'video/mp2t', 'stream', 'ts'],
    // No suffix of its own, or one that means nothing: the content type tells.
    ['clip', 'video/quicktime', 'clip', 'mov'],
    ['clip', 'VIDEO/X-Matroska; codecs="avc1"', 'clip', 'mkv'],
    ['clip.part', 'video/webm', 'clip', 'webm'],
    ['clip', 'video/x-ms-asf', 'clip', 'asf'],
    ['clip', 'video/x-msvideo', 'clip', 'avi'],
    ['clip', 'video/mp4', 'clip', 'mp4'],
    ['clip', 'video/x-never-heard-of', 'clip', 'mp4'],
    ['clip', 'video/constructor', 'clip', 'mp4'],
    ['clip', 'video/', 'clip', 'mp4'],
    // Nothing says what it is: whoever drops it into this bucket means a video.
    ['clip', NONE, 'clip', 'mp4'],
    ['clip', '', 'clip', 'mp4'],
    ['clip', 'application/octet-stream', 'clip', 'mp4'],
    ['clip', 'binary/octet-stream; charset=x', 'clip', 'mp4'],
    ['a.b/clip', NONE, 'clip', 'mp4'],
    ['clip.', NONE, 'clip', 'mp4'],
    // A dot at the beginning begins a name, not a suffix.
    ['.mp4', NONE, '.mp4', 'mp4'],
    ['dir/.hidden.mp4', NONE, '.hidden', 'mp4'],
  ])('%s of type %s is a video', (key, type, fileName, fileType) => {
    expect(mediaTypeOf(key, type)).toEqual({ kind: 'video', fileName, fileType });
  });

  test.each([
    ['cover.jpg', NONE, 'cover', 'jpg'],
    ['cover.PNG', 'video/mp4', 'cover', 'png'],
    ['a/cover.webp', 'image/webp', 'cover', 'webp'],
  ])('%s of type %s is an image', (key, type, fileName, fileType) => {
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
  ])('%s of type %s is neither: %s', (key, type, reason) => {
    expect(mediaTypeOf(key, type)).toEqual({ kind: 'other', reason });
  });

  test('a type fits the service: a few letters and digits, whatever the key and the content type', () => {
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

describe('a file name that the service takes', () => {
  const family = '👨‍👩‍👧‍👦';

  test.each([
    ['a plain one stays', 'My film (1) [final], 50% + ü', 'My film (1) [final], 50% + ü'],
    ['each forbidden character becomes one _', 'a\\b/c:d*e?f"g<h>i|j', 'a_b_c_d_e_f_g_h_i_j'],
    ['so do typographic quotes', '“quoted”', '_quoted_'],
    ['so do control characters', 'a\u0000b\tc\u007fd\u0085e\r\nf', 'a_b_c_d_e__f'],
    ['spaces around it go', '  film \u3000', 'film'],
    ['nothing is left: it is called something', ' \u3000 ', 'video'],
    ['no name at all', '', 'video'],
    ['40 bytes stay', 'x'.repeat(40), 'x'.repeat(40)],
    ['41 do not', 'x'.repeat(41), 'x'.repeat(40)],
    ['Chinese: three bytes each, 13 fit', '电影'.repeat(20), `${'电影'.repeat(6)}电`],
    ['emoji: cut between, not within', `${'🎬'.repeat(9)}end of it`, `${'🎬'.repeat(9)}end `.trim()],
    ['a family is one character of 25 bytes', family.repeat(2), family],
    ['flags go whole or not at all', '🇩🇪'.repeat(6), '🇩🇪'.repeat(5)],
    ['marks combine with their letter where they can', 'e\u0301'.repeat(25), 'é'.repeat(20)],
    ['and stay with it where they cannot', 'q\u0323\u0307'.repeat(9), 'q\u0323\u0307'.repeat(8)],
    ['one character longer than the limit', `a${'\u0335'.repeat(50)}`, 'video'],
    ['half a character', 'film \ud83c', 'film \ufffd'],
    ['a space where it was cut', `${'x'.repeat(39)} y`, 'x'.repeat(39)],
  ])('%s', (_, name, clean) => {
    expect(cleanFileName(name)).toBe(clean);
  });

  const anyName = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc
      .array(
        fc.constantFrom(
          '电',
          '🎬',
          family,
          'e\u0301',
          '\u0338',
          '<',
          '"',
          ' ',
          '\u00a0',
          '\u200d',
          '\r',
          '\n',
          'x',
          '\ud800',
        ),
      )
      .map((bits) => bits.join('')),
    fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 60 })
      .map((units) => String.fromCharCode(...units)),
  );

  test('comes of any name; and such a name stays as it is', () => {
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

  test('is the beginning of the name where only its length was wrong', () => {
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
])('the stem of %s is %s', (key, stem) => {
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
])('bytes that begin with %s are %s', (hex, kind) => {
  expect(detectImageType(Buffer.from(hex, 'hex'))).toBe(kind);
});
