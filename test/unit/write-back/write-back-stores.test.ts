import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  type CopyObjectCommandInput,
  CreateMultipartUploadCommand,
  GetObjectAclCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectAnnotationsCommand,
  ListPartsCommand,
  S3Client,
  S3ServiceException,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { mockClient } from 'aws-sdk-client-mock';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import type { CopyCheckpoint } from '../../../lib/schemas.ts';
import type { MarkedFile } from '../../../lib/write-back/marker.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { writeBackInParts } from '../../../lib/write-back/write-back-in-parts.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { ampleDeadline, never, pinOf, sha1, storedAs } from '../../support/values.ts';

/** The write-back with services that differ from the local S3. */

useCredentials();
const CLIP = 'the bytes of a film';
const FILE = storedAs(CLIP);
const base64 = (bytes: string) => Buffer.from(sha1(bytes), 'hex').toString('base64');

describe('writeBack with another kind of service', () => {
  const s3 = mockClient(S3Client);
  afterAll(() => s3.restore());
  const client = createS3Client({});
  const pin = pinOf(19);
  const head = { ETag: '"e"', ContentLength: 19, Metadata: { author: 'me' }, ContentType: 'video/mp4' };
  const OWNER = { ID: 'owner', Type: 'CanonicalUser' } as const;
  const createError = (name: string, httpStatusCode: number) =>
    new S3ServiceException({ name, message: name, $fault: 'client', $metadata: { httpStatusCode } });
  const write = () => writeBack(client, pin, FILE, never);
  const copies = () => s3.commandCalls(CopyObjectCommand).map(({ args: [{ input }] }) => input);

  const copyReturns = (bytes: string, ETag = '"copy"') => {
    const checksum = { ChecksumSHA1: base64(bytes), ChecksumType: 'FULL_OBJECT' as const };
    s3.on(CopyObjectCommand).resolves({ CopyObjectResult: { ETag, ...checksum } });
  };

  beforeEach(() => {
    s3.reset();
    s3.on(HeadObjectCommand).resolves(head);
    const Grants = [{ Grantee: OWNER, Permission: 'FULL_CONTROL' as const }];
    s3.on(GetObjectAclCommand).resolves({ Owner: OWNER, Grants });
    copyReturns(CLIP);
  });

  test('makes the copy conditional on the source and the destination', async () => {
    expect(await write()).toEqual({ to: 'metadata' });
    expect(copies()).toMatchObject([
      { CopySourceIfMatch: '"e"', IfMatch: '"e"', ChecksumAlgorithm: 'SHA1', CopySource: 'b/clip.mp4' },
    ]);
  });

  test('throws ContentMismatch and restores the metadata when S3 has other bytes than VOD received', async () => {
    copyReturns('other', '"e2"');
    const Metadata = { author: 'me', edited: '1', 'vod-file-id': FILE.fileId };
    const copied = { ...head, ETag: '"e2"', Metadata };
    s3.on(HeadObjectCommand).resolvesOnce(head).resolves(copied);
    const message = `expected the SHA-1 ${FILE.sha1} that VOD received, S3 has ${sha1('other')}`;
    await expectFailure(write(), 'ContentMismatch', message);
    const [first, second] = [{ Metadata: { 'vod-file-id': FILE.fileId } }, { CopySourceIfMatch: '"e2"' }];
    expect(copies()).toMatchObject([first, second]);
    expect(copies().at(-1)?.Metadata).toEqual({ author: 'me', edited: '1' }); // with the concurrent edit
  });

  test.each([
    ['none', {}],
    ['one of its parts', { ChecksumSHA1: base64('other'), ChecksumType: 'COMPOSITE' as const }],
  ])('accepts a copy without a checksum of the whole object (%s)', async (_, CopyObjectResult) => {
    s3.on(CopyObjectCommand).resolves({ CopyObjectResult });
    expect(await write()).toEqual({ to: 'metadata' });
    expect(copies()).toHaveLength(1);
  });

  test('repeats the copy without the destination condition when the service does not know it', async () => {
    s3.on(CopyObjectCommand).rejectsOnce(createError('NotImplemented', 501)).resolves({});
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
  ])('copies without grants when the service has no ACLs (%s)', async (name, status) => {
    s3.on(GetObjectAclCommand).rejects(createError(name, status));
    expect(await write()).toEqual({ to: 'metadata' });
  });

  test('throws StorageRejected and writes nothing when the service denies access to the ACL', async () => {
    s3.on(GetObjectAclCommand).rejects(createError('AccessDenied', 403));
    await expectFailure(write(), 'StorageRejected', 'GET ACL of s3://b/clip.mp4');
    expect(copies()).toEqual([]);
  });

  test('throws ObjectChanged when the object changes between HEAD and the copy', async () => {
    s3.on(HeadObjectCommand)
      .resolvesOnce(head)
      .resolves({ ...head, ETag: '"f"' });
    s3.on(CopyObjectCommand).rejects(createError('PreconditionFailed', 412));
    await expectFailure(write(), 'ObjectChanged');
    expect(copies()).toHaveLength(1);
  });

  describe('that compares the time below the second', () => {
    const unmodified = { ...head, LastModified: new Date('2030-01-01') };
    const rejectTime = ({ CopySourceIfUnmodifiedSince }: CopyObjectCommandInput) => {
      if (CopySourceIfUnmodifiedSince) throw createError('PreconditionFailed', 412);
      return {};
    };
    beforeEach(() => {
      s3.on(HeadObjectCommand).resolves(unmodified);
      s3.on(CopyObjectCommand).callsFake(rejectTime);
    });

    test('falls back to the condition on the ETag, says so, and remembers it', async () => {
      const own = createS3Client({});
      const to = { to: 'metadata', reason: expect.stringContaining('only its ETag was a condition') };
      expect(await writeBack(own, pin, FILE, never)).toEqual(to);
      expect(copies()).toHaveLength(4);
      expect(await writeBack(own, pin, FILE, never)).toEqual(to);
      expect(copies()).toHaveLength(5);
    });

    test('keeps the condition on the time while the object is edited', async () => {
      const times = [1, 2, 3, 4].map((day) => ({ ...head, LastModified: new Date(2030, 0, day) }));
      const heads = s3.on(HeadObjectCommand);
      for (const edited of times) heads.resolvesOnce(edited);
      await expectFailure(writeBack(createS3Client({}), pin, FILE, never), 'StorageUnavailable');
      expect(copies().map(({ CopySourceIfUnmodifiedSince }) => CopySourceIfUnmodifiedSince)).toEqual(
        times.map(({ LastModified }) => LastModified),
      );
    });
  });

  describe('that checks no condition', () => {
    const md5 = (letter: string) => letter.repeat(32);
    const own = () => createS3Client({ endpoint: 'https://store.example' });
    const object = (letter: string, Metadata = {}) => ({ ...head, ETag: `"${md5(letter)}"`, Metadata });

    test('removes its marker from the bytes of another writer', async () => {
      const CopyObjectResult = { ETag: `"${md5('b')}"` };
      s3.on(CopyObjectCommand).resolves({ CopyObjectResult });
      s3.on(GetObjectTaggingCommand).resolves({ TagSet: [] });
      const marked = object('b', { author: 'me', 'vod-file-id': FILE.fileId });
      s3.on(HeadObjectCommand).resolvesOnce(object('a')).resolves(marked);
      await expectFailure(writeBack(own(), { ...pin, etag: md5('a') }, FILE, never), 'ObjectChanged');
      expect(copies().map(({ Metadata }) => Metadata)).toMatchObject([
        { 'vod-file-id': FILE.fileId },
        { author: 'me' },
      ]);
      expect(copies()[1]?.Metadata).toEqual({ author: 'me' });
    });
  });

  describe('of an object over 5 GiB', () => {
    const size = 12 * 1024 ** 3;
    const parts = () => s3.commandCalls(UploadPartCopyCommand).map(({ args: [{ input }] }) => input);
    beforeEach(() => {
      s3.on(HeadObjectCommand).resolves({ ...head, ContentLength: size });
      s3.on(GetObjectTaggingCommand).resolves({ TagSet: [] });
      s3.on(CreateMultipartUploadCommand).resolves({ UploadId: 'u' });
      s3.on(ListPartsCommand).resolves({});
      s3.on(ListObjectAnnotationsCommand).resolves({});
      s3.on(UploadPartCopyCommand).resolves({ CopyPartResult: { ETag: '"p"' } });
      s3.on(CompleteMultipartUploadCommand).resolves({});
      s3.on(AbortMultipartUploadCommand).resolves({});
    });
    const writeLarge = async (file: MarkedFile = FILE) => {
      const run = (from?: CopyCheckpoint) =>
        writeBackInParts(client, { ...pin, size }, file, DEFAULT_WRITE_BACK, ampleDeadline(), from);
      const opened = await run();
      return 'copy' in opened ? run(opened.copy) : opened;
    };

    test('copies every byte in parts, with the ETag as a condition of each part and of the completion', async () => {
      expect(await writeLarge()).toEqual({ to: 'metadata' });
      const ranges = parts().map(({ CopySourceRange }) =>
        /^bytes=(\d+)-(\d+)$/
          .exec(CopySourceRange ?? '')
          ?.slice(1)
          .map(Number),
      );
      expect(ranges.reduce((end, range) => (range?.[0] === end ? (range[1] ?? 0) + 1 : -1), 0)).toBe(size);
      expect(parts()).toEqual(
        ranges.map((_, n) => expect.objectContaining({ CopySourceIfMatch: '"e"', PartNumber: n + 1 })),
      );
      const [complete] = s3.commandCalls(CompleteMultipartUploadCommand);
      expect(complete?.args[0].input).toMatchObject({
        IfMatch: '"e"',
        MultipartUpload: { Parts: parts().map(({ PartNumber }) => ({ PartNumber, ETag: '"p"' })) },
      });
      expect(copies()).toEqual([]);
    });

    test('copies without a checksum if the service does not know the algorithm', async () => {
      s3.on(CreateMultipartUploadCommand)
        .rejectsOnce(createError('InvalidArgument', 400))
        .resolves({ UploadId: 'u' });
      expect(await writeLarge({ ...FILE, crc64: 'rosUhgp5mIg=' })).toEqual({ to: 'metadata' });
      const creates = s3.commandCalls(CreateMultipartUploadCommand).map(({ args: [{ input }] }) => input);
      expect(creates.map(({ ChecksumAlgorithm }) => ChecksumAlgorithm)).toEqual(['CRC64NVME', undefined]);
      const [complete] = s3.commandCalls(CompleteMultipartUploadCommand);
      expect(complete?.args[0].input.ChecksumCRC64NVME).toBe(undefined);
    });

    test('aborts the multipart upload when S3 rejects a part', async () => {
      s3.on(UploadPartCopyCommand, { PartNumber: 3 }).rejects(createError('AccessDenied', 403));
      await expectFailure(writeLarge(), 'StorageRejected');
      expect(s3.commandCalls(AbortMultipartUploadCommand).map(({ args: [{ input }] }) => input)).toEqual([
        { Bucket: 'b', Key: 'clip.mp4', UploadId: 'u' },
      ]);
      expect(s3.commandCalls(CompleteMultipartUploadCommand)).toEqual([]);
    });
  });
});
