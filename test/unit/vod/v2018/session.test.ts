import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createSessionSealer, type Session, secondsLeft } from '../../../../lib/vod/v2018/session.ts';
import { pinOf } from '../../../support/values.ts';

const SECRET = 'the-very-secret-key-4711';
const VERSION = pinOf(5_000, { versionId: 'v1' });
const SESSION: Session = {
  sessionKey: 'the-session-key',
  bucket: '8a1b-1500000000',
  region: 'ap-chongqing',
  path: '9c81vodcq1500000000/3f2a9b0d5285890781763144364/f0.mp4',
  keys: { secretId: 'temp-id', secretKey: 'temp-key', token: 'temp-token', expiresAt: 1_900_000_000_000 },
  uploadId: 'upload-1',
  sourceContext: 'execution-1',
};
const { seal, open } = createSessionSealer(SECRET);
const SEALED = seal(SESSION, VERSION);
const NOT_FOUND = expect.objectContaining({
  name: 'UploadNotFound',
  message:
    'session of s3://b/clip.mp4: expected one that VOD_SECRET_KEY sealed for this version, got another one. Opening a new upload.',
});

describe('a sealed session', () => {
  test('opens to the same session in another process', () => {
    expect(createSessionSealer(SECRET).open(SEALED, { ...VERSION })).toEqual(SESSION);
    const { uploadId: _, ...single } = SESSION;
    const other = { ...single, keys: null, coverPath: 'a/b.jpg' };
    expect(open(seal(other, VERSION), VERSION)).toEqual(other);
  });

  test('has another text each time', () => {
    expect(seal(SESSION, VERSION)).not.toBe(SEALED);
  });

  test('shows no secret', () => {
    for (const encoding of ['base64', 'latin1'] as const) {
      const text = Buffer.from(SEALED, 'base64').toString(encoding);
      for (const secret of ['session-key', 'temp-', 'upload-1', 'execution-1', SECRET])
        for (const form of [secret, Buffer.from(secret).toString('base64')]) expect(text).not.toContain(form);
    }
  });

  test('does not open when any byte is changed', () => {
    const bytes = Buffer.from(SEALED, 'base64');
    for (const [position, byte] of bytes.entries()) {
      const damaged = Buffer.from(bytes);
      damaged[position] = byte ^ (1 << (position % 8));
      expect(() => open(damaged.toString('base64'), VERSION)).toThrow(NOT_FOUND);
    }
  });

  test('does not open when text is removed, added, or replaced', () => {
    const position = fc.nat(SEALED.length);
    const text = fc.string({ maxLength: 20 });
    fc.assert(
      fc.property(position, position, text, (start, end, inserted) => {
        const damaged = SEALED.slice(0, Math.min(start, end)) + inserted + SEALED.slice(Math.max(start, end));
        fc.pre(damaged !== SEALED);
        expect(() => open(damaged, VERSION)).toThrow(NOT_FOUND);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['another bucket', { bucket: 'c' }],
    ['another key', { key: 'clip2.mp4' }],
    ['another version', { versionId: 'v2' }],
    ['no version', { versionId: undefined }],
    ['another ETag', { etag: 'f' }],
    ['another size', { size: 5_001 }],
  ])('does not open for %s', (_, change) => {
    const { versionId, ...rest } = { ...VERSION, ...change };
    const other = versionId === undefined ? rest : { ...rest, versionId };
    expect(() => open(SEALED, other)).toThrow(expect.objectContaining({ name: 'UploadNotFound' }));
  });

  test('does not open with a rotated secret', () => {
    expect(() => createSessionSealer('rotated').open(SEALED, VERSION)).toThrow(NOT_FOUND);
  });
});

describe('secondsLeft', () => {
  const keys = { secretId: 'i', secretKey: 'k', token: 't', expiresAt: 2_000_000 };

  test.each([
    [400_000, 1_000],
    [1_399_001, 0],
    [1_400_000, 0],
    [3_000_000, 0],
  ])('at %i ms, keys that expire at 2,000,000 ms have %i s until the margin of ten minutes', (now, left) => {
    expect(secondsLeft({ keys }, now)).toBe(left);
  });

  test('is infinite for the keys of the account', () => {
    expect(secondsLeft({ keys: null }, 0)).toBe(Number.POSITIVE_INFINITY);
  });
});
