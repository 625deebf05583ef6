import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidInput, InvalidSetting } from '../../../lib/errors.ts';
import {
  mergeOptions,
  optionsFromEnvironment,
  optionsFromMetadata,
} from '../../../lib/upload/upload-options.ts';

const read = (metadata: Record<string, string>) => optionsFromMetadata(metadata, 's3://b/clip.mp4');

describe('mergeOptions', () => {
  test('merges field by field, and a later source wins', () => {
    const defaults = { classId: 1, tags: ['a'], transcode: true, fileName: 'x' };
    const later = [{ classId: 0, screenshot: true }, undefined, { transcode: false, tags: [] }];
    const merged = { classId: 0, tags: [], transcode: false, screenshot: true, fileName: 'x' };
    expect(mergeOptions(defaults, ...later)).toEqual(merged);
  });

  test('does not change its sources', () => {
    const defaults = Object.freeze({ classId: 1 });
    expect(mergeOptions(defaults, { classId: 2 })).toEqual({ classId: 2 });
    expect(defaults).toEqual({ classId: 1 });
    expect(mergeOptions(undefined)).toEqual({});
  });
});

describe('optionsFromMetadata', () => {
  test('reads the entries of the options only', () => {
    expect(
      read({
        'vod-class-id': '12',
        'vod-tags': 'news, sport ,,news',
        'vod-transcode': '1',
        'vod-screenshot': 'TRUE',
        'vod-watermark': 'false',
        'vod-file-name': 'Evening news',
        'vod-file-id': '123',
        'vod-sha1': 'x',
        author: 'me',
      }),
    ).toEqual({
      classId: 12,
      tags: ['news', 'sport'],
      transcode: true,
      screenshot: true,
      watermark: false,
      fileName: 'Evening news',
    });
    expect(read({})).toEqual({});
  });

  test('ignores empty entries', () => {
    const empty = { 'vod-class-id': '', 'vod-tags': ' ', 'vod-transcode': ' ', 'vod-file-name': '' };
    expect(read(empty)).toEqual({});
    expect(read({ 'vod-tags': ' , ' })).toEqual({ tags: [] });
  });

  test.each([
    ['as plain text', 'Evening news', 'Evening news'],
    ['percent-encoded', '%E7%94%B5%E5%BD%B1%20%F0%9F%8E%AC', '电影 🎬'],
    ['in UTF-8, each byte as one character', Buffer.from('电影 à 🎬').toString('latin1'), '电影 à 🎬'],
    ['in Latin-1', 'd\xe9j\xe0 vu', 'déjà vu'],
    ['with a literal percent sign', '100 % pure', '100 % pure'],
    ['RFC 2047, B', '=?UTF-8?B?55S15b2x?=', '电影'],
    ['RFC 2047, lower case', '=?utf-8?b?55S15b2x?=', '电影'],
    ['RFC 2047, B, in several words', '=?UTF-8?B?55S1?= =?UTF-8?B?5b2x?=', '电影'],
    ['RFC 2047, Q', '=?UTF-8?Q?=E7=94=B5_=C3=BC_plain?=', '电 ü plain'],
    ['RFC 2047, Q, in several words', '=?UTF-8?Q?=E7=94=B5?= =?UTF-8?Q?=E5=BD=B1?=', '电影'],
    // Only the space between two encoded words is removed: https://www.rfc-editor.org/rfc/rfc2047#section-6.2
    ['RFC 2047, B, between plain words', 'The =?UTF-8?B?55S15b2x?= again', 'The 电影 again'],
    ['RFC 2047, Q, between plain words', 'The =?UTF-8?Q?=E7=94=B5?= again', 'The 电 again'],
  ])('decodes a name %s', (_, value, fileName) => {
    expect(read({ 'vod-file-name': value })).toEqual({ fileName });
  });

  test('decodes tags in these forms', () => {
    expect(read({ 'vod-tags': '%E7%94%B5,b' })).toEqual({ tags: ['电', 'b'] });
    expect(read({ 'vod-tags': '=?UTF-8?B?55S1LOW9sQ==?=' })).toEqual({ tags: ['电', '影'] });
  });

  const anyText = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 30 })
    .filter((text) => text.trim() === text && !/^\p{Cc}|\p{Cc}$/u.test(text));

  test('decodes any text in percent-encoding', () => {
    fc.assert(
      fc.property(anyText, (fileName) => {
        expect(read({ 'vod-file-name': encodeURIComponent(fileName) })).toEqual({ fileName });
      }),
    );
  });

  test('decodes any text in RFC 2047, B', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.constant('100%25 ü')), (fileName) => {
        const word = `=?UTF-8?B?${Buffer.from(fileName).toString('base64')}?=`;
        expect(read({ 'vod-file-name': word })).toEqual({ fileName });
      }),
    );
  });

  test('decodes any text in RFC 2047, Q', () => {
    // "_" encodes a space. "=", "?", and "_" themselves must be encoded.
    const encoded = (text: string) =>
      [...Buffer.from(text)]
        .map((byte) =>
          byte === 0x20
            ? '_'
            : /[A-Za-z0-9%+.-]/.test(String.fromCharCode(byte))
              ? String.fromCharCode(byte)
              : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`,
        )
        .join('');
    fc.assert(
      fc.property(fc.oneof(anyText, fc.constant('50 % ü')), (fileName) => {
        expect(read({ 'vod-file-name': `=?UTF-8?Q?${encoded(fileName)}?=` })).toEqual({ fileName });
      }),
    );
  });

  test.each([
    ['vod-class-id', 'x1', 'expected a whole number, got "x1"'],
    ['vod-class-id', '-1', 'expected a whole number, got "-1"'],
    ['vod-class-id', '1.5', 'expected a whole number, got "1.5"'],
    ['vod-class-id', '9'.repeat(16), `expected a whole number, got "${'9'.repeat(16)}"`],
    ['vod-transcode', 'yes', 'expected 0, 1, true, or false, got "yes"'],
    ['vod-screenshot', '2', 'expected 0, 1, true, or false, got "2"'],
    ['vod-watermark', 'constructor', 'expected 0, 1, true, or false, got "constructor"'],
  ])('rejects %s: %s with the object and the entry', (name, value, reason) => {
    expect(() => read({ [name]: value })).toThrow(InvalidInput);
    expect(() => read({ [name]: value })).toThrow(`s3://b/clip.mp4: metadata entry ${name}: ${reason}`);
  });

  test('truncates a long value in the error', () => {
    const long = '9'.repeat(10_000);
    expect(() => read({ 'vod-class-id': long })).toThrow(/^.{1,300}$/);
    expect(() => read({ 'vod-transcode': long })).toThrow(/^.{1,300}$/);
  });

  test('returns options, or an error that names the entry, for any value of an entry', () => {
    const anyValue = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('%20', '=?UTF-8?B?ICA=?=', '%00', '%zz', '=?utf-8?b?', '%', '%c0', '=?UTF-8?Q?=ZZ?='),
    );
    const names = ['class-id', 'tags', 'transcode', 'screenshot', 'watermark', 'file-name', '__proto__'];
    fc.assert(
      fc.property(fc.constantFrom(...names), anyValue, (name, value) => {
        try {
          expect(Object.keys(read({ [`vod-${name}`]: value })).length).toBeLessThanOrEqual(1);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidInput);
          expect(String(error)).toContain(`s3://b/clip.mp4: metadata entry vod-${name}: `);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('optionsFromEnvironment', () => {
  test('reads the settings, but no file name', () => {
    const flags = { VOD_TRANSCODE: 'true', VOD_SCREENSHOT: '0', VOD_WATERMARK: '' };
    const env = { VOD_CLASS_ID: '7', VOD_TAGS: 'a,b', ...flags, VOD_FILE_NAME: 'ignored', PATH: '/bin' };
    const options = { classId: 7, tags: ['a', 'b'], transcode: true, screenshot: false };
    expect(optionsFromEnvironment(env)).toEqual(options);
    expect(optionsFromEnvironment({})).toEqual({});
  });

  test.each(['CLASS_ID', 'TRANSCODE', 'SCREENSHOT', 'WATERMARK'])('names an invalid VOD_%s', (name) => {
    const read = () => optionsFromEnvironment({ [`VOD_${name}`]: 'seven' });
    expect(read).toThrow(InvalidSetting);
    expect(read).toThrow(`setting VOD_${name}: expected `);
  });
});
