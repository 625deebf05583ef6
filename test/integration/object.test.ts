import { CreateBucketCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3';
import { expect, onTestFinished, test } from 'vitest';
import { type Progress, watchProgress } from '../../lib/progress.ts';
import { startS3 } from '../../local/s3/server.ts';
import { BUCKET, newStack } from '../support/stack.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes, sha1 } from '../support/values.ts';

/** One object, from the bucket to a fileId. */

const watched = (): Progress[] => {
  const steps: Progress[] = [];
  onTestFinished(watchProgress((step) => steps.push(step)));
  return steps;
};

test.each([1, 524_287, 524_288, 1_048_576, 1_048_577, 6_000_000, 20_000_003])(
  'an object of %i bytes is stored byte for byte and carries its fileId',
  async (size) => {
    const world = await newStack();
    const body = createBytes(size);
    await world.put('film.mp4', body);
    const [first, echo, ...more] = await world.results();

    const parts = Math.ceil(size / 1_048_576);
    expect(first).toMatchObject({
      outcome: 'uploaded',
      sha1: sha1(body),
      size,
      sent: { parts, bytes: size },
    });
    expect(sha1(await world.readStoredFile(first?.fileId))).toBe(sha1(body));
    const { Metadata, ContentLength } = await world.head('film.mp4');
    expect(ContentLength).toBe(size);
    expect(Metadata).toMatchObject({
      'vod-file-id': first?.fileId,
      'vod-url': first?.url,
      'vod-sha1': sha1(body),
    });
    // The write-back's own event: looked at, found to carry its fileId, left alone. Then nothing more.
    expect(echo).toMatchObject({ outcome: 'unchanged', fileId: first?.fileId });
    expect(more).toEqual([]);
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
])('the key %j comes through', async (key) => {
  const world = await newStack();
  const body = createBytes(1000);
  await world.put(key, body);
  const [first] = await world.results();
  expect(first).toMatchObject({ key, outcome: 'uploaded' });
  expect(sha1(await world.readStoredFile(first?.fileId))).toBe(sha1(body));
  expect((await world.head(key)).Metadata).toMatchObject({ 'vod-file-id': first?.fileId });
});

test('everything else about the object is as before', async () => {
  const world = await newStack();
  const about = {
    ContentType: 'video/mp4',
    CacheControl: 'max-age=60',
    ContentDisposition: 'attachment; filename="x.mp4"',
    ContentLanguage: 'de',
    StorageClass: 'STANDARD_IA',
    WebsiteRedirectLocation: '/elsewhere',
  } as const;
  await world.put('film.mp4', createBytes(10), { ...about, Metadata: { mine: 'kept' }, Tagging: 'a=1&b=2' });
  await world.results();
  const head = await world.head('film.mp4');
  expect(head).toMatchObject({ ...about, TagCount: 2 });
  expect(head.Metadata).toMatchObject({ mine: 'kept' });
});

test('metadata and options set what VOD makes of a file, the later winning', async () => {
  const world = await newStack({ env: { VOD_CLASS_ID: '7', VOD_WATERMARK: '1', VOD_TAGS: 'house' } });
  await world.put('film.mp4', createBytes(10), {
    Metadata: { 'vod-tags': 'a, b', 'vod-transcode': 'true', 'vod-file-name': '%E7%89%87: one' },
  });
  await world.results();
  expect(await world.readVodIndex()).toMatchObject([
    { fileName: '片_ one', tags: ['a', 'b'], classId: 7, isTranscode: 1, isScreenshot: 0, isWatermark: 1 },
  ]);
});

test('options typed into a console win over metadata', async () => {
  // A store that announces nothing: the person's request is the first word of the object.
  const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' };
  const s3 = await startS3({ dir: await newFolder(), port: 0, credentials });
  const env = { S3_ENDPOINT: s3.endpoint, AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };
  const world = await newStack({ env });
  await world.s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  await world.put('film.mp4', createBytes(10), { Metadata: { 'vod-class-id': '1', 'vod-tags': 'x' } });
  await world.invokeTrigger({ bucket: BUCKET, key: 'film.mp4', options: { classId: 5, screenshot: true } });
  await world.idle();
  expect(await world.readVodIndex()).toMatchObject([
    { classId: 5, tags: ['x'], isScreenshot: 1, isTranscode: 0 },
  ]);
  await world.close();
  await s3.close();
});

test('a type without a suffix that tells it comes from the content type', async () => {
  const world = await newStack();
  await world.put('quiet.bin', createBytes(10), { ContentType: 'video/quicktime' });
  await world.idle();
  expect(await world.readVodIndex()).toMatchObject([{ fileName: 'quiet', fileType: 'mov' }]);
});

test('the same bytes under another key are stored once', async () => {
  const world = await newStack();
  const body = createBytes(3_000_000);
  await world.put('one.mp4', body);
  await world.idle();
  await world.put('two.mp4', body);
  const results = await world.results();
  const [one, two] = ['one.mp4', 'two.mp4'].map((name) => results.find(({ key }) => key === name));
  expect(two).toMatchObject({ outcome: 'instant', fileId: one?.fileId, sent: { parts: 0, bytes: 0 } });
  expect(await world.readVodIndex()).toHaveLength(1);
});

test('other bytes put with the metadata of the old ones are uploaded, not believed', async () => {
  const world = await newStack();
  await world.put('film.mp4', createBytes(1000));
  await world.idle();
  const { Metadata = {} } = await world.head('film.mp4');
  const body = createBytes(2000);
  await world.put('film.mp4', body, { Metadata });
  const results = await world.results();
  const ids = new Set(results.map(({ fileId }) => fileId));
  expect(ids.size).toBe(2);
  const now = (await world.head('film.mp4')).Metadata?.['vod-file-id'];
  expect(now).not.toBe(Metadata['vod-file-id']);
  expect(sha1(await world.readStoredFile(now))).toBe(sha1(body));
});

test('a SHA-1 that S3 holds saves the read', async () => {
  const world = await newStack();
  const steps = watched();
  const body = createBytes(3000);
  await world.put('film.mp4', body, { ChecksumAlgorithm: 'SHA1' });
  const [first] = await world.results();
  expect(first).toMatchObject({ outcome: 'uploaded', sha1: sha1(body) });
  expect(steps.map(({ stage }) => stage)).not.toContain('hash');
});

test('an object overwritten before its event is read is superseded by its own successor', async () => {
  const world = await newStack();
  const last = createBytes(3000);
  await Promise.all([world.put('film.mp4', createBytes(1000)), world.put('film.mp4', createBytes(2000))]);
  await world.put('film.mp4', last);
  const outcomes = new Set((await world.results()).map(({ outcome }) => outcome));
  expect([...outcomes].every((outcome) => ['uploaded', 'unchanged', 'superseded'].includes(outcome))).toBe(
    true,
  );
  expect((await world.head('film.mp4')).Metadata?.['vod-sha1']).toBe(sha1(last));
});

test('in a versioned bucket the current version is written, and the one before stays as it was put', async () => {
  const world = await newStack();
  const versioning = { Status: 'Enabled' } as const;
  await world.s3.send(
    new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: versioning }),
  );
  const body = createBytes(1000);
  await world.put('film.mp4', body);
  const [first, echo, ...more] = await world.results();
  expect(first).toMatchObject({ outcome: 'uploaded' });
  expect(echo).toMatchObject({ outcome: 'unchanged' });
  expect(more).toEqual([]);
  expect((await world.head('film.mp4')).Metadata?.['vod-file-id']).toBe(first?.fileId);
});

test('what is neither video nor image is skipped, untouched', async () => {
  const world = await newStack();
  await world.put('notes.txt', createBytes(10), { ContentType: 'text/plain' });
  await world.put('folder/', createBytes(0));
  const results = await world.results();
  expect(results.map(({ outcome }) => outcome)).toEqual(['skipped', 'skipped']);
  expect((await world.head('notes.txt')).Metadata).toEqual({});
});
