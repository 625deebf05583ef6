import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectAclCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  S3ServiceException,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { ContentMismatch } from '../../../lib/errors.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { failureOf, never, pinOf, sha1, storedAs } from '../../support/values.ts';

/** The write-back against stores that the local one is not; and what vouches for an object. */

useCredentials();
const CLIP = 'the bytes of a film';
const FILE = storedAs(CLIP);
const base64 = (bytes: string) => Buffer.from(sha1(bytes), 'hex').toString('base64');

describe('against another kind of store', () => {
  const s3 = mockClient(S3Client);
  afterAll(() => s3.restore());
  const client = createS3Client({});
  const pin = pinOf(19);
  const head = { ETag: '"e"', ContentLength: 19, Metadata: { author: 'me' }, ContentType: 'video/mp4' };
  const OWNER = { ID: 'owner', Type: 'CanonicalUser' } as const;
  const refusal = (name: string, httpStatusCode: number) =>
    new S3ServiceException({ name, message: name, $fault: 'client', $metadata: { httpStatusCode } });
  const write = () => writeBack(client, pin, FILE, never);
  const copies = () => s3.commandCalls(CopyObjectCommand).map(({ args: [{ input }] }) => input);

  beforeEach(() => {
    s3.reset();
    s3.on(HeadObjectCommand).resolves(head);
    s3.on(GetObjectAclCommand).resolves({
      Owner: OWNER,
      Grants: [{ Grantee: OWNER, Permission: 'FULL_CONTROL' }],
    });
    s3.on(CopyObjectCommand).resolves({
      CopyObjectResult: { ChecksumSHA1: base64(CLIP), ChecksumType: 'FULL_OBJECT' },
    });
  });

  test('both ends of the copy are conditional', async () => {
    expect(await write()).toEqual({ to: 'metadata' });
    expect(copies()).toMatchObject([
      { CopySourceIfMatch: '"e"', IfMatch: '"e"', ChecksumAlgorithm: 'SHA1', CopySource: 'b/clip.mp4' },
    ]);
  });

  test('ContentMismatch: S3 holds other bytes than were sent. The object gets its metadata back', async () => {
    s3.on(CopyObjectCommand).resolves({
      CopyObjectResult: { ETag: '"e2"', ChecksumSHA1: base64('other'), ChecksumType: 'FULL_OBJECT' },
    });
    s3.on(HeadObjectCommand)
      .resolvesOnce(head)
      .resolves({
        ...head,
        ETag: '"e2"',
        Metadata: { author: 'me', edited: '1', 'vod-file-id': FILE.fileId },
      });
    const failing = write();
    await expect(failing).rejects.toThrow(ContentMismatch);
    await expect(failing).rejects.toThrow(
      `expected the SHA-1 ${FILE.sha1} that VOD received, S3 has ${sha1('other')}`,
    );
    expect(copies()).toMatchObject([
      { Metadata: { 'vod-file-id': FILE.fileId } },
      { CopySourceIfMatch: '"e2"' },
    ]);
    expect(copies().at(-1)?.Metadata).toEqual({ author: 'me', edited: '1' }); // also what came meanwhile
  });

  test.each([
    ['none', {}],
    ['one of its parts', { ChecksumSHA1: base64('other'), ChecksumType: 'COMPOSITE' as const }],
  ])('a store that computes no checksum of the whole (%s) refutes nothing', async (_, CopyObjectResult) => {
    s3.on(CopyObjectCommand).resolves({ CopyObjectResult });
    expect(await write()).toEqual({ to: 'metadata' });
    expect(copies()).toHaveLength(1);
  });

  test('one that does not know the condition on the destination is asked with the one on the source', async () => {
    s3.on(CopyObjectCommand).rejectsOnce(refusal('NotImplemented', 501)).resolves({});
    expect(await write()).toEqual({ to: 'metadata' });
    expect(copies().map(({ IfMatch, CopySourceIfMatch }) => [IfMatch, CopySourceIfMatch])).toEqual([
      ['"e"', '"e"'],
      [undefined, '"e"'],
    ]);
  });

  test.each([
    ['NotImplemented', 501],
    ['MethodNotAllowed', 405],
    ['AccessControlListNotSupported', 400],
  ])('one without ACLs (%s) has none to lose', async (name, status) => {
    s3.on(GetObjectAclCommand).rejects(refusal(name, status));
    expect(await write()).toEqual({ to: 'metadata' });
  });

  test('one that does not show the ACL would lose it silently: refused, nothing is written', async () => {
    s3.on(GetObjectAclCommand).rejects(refusal('AccessDenied', 403));
    expect(await failureOf(write())).toMatchObject({
      name: 'StorageRejected',
      message: expect.stringContaining('GET ACL of s3://b/clip.mp4'),
    });
    expect(copies()).toEqual([]);
  });

  test('an object that changes between the look and the copy: ObjectChanged', async () => {
    s3.on(CopyObjectCommand).rejects(refusal('PreconditionFailed', 412));
    expect((await failureOf(write())).name).toBe('ObjectChanged');
  });

  test('an object some of whose metadata HTTP does not show would lose it: it gets tags instead', async () => {
    s3.on(HeadObjectCommand).resolves({ ...head, MissingMeta: 2 });
    s3.on(GetObjectTaggingCommand).resolves({ TagSet: [{ Key: 'a', Value: '1' }] });
    s3.on(PutObjectTaggingCommand).resolves({});
    expect(await write()).toMatchObject({
      to: 'tags',
      reason: expect.stringContaining('2 of its metadata entries'),
    });
    expect(copies()).toEqual([]);
  });

  describe('over 5 GiB', () => {
    const size = 12 * 1024 ** 3;
    const parts = () => s3.commandCalls(UploadPartCopyCommand).map(({ args: [{ input }] }) => input);
    beforeEach(() => {
      s3.on(HeadObjectCommand).resolves({ ...head, ContentLength: size });
      s3.on(GetObjectTaggingCommand).resolves({ TagSet: [] });
      s3.on(CreateMultipartUploadCommand).resolves({ UploadId: 'u' });
      s3.on(UploadPartCopyCommand).resolves({ CopyPartResult: { ETag: '"p"' } });
      s3.on(CompleteMultipartUploadCommand).resolves({});
      s3.on(AbortMultipartUploadCommand).resolves({});
    });
    const big = () => writeBack(client, { ...pin, size }, FILE, never);

    test('a copy in parts that cover it, each held to the ETag, and the end of it too', async () => {
      expect(await big()).toEqual({ to: 'metadata' });
      const ranges = parts().map(({ CopySourceRange }) =>
        /^bytes=(\d+)-(\d+)$/
          .exec(CopySourceRange ?? '')
          ?.slice(1)
          .map(Number),
      );
      expect(ranges.reduce((end, range) => (range?.[0] === end ? (range[1] ?? 0) + 1 : -1), 0)).toBe(size);
      expect(
        parts().every(
          ({ CopySourceIfMatch, PartNumber = 0 }, n) => CopySourceIfMatch === '"e"' && PartNumber === n + 1,
        ),
      ).toBe(true);
      const [complete] = s3.commandCalls(CompleteMultipartUploadCommand);
      expect(complete?.args[0].input).toMatchObject({
        IfMatch: '"e"',
        MultipartUpload: { Parts: parts().map(({ PartNumber }) => ({ PartNumber, ETag: '"p"' })) },
      });
      expect(copies()).toEqual([]);
    });

    test('that fails is given back', async () => {
      s3.on(UploadPartCopyCommand, { PartNumber: 3 }).rejects(refusal('PreconditionFailed', 412));
      expect((await failureOf(big())).name).toBe('ObjectChanged');
      expect(s3.commandCalls(AbortMultipartUploadCommand).map(({ args: [{ input }] }) => input)).toEqual([
        { Bucket: 'b', Key: 'clip.mp4', UploadId: 'u' },
      ]);
      expect(s3.commandCalls(CompleteMultipartUploadCommand)).toEqual([]);
    });
  });
});
