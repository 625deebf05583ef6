import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Progress, watchProgress } from '../../../lib/invocation/progress.ts';
import type { InitInput, InitOutput, ObjectVersion, UploadRequest } from '../../../lib/schemas.ts';
import { runInit } from '../../../lib/steps/init.ts';
import { decodeBatch, partCount } from '../../../lib/upload/plan.ts';
import type { NewFile, VodClient } from '../../../lib/vod/v2/client.ts';
import { failIfCalled, useServices } from '../../support/ends.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, VERSIONED } from '../../support/fake-store.ts';
import { newS3Client, recordS3Commands } from '../../support/s3-client.ts';
import { startScriptedServer } from '../../support/scripted-server.ts';
import { ampleDeadline, createBytes, HALF_MIB, hash, sha1, storedAs } from '../../support/values.ts';
import { video } from '../../support/vod-client.ts';

const ends = useServices();
const { store } = ends;
const FILE = storedAs('film');
const marker = { 'vod-file-id': FILE.fileId, 'vod-url': FILE.url, 'vod-sha1': FILE.sha1 };
const NOTHING = { parts: 0, bytes: 0 };

const jobFor = (key: string, more: Partial<UploadRequest> = {}, job: Partial<InitInput> = {}): InitInput => ({
  request: { bucket: BUCKET, key, ...more },
  round: 0,
  sent: NOTHING,
  ...job,
});
const init = (
  job: InitInput,
  vod: Partial<VodClient> = {},
  services = ends.services(vod),
): Promise<InitOutput> => runInit(job, services, ampleDeadline());
const versionOf = async (key: string, bucket = BUCKET) => (await store.find(bucket, key)).pin;

/** Services that record the S3 commands they send. */
function recordCommands(vod: Partial<VodClient>) {
  const { s3, commands } = recordS3Commands(store.endpoint());
  return { commands, services: { ...ends.services(vod), s3 } };
}

describe('returns superseded', () => {
  test.each<[string, (pins: Record<'old' | 'now', ObjectVersion>) => InitInput]>([
    [
      'if the event named another ETag',
      ({ old: { etag } }) => jobFor('over.mp4', { bucket: VERSIONED, etag }),
    ],
    [
      'if the event named another version with the same bytes',
      ({ old, now }) => jobFor('over.mp4', { bucket: VERSIONED, etag: now.etag, versionId: old.versionId }),
    ],
    [
      'if an earlier step used another version',
      ({ old, now }) => jobFor('over.mp4', { bucket: VERSIONED, etag: now.etag }, { pin: old, round: 2 }),
    ],
  ])('%s', async (_name, job) => {
    await store.put(VERSIONED, 'over.mp4', 'old');
    const old = await versionOf('over.mp4', VERSIONED);
    await store.put(VERSIONED, 'over.mp4', 'now');
    const now = await versionOf('over.mp4', VERSIONED);
    expect(await init(job({ old, now }), { initUpload: failIfCalled })).toMatchObject({
      next: 'done',
      outcome: 'superseded',
      reason: expect.stringContaining('overwritten'),
      sent: NOTHING,
    });
  });

  test('not if the object is the requested version', async () => {
    await store.put(VERSIONED, 'same.mp4', 'now');
    const pin = await versionOf('same.mp4', VERSIONED);
    const { etag, versionId } = pin;
    for (const named of [{}, { etag }, { versionId }, { etag, versionId }]) {
      const job = jobFor('same.mp4', { bucket: VERSIONED, ...named });
      expect(await init(job)).toMatchObject({ next: 'parts', pin });
      expect(await init({ ...job, pin })).toMatchObject({ next: 'parts', pin });
    }
  });

  test('if the object is overwritten during the hash pass', async () => {
    await store.put(BUCKET, 'racing.mp4', 'film');
    const { services } = recordCommands({ initUpload: failIfCalled });
    services.s3.middlewareStack.add((next, { commandName }) => async (args) => {
      if (commandName === 'GetObjectCommand') await store.put(BUCKET, 'racing.mp4', 'another');
      return next(args);
    });
    expect(await init(jobFor('racing.mp4'), {}, services)).toMatchObject({ outcome: 'superseded' });
  });
});

describe('a missing object', () => {
  test('ends as deleted if an event or an earlier step named its version', async () => {
    await store.put(BUCKET, 'was.mp4', 'film');
    const pin = await versionOf('was.mp4');
    await store.remove(BUCKET, 'was.mp4');
    for (const job of [jobFor('was.mp4', { etag: pin.etag }), jobFor('was.mp4', {}, { pin })]) {
      expect(await init(job, { initUpload: failIfCalled })).toMatchObject({
        next: 'done',
        outcome: 'deleted',
      });
    }
  });

  test('ends as deleted if it is deleted during the first hash pass, also after a manual request', async () => {
    await store.put(BUCKET, 'short-lived.mp4', 'film');
    const { services } = recordCommands({ initUpload: failIfCalled });
    services.s3.middlewareStack.add((next, { commandName }) => async (args) => {
      if (commandName === 'GetObjectCommand') await store.remove(BUCKET, 'short-lived.mp4');
      return next(args);
    });
    expect(await init(jobFor('short-lived.mp4'), {}, services)).toMatchObject({ outcome: 'deleted' });
  });

  test.each([
    [{}, `s3://${BUCKET}/none.mp4`],
    [{ bucket: 'no-such-bucket' }, 's3://no-such-bucket/none.mp4'],
  ])('fails a manual request with ObjectNotFound: %j', async (where, url) => {
    await expectFailure(init(jobFor('none.mp4', where)), 'ObjectNotFound', url);
  });
});

test.each([
  ['notes.txt', 'extension .txt'],
  ['folder/', 'a folder marker'],
])('skips %s without a read and returns the reason', async (key, reason) => {
  await store.put(BUCKET, key, 'x');
  const { commands, services } = recordCommands({ initUpload: failIfCalled });
  const result = await init(jobFor(key), {}, services);
  expect(result).toMatchObject({ next: 'done', outcome: 'skipped', reason: expect.stringContaining(reason) });
  expect(commands).toEqual(['HeadObjectCommand']);
});

test('sends an image to Cover with its request and without a read', async () => {
  await store.put(BUCKET, 'cover.jpg', '');
  const { commands, services } = recordCommands({ initUpload: failIfCalled });
  const job = jobFor('cover.jpg', { fileId: FILE.fileId });
  const pin = await versionOf('cover.jpg');
  expect(await init(job, {}, services)).toEqual({ ...job, next: 'cover', pin });
  expect(commands).toEqual(['HeadObjectCommand']);
});

test.each(['film.mp4', 'notes.txt'])('rejects a fileId in the request for %s', async (key) => {
  await store.put(BUCKET, key, 'x');
  const call = init(jobFor(key, { fileId: FILE.fileId }), { initUpload: failIfCalled });
  await expectFailure(call, 'InvalidInput', key);
});

test('rejects an empty object', async () => {
  await store.put(BUCKET, 'empty.mp4', '');
  const message = new RegExp(`^s3://${BUCKET}/empty.mp4: .*empty`);
  await expectFailure(init(jobFor('empty.mp4'), { initUpload: failIfCalled }), 'UnsupportedObject', message);
});

describe('returns unchanged without a read', () => {
  test.each([
    ['the SHA-1', { ChecksumAlgorithm: 'SHA1' as const, Metadata: marker }],
    ['the ETag', { Metadata: { ...marker, 'vod-etag': hash('md5', 'film') } }],
  ])('if %s from S3 verifies the marker', async (_name, more) => {
    await store.put(BUCKET, 'known.mp4', 'film', more);
    const { commands, services } = recordCommands({ initUpload: failIfCalled });
    const object = { bucket: BUCKET, key: 'known.mp4', size: 4 };
    const unchanged = { next: 'done', outcome: 'unchanged', ...object, ...FILE, sent: NOTHING };
    expect(await init(jobFor('known.mp4'), {}, services)).toEqual(unchanged);
    expect(commands).toEqual(['HeadObjectCommand']);
  });

  test('not if the marker was copied to other bytes', async () => {
    const Metadata = { ...marker, 'vod-etag': hash('md5', 'film') };
    await store.put(BUCKET, 'copied.mp4', 'other', { Metadata, ChecksumAlgorithm: 'SHA1' });
    expect(await init(jobFor('copied.mp4'))).toMatchObject({ next: 'parts', sha1: sha1('other') });
  });

  test('not in a later round, because VOD lacks parts', async () => {
    await store.put(BUCKET, 'lacking.mp4', 'film', { ChecksumAlgorithm: 'SHA1', Metadata: marker });
    expect(await init(jobFor('lacking.mp4', {}, { round: 1 }))).toMatchObject({ next: 'parts' });
  });
});

test('uses the SHA-1 of S3 instead of reading the object', async () => {
  const body = createBytes(1000);
  await store.put(BUCKET, 'summed.mp4', body, { ChecksumAlgorithm: 'SHA1' });
  const { commands, services } = recordCommands({});
  const output = await init(jobFor('summed.mp4'), {}, services);
  expect(output).toMatchObject({
    next: 'parts',
    sha1: sha1(body),
    session: sha1(body),
    upload: { size: 1000 },
  });
  expect(commands).toEqual(['HeadObjectCommand']);
});

test('continues with Finish if VOD has the file', async () => {
  const film = video(600_000);
  const fileId = await ends.other.upload(film);
  await store.put(BUCKET, 'instant.mp4', film.bytes);
  const output = await init(jobFor('instant.mp4', {}, { execution: 'its name', round: 1 }));
  const file = { fileId, url: expect.stringContaining(fileId), sha1: film.sha1 };
  const { request } = jobFor('instant.mp4');
  const pin = await versionOf('instant.mp4');
  expect(output).toEqual({
    next: 'finish',
    request,
    ...{ execution: 'its name', round: 1, sent: NOTHING },
    ...{ pin, sha1: film.sha1, file },
  });
});

test('merges the options of defaults, metadata, and request; the later wins', async () => {
  await store.put(BUCKET, 'dir/a film.mov', 'film', {
    Metadata: { 'vod-class-id': '2', 'vod-tags': 'x, y', 'vod-file-name': 'named' },
  });
  const files: NewFile[] = [];
  const vod: Partial<VodClient> = {
    initUpload: async (file) => {
      files.push(file);
      return { state: 'stored', file: FILE };
    },
  };
  const services = { ...ends.services(vod), defaults: { classId: 1, transcode: true, tags: ['house'] } };
  await init(jobFor('dir/a film.mov', { options: { classId: 3 } }), {}, services);
  const options = { classId: 3, transcode: true, tags: ['x', 'y'], fileName: 'named' };
  expect(files).toEqual([{ sha1: sha1('film'), size: 4, fileName: 'named', fileType: 'mov', options }]);
});

describe('the plan', () => {
  test('contains all parts of a new upload', async () => {
    const body = createBytes(3_000_000);
    await store.put(BUCKET, 'new.mp4', body);
    const reports: Progress[] = [];
    onTestFinished(watchProgress((report) => reports.push(report)));
    const output = await init(jobFor('new.mp4'));
    const upload = { size: 3_000_000, partSize: 1_048_576 };
    expect(output).toMatchObject({ next: 'parts', upload: { ...upload, batches: [{ first: 0, count: 3 }] } });
    expect(reports.at(-1)).toMatchObject({ stage: 'parts', missing: 3_000_000 });
  });

  test('contains the missing parts of an earlier upload, in its part size', async () => {
    const parts = 7;
    const someParts = fc.uniqueArray(fc.nat(parts - 1), { minLength: 1, maxLength: parts - 1 });
    await fc.assert(
      fc.asyncProperty(someParts, async (held) => {
        const film = video(parts * HALF_MIB - 1000, HALF_MIB);
        await ends.other.init(film);
        for (const part of held) await ends.other.part(film, part);
        await store.put(BUCKET, 'partial.mp4', film.bytes, { ChecksumAlgorithm: 'SHA1' });
        const output = await init(jobFor('partial.mp4'));
        if (output.next !== 'parts') throw new TypeError(`unexpected next: ${output.next}`);
        const { upload } = output;
        expect([upload.partSize, partCount(upload)]).toEqual([HALF_MIB, parts]);
        const missing = [...film.parts.keys()].filter((part) => !held.includes(part));
        expect(upload.batches.flatMap(decodeBatch)).toEqual(missing);
      }),
      { numRuns: 12 },
    );
  });
});

test('rejects an object over 5 TiB without a read', async () => {
  const headers = { 'content-length': 6 * 1024 ** 4, etag: '"huge"', 'content-type': 'video/mp4' };
  const huge = await startScriptedServer((response) => response.writeHead(200, headers).end());
  const s3 = newS3Client(huge.endpoint);
  const call = init(jobFor('huge.mp4'), {}, { ...ends.services({}), s3 });
  const message = /huge\.mp4.*5497558138880 bytes.*6597069766656 bytes/;
  await expectFailure(call, 'UnsupportedObject', message);
  expect(huge.requests.map(({ method }) => method)).toEqual(['HEAD']);
});
