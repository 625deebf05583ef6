import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Progress, watchProgress } from '../../../lib/progress.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import type { InitInput, InitOutput, UploadRequest } from '../../../lib/schemas.ts';
import { runInit } from '../../../lib/steps/init.ts';
import { decodeBatch, partCount } from '../../../lib/upload/plan.ts';
import type { NewFile, VodClient } from '../../../lib/vod/client.ts';
import { notAsked, useEnds } from '../../support/ends.ts';
import { BUCKET, VERSIONED } from '../../support/fake-store.ts';
import { scripted } from '../../support/scripted-server.ts';
import { createBytes, failureOf, HALF_MIB, hash, plenty, sha1, storedAs } from '../../support/values.ts';
import { video } from '../../support/vod-client.ts';

/** What Init decides, and what it plans. How it gets to a hash: `open-hash.test.ts`. */

const ends = useEnds();
const { store } = ends;
const FILE = storedAs('film');
const carrying = { 'vod-file-id': FILE.fileId, 'vod-url': FILE.url, 'vod-sha1': FILE.sha1 };
const NOTHING = { parts: 0, bytes: 0 };

const jobFor = (key: string, more: Partial<UploadRequest> = {}, job: Partial<InitInput> = {}): InitInput => ({
  request: { bucket: BUCKET, key, ...more },
  round: 0,
  sent: NOTHING,
  ...job,
});
const open = (
  job: InitInput,
  vod: Partial<VodClient> = {},
  services = ends.services(vod),
): Promise<InitOutput> => runInit(job, services, plenty());
const pinned = async (key: string, bucket = BUCKET) => (await store.find(bucket, key)).pin;
const remove = (Key: string) => store.client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key }));

/** What is asked of S3 through these services. */
function watched(vod: Partial<VodClient>) {
  const s3 = createS3Client({ endpoint: store.endpoint() });
  onTestFinished(() => s3.destroy());
  const commands: string[] = [];
  s3.middlewareStack.add((next, { commandName = '' }) => (args) => {
    commands.push(commandName);
    return next(args);
  });
  return { commands, services: { ...ends.services(vod), s3 } };
}

describe('superseded', () => {
  test.each<[string, (pins: Record<'old' | 'now', Awaited<ReturnType<typeof pinned>>>) => InitInput]>([
    ['the event named another ETag', ({ old }) => jobFor('over.mp4', { bucket: VERSIONED, etag: old.etag })],
    [
      'the event named another version, of the same bytes',
      ({ old, now }) => jobFor('over.mp4', { bucket: VERSIONED, etag: now.etag, versionId: old.versionId }),
    ],
    [
      'an earlier step of the upload was about another state',
      ({ old, now }) => jobFor('over.mp4', { bucket: VERSIONED, etag: now.etag }, { pin: old, round: 2 }),
    ],
  ])('%s', async (_name, job) => {
    await store.put(VERSIONED, 'over.mp4', 'old');
    const old = await pinned('over.mp4', VERSIONED);
    await store.put(VERSIONED, 'over.mp4', 'now');
    const asked = job({ old, now: await pinned('over.mp4', VERSIONED) });
    expect(await open(asked, { initUpload: notAsked })).toMatchObject({
      next: 'done',
      outcome: 'superseded',
      reason: expect.stringContaining('overwritten'),
      sent: NOTHING,
    });
  });

  test('not where the object is the one that was named, in whatever detail', async () => {
    await store.put(VERSIONED, 'same.mp4', 'now');
    const pin = await pinned('same.mp4', VERSIONED);
    const { etag, versionId } = pin;
    for (const named of [{}, { etag }, { versionId }, { etag, versionId }]) {
      const asked = jobFor('same.mp4', { bucket: VERSIONED, ...named });
      expect(await open(asked)).toMatchObject({ next: 'parts', pin });
      expect(await open({ ...asked, pin })).toMatchObject({ next: 'parts', pin });
    }
  });

  test('overwritten while it was being hashed', async () => {
    await store.put(BUCKET, 'racing.mp4', 'film');
    const { services } = watched({ initUpload: notAsked });
    services.s3.middlewareStack.add((next, { commandName }) => async (args) => {
      if (commandName === 'GetObjectCommand') await store.put(BUCKET, 'racing.mp4', 'another');
      return next(args);
    });
    expect(await open(jobFor('racing.mp4'), {}, services)).toMatchObject({ outcome: 'superseded' });
  });
});

describe('an object that is not there', () => {
  test('is gone, where an event or an earlier step knew it', async () => {
    await store.put(BUCKET, 'was.mp4', 'film');
    const pin = await pinned('was.mp4');
    await remove('was.mp4');
    for (const job of [jobFor('was.mp4', { etag: pin.etag }), jobFor('was.mp4', {}, { pin })]) {
      expect(await open(job, { initUpload: notAsked })).toMatchObject({ next: 'done', outcome: 'deleted' });
    }
  });

  test.each([
    [{}, `s3://${BUCKET}/none.mp4`],
    [{ bucket: 'no-such-bucket' }, 's3://no-such-bucket/none.mp4'],
  ])('is told to somebody who asks for it: %j', async (where, named) => {
    const { name, message } = await failureOf(open(jobFor('none.mp4', where)));
    expect(name).toBe('ObjectNotFound');
    expect(message).toContain(named);
  });
});

test.each([
  ['notes.txt', 'suffix .txt'],
  ['folder/', 'a folder marker'],
])('%s is skipped, unread, saying why', async (key, reason) => {
  await store.put(BUCKET, key, 'x');
  const { commands, services } = watched({ initUpload: notAsked });
  const result = await open(jobFor(key), {}, services);
  expect(result).toMatchObject({ next: 'done', outcome: 'skipped', reason: expect.stringContaining(reason) });
  expect(commands).toEqual(['HeadObjectCommand']);
});

test('an image goes to Cover, unread, with what was asked', async () => {
  await store.put(BUCKET, 'cover.jpg', '');
  const { commands, services } = watched({ initUpload: notAsked });
  const asked = jobFor('cover.jpg', { fileId: FILE.fileId });
  expect(await open(asked, {}, services)).toEqual({
    ...asked,
    next: 'cover',
    pin: await pinned('cover.jpg'),
  });
  expect(commands).toEqual(['HeadObjectCommand']);
});

test.each(['film.mp4', 'notes.txt'])('a fileId is no word for %s', async (key) => {
  await store.put(BUCKET, key, 'x');
  const failure = failureOf(open(jobFor(key, { fileId: FILE.fileId }), { initUpload: notAsked }));
  expect(await failure).toMatchObject({ name: 'InvalidInput', message: expect.stringContaining(key) });
});

test('an empty object is unfit, by name', async () => {
  await store.put(BUCKET, 'empty.mp4', '');
  const { name, message } = await failureOf(open(jobFor('empty.mp4'), { initUpload: notAsked }));
  expect([name, message]).toEqual([
    'UnsupportedObject',
    expect.stringMatching(`^s3://${BUCKET}/empty.mp4: .*empty`),
  ]);
});

describe('unchanged, without a read', () => {
  test.each([
    ['its SHA-1', { ChecksumAlgorithm: 'SHA1' as const, Metadata: carrying }],
    ['its ETag', { Metadata: { ...carrying, 'vod-etag': hash('md5', 'film') } }],
  ])('where S3 vouches for it by %s', async (_name, more) => {
    await store.put(BUCKET, 'known.mp4', 'film', more);
    const { commands, services } = watched({ initUpload: notAsked });
    expect(await open(jobFor('known.mp4'), {}, services)).toEqual({
      next: 'done',
      bucket: BUCKET,
      key: 'known.mp4',
      outcome: 'unchanged',
      size: 4,
      ...FILE,
      sent: NOTHING,
    });
    expect(commands).toEqual(['HeadObjectCommand']);
  });

  test('not where other bytes were put with that metadata', async () => {
    const Metadata = { ...carrying, 'vod-etag': hash('md5', 'film') };
    await store.put(BUCKET, 'copied.mp4', 'other', { Metadata, ChecksumAlgorithm: 'SHA1' });
    expect(await open(jobFor('copied.mp4'))).toMatchObject({ next: 'parts', sha1: sha1('other') });
  });

  test('not where VOD turned out to lack parts of it: a later round goes on', async () => {
    await store.put(BUCKET, 'lacking.mp4', 'film', { ChecksumAlgorithm: 'SHA1', Metadata: carrying });
    expect(await open(jobFor('lacking.mp4', {}, { round: 1 }))).toMatchObject({ next: 'parts' });
  });
});

test('a SHA-1 that S3 holds spares the read', async () => {
  const body = createBytes(1000);
  await store.put(BUCKET, 'summed.mp4', body, { ChecksumAlgorithm: 'SHA1' });
  const { commands, services } = watched({});
  const output = await open(jobFor('summed.mp4'), {}, services);
  expect(output).toMatchObject({ next: 'parts', sha1: sha1(body), upload: { sha1: sha1(body), size: 1000 } });
  expect(commands).toEqual(['HeadObjectCommand']);
});

test('a file that VOD has already goes straight to Finish', async () => {
  const film = video(600_000);
  const fileId = await ends.other.upload(film);
  await store.put(BUCKET, 'instant.mp4', film.bytes);
  const output = await open(jobFor('instant.mp4', {}, { execution: 'its name', round: 1 }));
  const file = { fileId, url: expect.stringContaining(fileId), sha1: film.sha1 };
  const { request } = jobFor('instant.mp4');
  const pin = await pinned('instant.mp4');
  expect(output).toEqual({
    next: 'finish',
    request,
    execution: 'its name',
    round: 1,
    sent: NOTHING,
    pin,
    sha1: film.sha1,
    file,
  });
});

test('what VOD is told of it: the later of defaults, metadata, and request', async () => {
  await store.put(BUCKET, 'dir/a film.mov', 'film', {
    Metadata: { 'vod-class-id': '2', 'vod-tags': 'x, y', 'vod-file-name': 'named' },
  });
  const asked: NewFile[] = [];
  const vod: Partial<VodClient> = {
    initUpload: async (file) => {
      asked.push(file);
      return { state: 'stored', file: FILE };
    },
  };
  const services = { ...ends.services(vod), defaults: { classId: 1, transcode: true, tags: ['house'] } };
  await open(jobFor('dir/a film.mov', { options: { classId: 3 } }), {}, services);
  const options = { classId: 3, transcode: true, tags: ['x', 'y'], fileName: 'named' };
  expect(asked).toEqual([{ sha1: sha1('film'), size: 4, fileName: 'named', fileType: 'mov', options }]);
});

describe('the plan', () => {
  test('of a new upload is the whole file', async () => {
    const body = createBytes(3_000_000);
    await store.put(BUCKET, 'new.mp4', body);
    const steps: Progress[] = [];
    onTestFinished(watchProgress((step) => steps.push(step)));
    const output = await open(jobFor('new.mp4'));
    const upload = { sha1: sha1(body), size: 3_000_000, partSize: 1_048_576 };
    expect(output).toMatchObject({ next: 'parts', upload: { ...upload, batches: [{ first: 0, count: 3 }] } });
    expect(steps.at(-1)).toMatchObject({ stage: 'parts', missing: 3_000_000 });
  });

  test('of one begun before, in whatever part size, is exactly what VOD lacks', async () => {
    const parts = 7;
    const someParts = fc.uniqueArray(fc.nat(parts - 1), { minLength: 1, maxLength: parts - 1 });
    await fc.assert(
      fc.asyncProperty(someParts, async (held) => {
        const film = video(parts * HALF_MIB - 1000, HALF_MIB);
        await ends.other.init(film);
        for (const part of held) await ends.other.part(film, part);
        await store.put(BUCKET, 'begun.mp4', film.bytes, { ChecksumAlgorithm: 'SHA1' });
        const output = await open(jobFor('begun.mp4'));
        if (output.next !== 'parts') throw new TypeError(`went on to ${output.next}`);
        const { upload } = output;
        expect([upload.partSize, partCount(upload)]).toEqual([HALF_MIB, parts]);
        const missing = [...film.parts.keys()].filter((part) => !held.includes(part));
        expect(upload.batches.flatMap(decodeBatch)).toEqual(missing);
      }),
      { numRuns: 12 },
    );
  });
});

test('an object larger than the plan holds ends before a byte of it is read, naming both sizes', async () => {
  const huge = await scripted((response) =>
    response
      .writeHead(200, { 'content-length': 6 * 1024 ** 4, etag: '"huge"', 'content-type': 'video/mp4' })
      .end(),
  );
  const s3 = createS3Client({ endpoint: huge.endpoint });
  onTestFinished(() => s3.destroy());
  expect(await failureOf(open(jobFor('huge.mp4'), {}, { ...ends.services({}), s3 }))).toMatchObject({
    name: 'UnsupportedObject',
    message: expect.stringMatching(/huge\.mp4.*5497558138880 bytes.*6597069766656 bytes/),
  });
  expect(huge.asked.map(({ method }) => method)).toEqual(['HEAD']);
});
