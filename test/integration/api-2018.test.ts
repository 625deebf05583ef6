import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import type { StackOptions } from '../../local/stack.ts';
import { accelerateTimers } from '../support/accelerate-timers.ts';
import { image } from '../support/images.ts';
import { BUCKET, newStack } from '../support/stack.ts';
import { createBytes, sha1 } from '../support/values.ts';

/** The whole pipeline with API 2018-07-17. */
const newStack2018 = ({ env, ...options }: Partial<StackOptions> = {}) =>
  newStack({ ...options, env: { VOD_API: '2018-07-17', ...env } });

test.each([
  [1, 1],
  [7 * 1024 ** 2, 1],
  [8 * 1024 ** 2, 1],
  [20 * 1024 ** 2 + 3, 3],
])('stores an object of %i bytes and writes the fileId back', async (size, parts) => {
  const stack = await newStack2018();
  const body = createBytes(size);
  await stack.put('video.mp4', body);
  const [first, ...more] = await stack.results();

  expect(first).toMatchObject({ outcome: 'uploaded', size, sent: { parts, bytes: size } });
  expect(first).not.toHaveProperty('reason');
  expect(sha1(await stack.readStoredFile(first?.fileId))).toBe(sha1(body));
  expect((await stack.head('video.mp4')).Metadata).toMatchObject({
    'vod-file-id': first?.fileId,
    'vod-url': first?.url,
    'vod-checksum': expect.stringMatching(/^CRC64NVME:/),
  });
  expect(more).toEqual([]); // the event of the write-back starts no execution
});

test('returns unchanged for a replay of a stored object', async () => {
  const stack = await newStack2018();
  await stack.put('video.mp4', createBytes(1000));
  await stack.results();
  await stack.invokeTrigger({ bucket: BUCKET, key: 'video.mp4' });
  const [first, second] = await stack.results();
  expect(second).toMatchObject({ outcome: 'unchanged', fileId: first?.fileId });
  expect(await stack.readVodIndex()).toHaveLength(1);
});

test('attaches an image as the cover of the video', async () => {
  const stack = await newStack2018();
  await stack.put('video.mp4', createBytes(1000));
  await stack.put('video.jpg', image('jpg'));
  const results = await stack.results();
  const video = results.find(({ key }) => key === 'video.mp4');
  const files = await stack.readVodIndex();
  expect(files.find(({ fileId }) => fileId === video?.fileId)).toHaveProperty('cover');
  expect((await stack.head('video.jpg')).Metadata).toMatchObject({ 'vod-cover-of': video?.fileId });
});

test('stores an object that S3 received in parts', async () => {
  const stack = await newStack2018();
  const parts = [createBytes(5 * 1024 ** 2), createBytes(5 * 1024 ** 2 + 1)];
  const at = { Bucket: BUCKET, Key: 'video.mp4' };
  const { UploadId } = await stack.s3.send(new CreateMultipartUploadCommand(at));
  const Parts = [];
  for (const [index, Body] of parts.entries()) {
    const PartNumber = index + 1;
    const { ETag } = await stack.s3.send(new UploadPartCommand({ ...at, UploadId, PartNumber, Body }));
    Parts.push({ PartNumber, ETag });
  }
  await stack.s3.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts } }));
  const [first] = await stack.results();
  expect(first).toMatchObject({ outcome: 'uploaded' });
  expect(sha1(await stack.readStoredFile(first?.fileId))).toBe(sha1(Buffer.concat(parts)));
  expect((await stack.head('video.mp4')).Metadata).toMatchObject({ 'vod-file-id': first?.fileId });
});

test('writes the fileId to tags, and the options to VOD', async () => {
  const stack = await newStack2018({ env: { WRITE_BACK: 'tags', VOD_TAGS: 'one,two' } });
  await stack.put('video.mp4', createBytes(1000), { Metadata: { 'vod-source-context': 'order 17' } });
  const [first] = await stack.results();
  expect(await stack.tagsOf('video.mp4')).toMatchObject({ 'vod-file-id': first?.fileId });
  const [file] = await stack.readVodIndex();
  expect(file).toMatchObject({ sourceContext: 'order 17', tags: ['one', 'two'] });
});

test.each([
  ['small', 1000],
  ['large', 9 * 1024 ** 2],
])('makes one file of a %s object when the response to CommitUpload is lost', async (_, size) => {
  accelerateTimers();
  let commits = 0;
  const stack = await newStack2018({
    faults: ({ call }) => (call === 'CommitUpload' && ++commits === 1 ? 'lost-response' : undefined),
  });
  await stack.put('video.mp4', createBytes(size));
  const [first] = await stack.results();
  expect(first).toMatchObject({ outcome: 'uploaded' });
  expect(await stack.readVodIndex()).toMatchObject([{ fileId: first?.fileId }]);
  expect((await stack.head('video.mp4')).Metadata).toMatchObject({ 'vod-file-id': first?.fileId });
});

test('opens another session when VOD lost the first one, and reports it', async () => {
  accelerateTimers();
  let commits = 0;
  const stack = await newStack2018({
    faults: ({ call }) => (call === 'CommitUpload' && ++commits === 1 ? 'session-gone' : undefined),
  });
  const body = createBytes(9 * 1024 ** 2);
  await stack.put('video.mp4', body);
  const [first] = await stack.results();
  expect(first).toMatchObject({
    outcome: 'uploaded',
    reason: expect.stringMatching(
      /may have a second file, whose SourceContext is .*2 parts were sent in vain/,
    ),
  });
  expect(sha1(await stack.readStoredFile(first?.fileId))).toBe(sha1(body));
});

test('continues a session in which VOD lost a part', async () => {
  accelerateTimers();
  let sent = 0;
  const stack = await newStack2018({
    faults: ({ call }) => (call === 'UploadPart' && ++sent === 2 ? 'part-lost' : undefined),
  });
  const body = createBytes(20 * 1024 ** 2);
  await stack.put('video.mp4', body);
  const [first] = await stack.results();
  expect(first).toMatchObject({ outcome: 'uploaded', sent: { parts: 4 } });
  expect(sha1(await stack.readStoredFile(first?.fileId))).toBe(sha1(body));
});

test.each([
  ['an option of the other API', 'video.mp4', { 'vod-transcode': '1' }, 'InvalidInput', /option transcode/],
  ['a type that the API lacks', 'video.ogv', {}, 'UnsupportedObject', /got ogv/],
  ['too long a tag', 'video.mp4', { 'vod-tags': 'x'.repeat(33) }, 'InvalidInput', /option tags/],
])('rejects %s by name', async (_, key, Metadata, error, cause) => {
  const stack = await newStack2018();
  await stack.put(key, createBytes(10), { Metadata });
  await stack.idle();
  expect(stack.ended).toMatchObject([{ status: 'FAILED', error, cause: expect.stringMatching(cause) }]);
});

test('rejects keys that end before the bytes can be sent', async () => {
  const stack = await newStack2018({
    faults: ({ call }) => (call === 'ApplyUpload' ? 'keys-end-soon' : undefined),
  });
  await stack.put('video.mp4', createBytes(10));
  await stack.idle();
  expect(stack.ended).toMatchObject([
    { status: 'FAILED', error: 'VodRejected', cause: expect.stringMatching(/expected keys that last/) },
  ]);
});
