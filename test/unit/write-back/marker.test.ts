import { describe, expect, test } from 'vitest';
import type { ObjectHead } from '../../../lib/s3/head-object.ts';
import { type Marker, verifiedFile } from '../../../lib/write-back/marker.ts';
import { headOf, pinOf, sha1, storedAs } from '../../support/values.ts';

const FILE = storedAs('the bytes of a film');

describe('verifiedFile', () => {
  const metadata: Record<string, string> = {
    'vod-file-id': FILE.fileId,
    'vod-url': FILE.url,
    'vod-sha1': FILE.sha1,
    'vod-etag': 'e',
  };
  const other = sha1('other');
  const verify = (more: Partial<ObjectHead>, place: Marker['place'] = 'metadata') => {
    const head = headOf(pinOf(19), { metadata, ...more });
    return verifiedFile(head, { place, entries: head.metadata });
  };
  const checksum = { algorithm: 'CRC32', value: 'AAAA' } as const;
  const otherETag = { ...metadata, 'vod-etag': 'another' };
  const withChecksum = (value: string) => ({ metadata: { ...otherETag, 'vod-checksum': value } });

  test.each<[string, Partial<ObjectHead>]>([
    ['the SHA-1 of S3 matches', { sha1: FILE.sha1 }],
    ['the SHA-1 of S3 matches and the ETag differs', { sha1: FILE.sha1, metadata: otherETag }],
    ['the ETag is an MD5 and matches', { etagIsMd5: true }],
    ['another checksum of the whole object matches', { checksum, ...withChecksum('CRC32:AAAA') }],
  ])('returns the file when %s', (_, more) => {
    expect(verify(more)).toEqual(FILE);
  });

  test.each<[string, Partial<ObjectHead>]>([
    ['the SHA-1 of S3 differs', { sha1: other }],
    ['the SHA-1 of S3 differs and the ETag matches', { sha1: other, etagIsMd5: true }],
    ['the ETag is an MD5 and differs', { etagIsMd5: true, metadata: otherETag }],
    ['the ETag matches and is no MD5', {}],
    ['nothing matches', { metadata: otherETag }],
    ['the checksum differs', { checksum, ...withChecksum('CRC32:BBBB') }],
    ['the checksum has another algorithm', { checksum, ...withChecksum('CRC32C:AAAA') }],
    ['the metadata has no checksum', { checksum, metadata: otherETag }],
    ['S3 has no checksum', withChecksum('CRC32:AAAA')],
    ['the fileId is malformed', { etagIsMd5: true, metadata: { ...metadata, 'vod-file-id': 'none' } }],
    ['the SHA-1 is malformed', { etagIsMd5: true, metadata: { ...metadata, 'vod-sha1': 'a'.repeat(39) } }],
  ])('returns undefined when %s', (_, more) => {
    expect(verify(more)).toBe(undefined);
  });

  test('returns undefined without vod-file-id', () => {
    const { 'vod-file-id': _, ...rest } = metadata;
    expect(verify({ metadata: rest, sha1: FILE.sha1, etagIsMd5: true })).toBe(undefined);
  });

  test('trusts the ETag of a marker without vod-sha1, even if it is no MD5', () => {
    const { 'vod-sha1': _, ...rest } = metadata;
    const { sha1: __, ...file } = FILE;
    expect(verify({ metadata: rest, sha1: FILE.sha1 })).toEqual(file);
    expect(verify({ metadata: { ...rest, 'vod-etag': 'another' } })).toBe(undefined);
  });

  test('trusts the ETag that an annotation was written for, even if it is no MD5, unless the SHA-1 differs', () => {
    expect(verify({}, 'tags')).toBe(undefined);
    expect(verify({}, 'annotation')).toEqual(FILE);
    expect(verify({ metadata: otherETag }, 'annotation')).toBe(undefined);
    expect(verify({ sha1: other }, 'annotation')).toBe(undefined);
  });

  test('does not need a URL', () => {
    const { 'vod-url': _, ...rest } = metadata;
    expect(verify({ metadata: rest, etagIsMd5: true })).toEqual({ ...FILE, url: '' });
  });
});
