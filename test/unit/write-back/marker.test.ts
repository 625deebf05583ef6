import { describe, expect, test } from 'vitest';
import type { ObjectHead } from '../../../lib/s3/head-object.ts';
import { verifiedFile } from '../../../lib/write-back/marker.ts';
import { pinOf, sha1, storedAs } from '../../support/values.ts';

const FILE = storedAs('the bytes of a film');

describe('the file that an object is without reading it', () => {
  const metadata = {
    'vod-file-id': FILE.fileId,
    'vod-url': FILE.url,
    'vod-sha1': FILE.sha1,
    'vod-etag': 'e',
  };
  const other = sha1('other');
  const found = (more: Partial<ObjectHead>): ObjectHead => ({
    pin: pinOf(19),
    metadata,
    contentType: undefined,
    sha1: undefined,
    checksum: undefined,
    etagIsMd5: false,
    response: { $metadata: {} },
    ...more,
  });
  const CRC = { algorithm: 'CRC32', value: 'AAAA' } as const;
  const notMine = { ...metadata, 'vod-etag': 'another' };

  test.each<[string, Partial<ObjectHead>, boolean]>([
    ['S3’s SHA-1 is the one recorded', { sha1: FILE.sha1 }, true],
    ['S3’s SHA-1 is the one recorded, the ETag another', { sha1: FILE.sha1, metadata: notMine }, true],
    ['S3’s SHA-1 is another', { sha1: other }, false],
    ['S3’s SHA-1 is another, though the ETag is the one recorded', { sha1: other, etagIsMd5: true }, false],
    ['the ETag is an MD5 and the one recorded', { etagIsMd5: true }, true],
    ['the ETag is an MD5 and another', { etagIsMd5: true, metadata: notMine }, false],
    ['the ETag is the one recorded, but no MD5', { etagIsMd5: false }, false],
    ['nothing vouches', { metadata: notMine }, false],
    [
      'another checksum of the whole is the one recorded',
      { checksum: CRC, metadata: { ...notMine, 'vod-checksum': 'CRC32:AAAA' } },
      true,
    ],
    [
      'that checksum is another',
      { checksum: CRC, metadata: { ...notMine, 'vod-checksum': 'CRC32:BBBB' } },
      false,
    ],
    [
      'that checksum is of another kind',
      { checksum: CRC, metadata: { ...notMine, 'vod-checksum': 'CRC32C:AAAA' } },
      false,
    ],
    ['no such checksum was recorded', { checksum: CRC, metadata: notMine }, false],
    [
      'such a checksum was recorded, and S3 has none',
      { metadata: { ...notMine, 'vod-checksum': 'CRC32:AAAA' } },
      false,
    ],
  ])('%s: %#', (_, more, vouched) => {
    expect(verifiedFile(found(more))).toEqual(vouched ? FILE : undefined);
  });

  test.each(['vod-file-id', 'vod-sha1'])('metadata without %s names no file', (name) => {
    const { [name]: _, ...rest } = metadata as Record<string, string>;
    expect(verifiedFile(found({ metadata: rest, sha1: FILE.sha1, etagIsMd5: true }))).toBe(undefined);
  });

  test.each([
    ['vod-file-id', 'none'],
    ['vod-sha1', FILE.sha1.toUpperCase()],
  ])('nor does one whose %s is %s', (name, value) => {
    expect(verifiedFile(found({ metadata: { ...metadata, [name]: value }, etagIsMd5: true }))).toBe(
      undefined,
    );
  });

  test('tags name it as well, where the metadata names none', () => {
    expect(verifiedFile(found({ metadata: {}, etagIsMd5: true }), metadata)).toEqual(FILE);
    expect(verifiedFile(found({ metadata: {}, etagIsMd5: true }), notMine)).toBe(undefined);
    expect(verifiedFile(found({ metadata: notMine, etagIsMd5: true }), metadata)).toBe(undefined);
  });

  test('a url is not needed', () => {
    const { 'vod-url': _, ...rest } = metadata;
    expect(verifiedFile(found({ metadata: rest, etagIsMd5: true }))).toEqual({ ...FILE, url: '' });
  });
});
