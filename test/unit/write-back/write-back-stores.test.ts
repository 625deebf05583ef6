import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectAclCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
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
    s3.on(CopyObjectCommand).rejects(createError('PreconditionFailed', 412));
    await expectFailure(write(), 'ObjectChanged');
  });

  describe('of an object over 5 GiB', () => {
    const size = 12 * 1024 ** 3;
    const parts = () => s3.commandCalls(UploadPartCopyCommand).map(({ args: [{ input }] }) => input);
    beforeEach(() => {
      s3.on(HeadObjectCommand).resolves({ ...head, ContentLength: size });
      s3.on(GetObjectTaggingCommand).resolves({ TagSet: [] });
      s3.on(CreateMultipartUploadCommand).resolves({ UploadId: 'u' });
      s3.on(ListPartsCommand).resolves({});
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
