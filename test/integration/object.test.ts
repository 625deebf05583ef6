import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { expect, onTestFinished, test } from 'vitest';
import { watchProgress } from '../../lib/invocation/progress.ts';
import { BUCKET, newStack, startOtherS3 } from '../support/stack.ts';
import { createBytes, sha1 } from '../support/values.ts';

test.each([1, 524_287, 524_288, 1_048_576, 1_048_577, 6_000_000, 20_000_003])(
  'stores an object of %i bytes and writes the fileId back',
  async (size) => {
    const stack = await newStack();
    const body = createBytes(size);
    await stack.put('video.mp4', body);
    const [first, ...more] = await stack.results();

    const parts = Math.ceil(size / 1_048_576);
    expect(first).toMatchObject({
      outcome: 'uploaded',
      sha1: sha1(body),
      size,
      sent: { parts, bytes: size },
    });
    expect(sha1(await stack.readStoredFile(first?.fileId))).toBe(sha1(body));
    const { Metadata, ContentLength } = await stack.head('video.mp4');
    expect(ContentLength).toBe(size);
    expect(Metadata).toMatchObject({
      'vod-file-id': first?.fileId,
      'vod-url': first?.url,
      'vod-sha1': sha1(body),
    });
    expect(more).toEqual([]); // the event of the write-back starts no execution
  },
);

test.each([
  'a b+c%20/d&e=f.mp4',
  '../../etc/passwd.mp4',
  '.hidden/..mp4',
  '视频/第一集 (终).mp4',
  'it\'s "quoted" <b>|*?.mp4',
  '//double//slash.mp4',
  'emoji 🎬/é.mp4',
])('uploads an object with the key %j', async (key) => {
  const stack = await newStack();
  const body = createBytes(1000);
  await stack.put(key, body);
  const [first] = await stack.results();
  expect(first).toMatchObject({ key, outcome: 'uploaded' });
  expect(sha1(await stack.readStoredFile(first?.fileId))).toBe(sha1(body));
  expect((await stack.head(key)).Metadata).toMatchObject({ 'vod-file-id': first?.fileId });
});

test('keeps headers, metadata, tags, and storage class of the object', async () => {
  const stack = await newStack();
  const headers = {
    ContentType: 'video/mp4',
    CacheControl: 'max-age=60',
    ContentDisposition: 'attachment; filename="x.mp4"',
    ContentLanguage: 'de',
    StorageClass: 'STANDARD_IA',
    WebsiteRedirectLocation: '/elsewhere',
  } as const;
  await stack.put('video.mp4', createBytes(10), {
    ...headers,
    Metadata: { mine: 'kept' },
    Tagging: 'a=1&b=2',
  });
  await stack.results();
  const head = await stack.head('video.mp4');
  expect(head).toMatchObject({ ...headers, TagCount: 2 });
  expect(head.Metadata).toMatchObject({ mine: 'kept' });
});

test('takes upload options from the settings and, first of all, from the metadata', async () => {
  const stack = await newStack({ env: { VOD_CLASS_ID: '7', VOD_WATERMARK: '1', VOD_TAGS: 'house' } });
  await stack.put('video.mp4', createBytes(10), {
    Metadata: { 'vod-tags': 'a, b', 'vod-transcode': 'true', 'vod-file-name': '%E7%89%87: one' },
  });
  await stack.results();
  expect(await stack.readVodIndex()).toMatchObject([
    { fileName: '片_ one', tags: ['a', 'b'], classId: 7, isTranscode: 1, isScreenshot: 0, isWatermark: 1 },
  ]);
});

test('prefers the options of a manual request to those of the metadata', async () => {
  // This store emits no events, so the manual request starts the first execution.
  const stack = await newStack({ env: await startOtherS3() });
  await stack.s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  await stack.put('video.mp4', createBytes(10), { Metadata: { 'vod-class-id': '1', 'vod-tags': 'x' } });
  await stack.invokeTrigger({ bucket: BUCKET, key: 'video.mp4', options: { classId: 5, screenshot: true } });
  await stack.idle();
  expect(await stack.readVodIndex()).toMatchObject([
    { classId: 5, tags: ['x'], isScreenshot: 1, isTranscode: 0 },
  ]);
});

test('derives the file type from the content type if the extension is unknown', async () => {
  const stack = await newStack();
  await stack.put('quiet.bin', createBytes(10), { ContentType: 'video/quicktime' });
  await stack.idle();
  expect(await stack.readVodIndex()).toMatchObject([{ fileName: 'quiet', fileType: 'mov' }]);
});

test('stores the same bytes under two keys once', async () => {
  const stack = await newStack();
  const body = createBytes(3_000_000);
  await stack.put('one.mp4', body);
  await stack.idle();
  await stack.put('two.mp4', body);
  const results = await stack.results();
  const [one, two] = ['one.mp4', 'two.mp4'].map((name) => results.find(({ key }) => key === name));
  expect(two).toMatchObject({ outcome: 'instant', fileId: one?.fileId, sent: { parts: 0, bytes: 0 } });
  expect(await stack.readVodIndex()).toHaveLength(1);
});

test('uploads new bytes that were put with the marker of the old ones', async () => {
  const stack = await newStack();
  await stack.put('video.mp4', createBytes(1000));
  await stack.idle();
  const { Metadata = {} } = await stack.head('video.mp4');
  const body = createBytes(2000);
  await stack.put('video.mp4', body, { Metadata });
  const results = await stack.results();
  const ids = new Set(results.map(({ fileId }) => fileId));
  expect(ids.size).toBe(2);
  const now = (await stack.head('video.mp4')).Metadata?.['vod-file-id'];
  expect(now).not.toBe(Metadata['vod-file-id']);
  expect(sha1(await stack.readStoredFile(now))).toBe(sha1(body));
});

test('skips the hash pass if S3 has the SHA-1', async () => {
  const stack = await newStack();
  const stages = new Set<string>();
  onTestFinished(watchProgress(({ stage }) => stages.add(stage)));
  const body = createBytes(3000);
  await stack.put('video.mp4', body, { ChecksumAlgorithm: 'SHA1' });
  const [first] = await stack.results();
  expect(first).toMatchObject({ outcome: 'uploaded', sha1: sha1(body) });
  expect(stages).not.toContain('hash');
});

test('uploads the last version of an object that is overwritten early', async () => {
  const stack = await newStack();
  const last = createBytes(3000);
  await Promise.all([stack.put('video.mp4', createBytes(1000)), stack.put('video.mp4', createBytes(2000))]);
  await stack.put('video.mp4', last);
  const outcomes = new Set((await stack.results()).map(({ outcome }) => outcome));
  expect([...outcomes].every((outcome) => ['uploaded', 'unchanged', 'superseded'].includes(outcome))).toBe(
    true,
  );
  expect((await stack.head('video.mp4')).Metadata?.['vod-sha1']).toBe(sha1(last));
});

test('writes back to the current version in a versioned bucket', async () => {
  const stack = await newStack();
  await stack.enableVersioning();
  const body = createBytes(1000);
  await stack.put('video.mp4', body);
  const [first, ...more] = await stack.results();
  expect(first).toMatchObject({ outcome: 'uploaded' });
  expect(more).toEqual([]);
  expect((await stack.head('video.mp4')).Metadata?.['vod-file-id']).toBe(first?.fileId);
});

test('skips objects that are neither video nor image', async () => {
  const stack = await newStack();
  await stack.put('notes.txt', createBytes(10), { ContentType: 'text/plain' });
  await stack.put('folder/', createBytes(0));
  const results = await stack.results();
  expect(results.map(({ outcome }) => outcome)).toEqual(['skipped', 'skipped']);
  expect((await stack.head('notes.txt')).Metadata).toEqual({});
});
