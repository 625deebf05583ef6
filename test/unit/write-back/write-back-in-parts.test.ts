import {
  AbortMultipartUploadCommand,
  CopyObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectAnnotationCommand,
  PutObjectTaggingCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { HttpRequest } from '@smithy/core/protocols';
import { afterEach, describe, expect, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import type { Deadline } from '../../../lib/invocation/deadline.ts';
import {
  type CopyCheckpoint,
  type ObjectVersion,
  parse,
  CopyCheckpoint as Schema,
} from '../../../lib/schemas.ts';
import { metadataMarker, verifiedFile } from '../../../lib/write-back/marker.ts';
import { writeBackInParts } from '../../../lib/write-back/write-back-in-parts.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, useStore } from '../../support/fake-store.ts';
import { newS3Client } from '../../support/s3-client.ts';
import { ampleDeadline, createBytes, deadlineWithChecks, MIB, storedAs } from '../../support/values.ts';

let behindMs = 0;
const store = useStore({ now: () => new Date(Date.now() - behindMs) });
const SETTINGS = { ...DEFAULT_WRITE_BACK, maxCopyBytes: 5 * MIB };
const BODY = createBytes(16 * MIB); // four parts
const FILE = storedAs(BODY);
const KEY = 'film.mp4';

/** S3's own CRC64NVME of the bytes. */
async function crc64Of(bytes: Buffer): Promise<string> {
  await store.put(BUCKET, 'crc', bytes, { ChecksumAlgorithm: 'CRC64NVME' });
  return (await store.head(BUCKET, 'crc')).ChecksumCRC64NVME ?? 'none';
}

/** Puts the object without a checksum. Returns what calls the write-back in one invocation after another. */
async function createCopy({
  crc64,
  put = store.putInParts,
}: {
  crc64?: string;
  put?: typeof store.put;
} = {}) {
  await put(BUCKET, KEY, BODY, { Metadata: { author: 'me' } });
  const { pin } = await store.find(BUCKET, KEY);
  const expected = crc64 ?? (await crc64Of(BODY));
  const run = (from?: CopyCheckpoint, deadline: Deadline = ampleDeadline(), s3: S3Client = store.client) =>
    writeBackInParts(s3, pin, { ...FILE, crc64: expected }, SETTINGS, deadline, from);
  const checkpointOf = (result: Awaited<ReturnType<typeof run>>): CopyCheckpoint =>
    parse(Schema, JSON.parse(JSON.stringify('copy' in result ? result.copy : result)), 'the checkpoint');
  return { pin, run, checkpointOf, open: async () => checkpointOf(await run()) };
}

const heldParts = async ({ uploadId: UploadId }: CopyCheckpoint): Promise<(number | undefined)[]> => {
  const { Parts = [] } = await store.client.send(
    new ListPartsCommand({ Bucket: BUCKET, Key: KEY, UploadId }),
  );
  return Parts.map(({ PartNumber }) => PartNumber);
};
const openUploads = async (): Promise<(string | undefined)[]> => {
  const { Uploads = [] } = await store.client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
  return Uploads.map(({ UploadId }) => UploadId);
};
const abort = (UploadId: string) =>
  store.client.send(new AbortMultipartUploadCommand({ Bucket: BUCKET, Key: KEY, UploadId }));
const editMetadata = () =>
  store.client.send(
    new CopyObjectCommand({
      ...{ Bucket: BUCKET, Key: KEY, CopySource: `${BUCKET}/${KEY}` },
      ...{ MetadataDirective: 'REPLACE', Metadata: { author: 'another' } },
    }),
  );

/** Creates a client that records the parts it copies. Only the first `working` requests for one reach S3. */
function copyingClient(working = Number.POSITIVE_INFINITY) {
  const copied: unknown[] = [];
  const s3 = newS3Client(store.endpoint());
  s3.middlewareStack.add((next, { commandName }) => (args) => {
    if (commandName !== 'UploadPartCopyCommand') return next(args);
    if (copied.length === working) throw new Error('the network is down');
    copied.push('PartNumber' in args.input && args.input.PartNumber);
    return next(args);
  });
  return { s3, copied };
}

afterEach(async () => {
  for (const id of await openUploads()) await abort(id ?? '');
});

describe('writeBackInParts', () => {
  test('opens the copy in the first invocation and copies in the second', async () => {
    const { run, open } = await createCopy();
    const checkpoint = await open();
    expect(await heldParts(checkpoint)).toEqual([]);
    expect(await run(checkpoint)).toEqual({ to: 'metadata' });
    const head = await store.find(BUCKET, KEY);
    expect(head.metadata).toMatchObject({ author: 'me', 'vod-file-id': FILE.fileId });
    expect([head.checksum?.algorithm, verifiedFile(head, metadataMarker(head))]).toEqual(['CRC64NVME', FILE]);
    expect(await openUploads()).toEqual([]);
  });

  test('hands over when the time runs low, and copies no part twice', async () => {
    const { run, open } = await createCopy();
    const checkpoint = await open();
    const { s3, copied } = copyingClient();
    for (const sum of [1, 3]) {
      expect(await run(checkpoint, deadlineWithChecks(sum - copied.length), s3)).toEqual({
        copy: checkpoint,
      });
      expect(await heldParts(checkpoint)).toHaveLength(sum);
    }
    // Without the time to complete the copy, the next invocation does so.
    expect(await run(checkpoint, deadlineWithChecks(1), s3)).toEqual({ copy: checkpoint });
    expect(await run(checkpoint, deadlineWithChecks(0), s3)).toEqual({ to: 'metadata' });
    expect(copied.sort()).toEqual([1, 2, 3, 4]);
  });

  test('keeps the copied parts after an error that a retry can cure', async () => {
    const { run, open } = await createCopy();
    const checkpoint = await open();
    const first = copyingClient(3);
    await expectFailure(run(checkpoint, ampleDeadline(), first.s3), 'StorageUnavailable', ', part ');
    expect(await heldParts(checkpoint)).toHaveLength(3);
    const second = copyingClient();
    expect(await run(checkpoint, ampleDeadline(), second.s3)).toEqual({ to: 'metadata' });
    expect(second.copied).toHaveLength(1);
  });

  test('throws DeadlineExceeded and keeps the copy open when no part was copied in time', async () => {
    const { run, open } = await createCopy();
    const checkpoint = await open();
    await expectFailure(run(checkpoint, deadlineWithChecks(0)), 'DeadlineExceeded');
    expect(await openUploads()).toEqual([checkpoint.uploadId]);
  });

  test('finds the copy that an earlier invocation completed without receiving the response', async () => {
    const { run, open } = await createCopy();
    const checkpoint = await open();
    await run(checkpoint);
    expect(await run(checkpoint)).toEqual({ to: 'unchanged' });
  });

  test('writes the tags again that a store drops, and reports the other properties that it drops', async () => {
    const put: typeof store.put = (bucket, key, body, more) =>
      store.put(bucket, key, body, { ...more, Tagging: 'a=1', CacheControl: 'no-store' });
    const { run, checkpointOf } = await createCopy({ put });
    const s3 = newS3Client(store.endpoint());
    s3.middlewareStack.add(
      (next, { commandName }) =>
        (args) => {
          if (commandName === 'CreateMultipartUploadCommand' && HttpRequest.isInstance(args.request))
            for (const name of ['x-amz-tagging', 'cache-control']) delete args.request.headers[name];
          return next(args);
        },
      { step: 'build', priority: 'low' },
    );
    const checkpoint = checkpointOf(await run(undefined, ampleDeadline(), s3));
    const reason = 'the store did not keep CacheControl';
    expect(await run(checkpoint, ampleDeadline(), s3)).toEqual({ to: 'metadata', reason });
    expect(await store.all(BUCKET, KEY)).toMatchObject({ tags: [{ Key: 'a', Value: '1' }] });
  });

  test('lets S3 reject other bytes than VOD received: ContentMismatch, and the object stays as it is', async () => {
    const crc64 = await crc64Of(createBytes(10));
    const { run, open } = await createCopy({ crc64 });
    const before = await store.all(BUCKET, KEY);
    const message = `${KEY} onto itself in parts: expected the CRC64NVME ${crc64}`;
    await expectFailure(run(await open()), 'ContentMismatch', message);
    expect(await store.all(BUCKET, KEY)).toEqual(before);
    expect(await openUploads()).toEqual([]);
  });
});

// S3 would drop the annotations, and a function that is killed after the copy could not write them again.
describe('writeBackInParts writes tags', () => {
  const annotate = () => {
    const annotation = { AnnotationName: 'theirs', AnnotationPayload: 'text' };
    return store.client.send(new PutObjectAnnotationCommand({ Bucket: BUCKET, Key: KEY, ...annotation }));
  };
  const inTags = (why: string) => ({
    to: 'tags',
    reason: expect.stringMatching(new RegExp(`^the fileId is in the object's tags: .*${why}`)),
  });
  const LOST = 'it has annotations, which a copy in parts would lose';

  test('onto an object with annotations', async () => {
    const { pin, run } = await createCopy();
    await annotate();
    expect(await run()).toEqual(inTags(LOST));
    expect(await store.find(BUCKET, KEY)).toMatchObject({ pin, metadata: { author: 'me' } });
    expect(await openUploads()).toEqual([]);
  });

  test.each([
    ['before parts are copied', undefined],
    ['while parts are copied', 'UploadPartCopyCommand'],
  ])('onto an object that gets an annotation %s', async (_, command) => {
    const { pin, run, open } = await createCopy();
    const checkpoint = await open();
    if (command === undefined) {
      await annotate();
    } else {
      const s3 = store.interferingClient(command, async () => void (await annotate()));
      await expectFailure(run(checkpoint, ampleDeadline(), s3), 'ObjectChanged', 'or annotation');
    }
    expect(await run(checkpoint)).toEqual(inTags(LOST));
    expect((await store.find(BUCKET, KEY)).pin).toEqual(pin);
    expect(await openUploads()).toEqual([]);
  });

  test('if a policy hides the annotations', async () => {
    const { run } = await createCopy();
    const s3 = newS3Client(store.endpoint());
    s3.middlewareStack.add((next, { commandName }) => async (args) => {
      if (!commandName?.includes('Annotation')) return next(args);
      const $metadata = { httpStatusCode: 403 };
      throw new S3ServiceException({ name: 'AccessDenied', $fault: 'client', $metadata });
    });
    const reason = 'S3 rejects ListObjectAnnotations \\(403 AccessDenied\\)';
    expect(await run(undefined, ampleDeadline(), s3)).toEqual(inTags(reason));
  });
});

describe('writeBackInParts opens the copy anew', () => {
  const tag = (pin: ObjectVersion) => {
    const TagSet = [{ Key: 'new', Value: 'a tag' }];
    return store.client.send(
      new PutObjectTaggingCommand({ Bucket: pin.bucket, Key: pin.key, Tagging: { TagSet } }),
    );
  };

  test('with the new tags when they changed in between', async () => {
    const { pin, run, open, checkpointOf } = await createCopy();
    const first = await open();
    await tag(pin);
    const second = checkpointOf(await run(first));
    expect(await openUploads()).toEqual([second.uploadId]);
    expect(await run(second)).toEqual({ to: 'metadata' });
    expect(await store.all(BUCKET, KEY)).toMatchObject({ tags: [{ Key: 'new', Value: 'a tag' }] });
  });

  test('with the new metadata when it was edited in between', async () => {
    behindMs = 10_000;
    const { run, open, checkpointOf } = await createCopy({ put: store.put });
    behindMs = 0;
    const first = await open();
    await editMetadata(); // which keeps the ETag of an object that was put in one request
    const second = checkpointOf(await run(first));
    expect(await openUploads()).toEqual([second.uploadId]);
    expect(await run(second)).toEqual({ to: 'metadata' });
    expect((await store.find(BUCKET, KEY)).metadata).toMatchObject({
      author: 'another',
      'vod-sha1': FILE.sha1,
    });
  });

  test('after ObjectChanged, when the tags change while parts are copied', async () => {
    const { pin, run, open, checkpointOf } = await createCopy();
    const first = await open();
    const s3 = store.interferingClient('UploadPartCopyCommand', async () => void (await tag(pin)));
    await expectFailure(
      run(first, ampleDeadline(), s3),
      'ObjectChanged',
      'expected no change during the copy',
    );
    expect(checkpointOf(await run(first))).not.toEqual(first);
  });

  test('when S3 no longer has the upload', async () => {
    const { run, open, checkpointOf } = await createCopy();
    const first = await open();
    await abort(first.uploadId);
    const second = checkpointOf(await run(first));
    expect(await run(second)).toEqual({ to: 'metadata' });
  });
});

describe('writeBackInParts aborts the copy', () => {
  test.each([
    ['overwritten', 'ObjectChanged', () => store.put(BUCKET, KEY, 'another film')],
    ['edited by a copy', 'ObjectChanged', editMetadata], // which gives a multipart object another ETag
    ['deleted', 'ObjectDeleted', () => store.remove(BUCKET, KEY)],
  ])('when the object was %s in between', async (_, error, change) => {
    const { run, open } = await createCopy();
    const checkpoint = await open();
    await run(checkpoint, deadlineWithChecks(2));
    await change();
    await expectFailure(run(checkpoint), error);
    expect(await openUploads()).toEqual([]);
  });
});
