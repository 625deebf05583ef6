import { describe, expect, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import type { ObjectHead } from '../../../lib/s3/head-object.ts';
import type { MarkedFile } from '../../../lib/write-back/marker.ts';
import { decideWriteBack, type PlacedSettings } from '../../../lib/write-back/write-back.ts';
import { fileId, headOf, pinOf, sha1, storedAs } from '../../support/values.ts';

const FILE = storedAs('film');
const PIN = pinOf(4);
const TAGS_MODE = { ...DEFAULT_WRITE_BACK, mode: 'tags' } as const;
const NOW = new Date('2030-01-02T03:04:05Z');
const MARKER = {
  'vod-file-id': FILE.fileId,
  'vod-url': FILE.url,
  'vod-sha1': FILE.sha1,
  'vod-etag': PIN.etag,
  'vod-uploaded-at': NOW.toISOString(),
};

const METADATA = { author: 'me' };
const createHead = (more: Partial<ObjectHead> = {}, response: Partial<ObjectHead['response']> = {}) =>
  headOf(PIN, { metadata: METADATA, etagIsMd5: true, response: { $metadata: {}, ...response }, ...more });

const decide = (head: ObjectHead, settings: PlacedSettings = DEFAULT_WRITE_BACK, file: MarkedFile = FILE) =>
  decideWriteBack(head, PIN, file, settings, NOW);

describe('decideWriteBack', () => {
  test('writes the marker next to the metadata of the user, in place of an earlier marker', () => {
    const metadata = { author: 'me', 'vod-file-id': '7', 'vod-checksum': 'CRC32:AAAA' };
    expect(decide(createHead({ metadata }))).toEqual({
      action: 'write-metadata',
      metadata: { author: 'me', ...MARKER },
    });
  });

  test('adds a CRC to the marker of an object that is copied in parts', () => {
    const head = createHead({ checksum: { algorithm: 'CRC32', value: 'AAAA' } });
    expect(decide(head, { ...DEFAULT_WRITE_BACK, maxCopyBytes: 3 })).toMatchObject({
      metadata: { 'vod-checksum': 'CRC32:AAAA' },
    });
    expect(decide(head)).not.toMatchObject({ metadata: { 'vod-checksum': expect.anything() } });
    const file = { ...FILE, crc64: 'rosUhgp5mIg=' };
    expect(decide(createHead(), { ...DEFAULT_WRITE_BACK, maxCopyBytes: 3 }, file)).toMatchObject({
      metadata: { 'vod-checksum': 'CRC64NVME:rosUhgp5mIg=' },
    });
  });

  test("keeps a user's vod-cover-of on an image", () => {
    const head = createHead({ metadata: { 'vod-cover-of': 'film.mp4' } });
    expect(decide(head, DEFAULT_WRITE_BACK, { ...FILE, coverOf: [fileId('2'), fileId('1')] })).toMatchObject({
      metadata: { 'vod-cover-of': 'film.mp4', 'vod-covered': '1 2' },
    });
  });

  test.each([
    ['the same version', PIN],
    ['the copy that an earlier attempt made', { ...PIN, etag: 'copy', versionId: 'v2' }],
  ])('keeps a marker that is already there, on %s', (_, pin) => {
    expect(decide(createHead({ pin, metadata: MARKER }))).toEqual({ action: 'keep' });
  });

  test.each([
    ['another ETag', { pin: { ...PIN, etag: 'other' } }],
    ['another version of the same bytes', { pin: { ...PIN, versionId: 'v2' } }],
    ['the marker of other bytes', { pin: { ...PIN, etag: 'o' }, metadata: { ...MARKER, 'vod-etag': 'x' } }],
  ])('rejects an object with %s', (_, more) => {
    expect(decide(createHead(more))).toEqual({ action: 'reject-changed' });
  });

  test('rejects an object whose SHA-1 in S3 differs, and removes its marker', () => {
    const other = sha1('other');
    expect(decide(createHead({ sha1: other }))).toEqual({
      action: 'reject-mismatch',
      problem: expect.stringContaining(other),
    });
    const metadata = { ...METADATA, ...MARKER };
    const problem = expect.stringContaining(other);
    const reset = { action: 'reject-mismatch', problem, metadata: METADATA };
    expect(decide(createHead({ sha1: other, metadata }))).toEqual(reset);
  });

  test('writes no metadata in mode tags, not even to remove a marker of other bytes', () => {
    const other = sha1('other');
    const decision = decide(createHead({ sha1: other, metadata: MARKER }), TAGS_MODE);
    expect(decision).toEqual({ action: 'reject-mismatch', problem: expect.stringContaining(other) });
  });

  const GLACIER = { StorageClass: 'GLACIER' } as const;
  const RESTORED = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"';
  test.each<[string, Partial<ObjectHead['response']>, RegExp | undefined]>([
    ['GLACIER', GLACIER, /archived \(GLACIER\)/],
    ['GLACIER in restore', { ...GLACIER, Restore: 'ongoing-request="true"' }, /archived \(GLACIER\)/],
    ['restored GLACIER', { ...GLACIER, Restore: RESTORED }, undefined],
    [
      'the archive tier of Intelligent-Tiering',
      { StorageClass: 'INTELLIGENT_TIERING', ArchiveStatus: 'DEEP_ARCHIVE_ACCESS' },
      /archived \(DEEP_ARCHIVE_ACCESS\)/,
    ],
    ['Intelligent-Tiering', { StorageClass: 'INTELLIGENT_TIERING' }, undefined],
    ['unreadable metadata', { MissingMeta: 2 }, /2 of its metadata entries/],
  ])('chooses tags for an object that cannot be copied: %s', (_, response, reason) => {
    const decision = decide(createHead({}, response));
    expect(decision.action).toBe(reason ? 'write-tags' : 'write-metadata');
    if (reason) expect(decision).toMatchObject({ reason: expect.stringMatching(reason) });
  });

  test('chooses an annotation with the checksum of S3, and tags for an object that cannot have it', () => {
    const head = createHead({ checksum: { algorithm: 'CRC32', value: 'AAAA' } }, { StorageClass: 'GLACIER' });
    const { 'vod-uploaded-at': _, ...tags } = MARKER;
    const marker = { ...MARKER, 'vod-checksum': 'CRC32:AAAA' };
    const mode = 'annotation' as const;
    expect(decide(head, { ...DEFAULT_WRITE_BACK, mode })).toEqual({
      action: 'write-annotation',
      marker,
      tags,
    });
  });

  test('chooses tags without a reason in the mode "tags"', () => {
    const { 'vod-uploaded-at': _, ...tags } = MARKER;
    expect(decide(createHead(), TAGS_MODE)).toEqual({ action: 'write-tags', tags });
  });
});
