import { DeleteObjectCommand, S3ServiceException } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DeadlineExceeded } from '../../../lib/deadline.ts';
import { UnsupportedObject, UploadNotFound, VodRejected, VodUnavailable } from '../../../lib/errors.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import type { FinishJob, FinishOutput, ObjectVersion, SentTotals, StoredFile } from '../../../lib/schemas.ts';
import { runFinish } from '../../../lib/steps/finish.ts';
import type { VodClient } from '../../../lib/vod/client.ts';
import { notAsked, useEnds } from '../../support/ends.ts';
import { BUCKET, VERSIONED } from '../../support/fake-store.ts';
import { failureOf, plenty, sha1, storedAs } from '../../support/values.ts';
import { type Video, video } from '../../support/vod-client.ts';

const ends = useEnds();
const { store } = ends;

const sent = (parts: number, bytes: number): SentTotals => ({ parts, bytes });
const pinned = async (key: string, bucket = BUCKET): Promise<ObjectVersion> =>
  (await store.find(bucket, key)).pin;
const jobFor = (
  pin: ObjectVersion,
  bytes: Uint8Array | string,
  more: Partial<FinishJob> = {},
): FinishJob => ({
  request: { bucket: pin.bucket, key: pin.key },
  execution: 'the name of it',
  round: 0,
  sent: sent(0, 0),
  pin,
  sha1: sha1(bytes),
  ...more,
});
const close = (job: FinishJob, vod: Partial<VodClient> = {}, redrives = 0): Promise<FinishOutput> =>
  runFinish({ job, redrives }, ends.services(vod), plenty());

/** An object, and its upload as far as all parts but those of `missing`. */
async function sentAll(key: string, missing: readonly number[] = [], bucket = BUCKET) {
  const film: Video = video(1_200_000);
  await store.put(bucket, key, film.bytes);
  await ends.other.init(film);
  for (const part of film.parts.keys()) if (!missing.includes(part)) await ends.other.part(film, part);
  return { film, pin: await pinned(key, bucket) };
}

test('an upload that is whole is closed, and its fileId is on the object', async () => {
  const { film, pin } = await sentAll('whole.mp4');
  const job = jobFor(pin, film.bytes, { sent: sent(1, 10), parts: [sent(2, 20), sent(0, 0), sent(3, 30)] });
  const result = await close(job);
  const stored = ends.files().find((file) => file.sha1 === film.sha1);
  expect(stored?.fileId).toMatch(/^\d+$/);
  expect(result).toEqual({
    next: 'done',
    bucket: BUCKET,
    key: 'whole.mp4',
    outcome: 'uploaded',
    size: film.bytes.length,
    sha1: film.sha1,
    fileId: stored?.fileId,
    url: expect.stringContaining(`/${stored?.fileId}.mp4`),
    sent: sent(6, 60),
  });
  expect((await store.find(BUCKET, 'whole.mp4')).metadata).toMatchObject({ 'vod-file-id': stored?.fileId });
});

describe('what became of the object', () => {
  const FILE = storedAs('film');
  const carrying = { 'vod-file-id': FILE.fileId, 'vod-url': FILE.url, 'vod-sha1': FILE.sha1 };
  test.each<[string, Partial<FinishJob>, Record<string, string>]>([
    ['uploaded', { parts: [sent(1, 4)] }, {}],
    ['uploaded', { parts: [sent(1, 4)] }, carrying],
    ['uploaded', { sent: sent(1, 4) }, {}],
    ['uploaded', { sent: sent(1, 4), file: FILE }, {}],
    ['instant', { file: FILE }, {}],
    ['instant', { parts: [] }, {}],
    ['instant', { file: FILE }, { ...carrying, 'vod-file-id': '1' }],
    ['unchanged', { file: FILE }, carrying],
    ['unchanged', { parts: [] }, carrying],
  ])('%s, with %j on an object of metadata %j', async (outcome, more, Metadata) => {
    await store.put(BUCKET, 'outcome.mp4', 'film', { Metadata });
    const before = store.events.length;
    const finish = more.file ? notAsked : async (): Promise<StoredFile> => FILE;
    const result = await close(jobFor(await pinned('outcome.mp4'), 'film', more), { finishUpload: finish });
    expect(result).toMatchObject({ next: 'done', outcome, ...FILE });
    expect((await store.find(BUCKET, 'outcome.mp4')).metadata).toMatchObject(carrying);
    const isWritten = Metadata['vod-file-id'] !== FILE.fileId;
    expect(store.events.length - before).toBe(isWritten ? 1 : 0);
  });
});

describe('an upload that is not whole goes back to Init', () => {
  test('when VOD says that parts are missing: with its pin, its hash, and all that was sent so far', async () => {
    const { film, pin } = await sentAll('lacking.mp4', [1]);
    const job = jobFor(pin, film.bytes, {
      round: 2,
      sent: sent(1, 10),
      parts: [sent(2, 20)],
      upload: { sha1: sha1(film.bytes), size: pin.size, partSize: film.partSize, batches: [] },
    });
    expect(await close(job)).toEqual({
      next: 'init',
      request: job.request,
      execution: job.execution,
      round: 3,
      sent: sent(3, 30),
      pin,
      sha1: film.sha1,
    });
    expect((await store.find(BUCKET, 'lacking.mp4')).metadata).toEqual({});

    await ends.other.part(film, 1);
    expect(await close({ ...job, round: 3 })).toMatchObject({ next: 'done', outcome: 'uploaded' });
  });

  test('when a run of parts gave it up: VOD is not even asked', async () => {
    await store.put(BUCKET, 'given-up.mp4', 'film');
    const parts = [sent(1, 4), { ...sent(2, 8), restartReason: 'UploadNotFound' }];
    const again = await close(jobFor(await pinned('given-up.mp4'), 'film', { parts }), {
      finishUpload: notAsked,
    });
    expect(again).toMatchObject({ next: 'init', round: 1, sent: sent(3, 12) });
    expect('lost' in again.sent).toBe(false);
  });

  test('five rounds in all, and five more with each redrive; then it says what was last missing', async () => {
    await store.put(BUCKET, 'hopeless.mp4', 'film');
    const lacks = async () => {
      throw new UploadNotFound('1 of 3 parts are missing');
    };
    let job = jobFor(await pinned('hopeless.mp4'), 'film');
    const rounds: number[][] = [];
    for (let redrives = 0; redrives < 3; redrives++) {
      const begun: number[] = [];
      const failure = await failureOf(
        (async () => {
          for (;;) {
            const next = await close(job, { finishUpload: lacks }, redrives);
            if (next.next !== 'init') throw new TypeError(`it ended as ${next.outcome}`);
            job = { ...job, round: next.round };
            begun.push(next.round);
          }
        })(),
      );
      expect(failure.name).toBe('UploadIncomplete');
      expect(failure.message).toMatch(
        /^FinishUpload s3:\/\/plain-bucket\/hopeless\.mp4: .* 1 of 3 parts are missing$/,
      );
      rounds.push(begun);
    }
    expect(rounds).toEqual([
      [1, 2, 3, 4], // after round 0, which Init began
      [5, 6, 7, 8, 9],
      [10, 11, 12, 13, 14],
    ]);
  });
});

describe('an object that is another by the time its upload is whole', () => {
  const FILE = storedAs('film');
  const remove = (Key: string, Bucket = BUCKET) =>
    store.client.send(new DeleteObjectCommand({ Bucket, Key }));

  test.each([BUCKET, VERSIONED])(
    'overwritten in %s: superseded, and the new one is left alone',
    async (bucket) => {
      await store.put(bucket, 'over.mp4', 'film');
      const finish = async (): Promise<StoredFile> => {
        await store.put(bucket, 'over.mp4', 'another', { Metadata: { theirs: '1' } });
        return FILE;
      };
      const job = jobFor(await pinned('over.mp4', bucket), 'film', { parts: [sent(1, 4)] });
      expect(await close(job, { finishUpload: finish })).toMatchObject({
        next: 'done',
        outcome: 'superseded',
        reason: expect.stringContaining('overwritten'),
        sent: sent(1, 4),
      });
      expect(await store.find(bucket, 'over.mp4')).toMatchObject({
        metadata: { theirs: '1' },
        pin: { size: 7 },
      });
    },
  );

  test.each([BUCKET, VERSIONED])('deleted in %s: gone, and it stays so', async (bucket) => {
    await store.put(bucket, 'deleted.mp4', 'film');
    const job = jobFor(await pinned('deleted.mp4', bucket), 'film', { file: FILE });
    await remove('deleted.mp4', bucket);
    expect(await close(job)).toMatchObject({ next: 'done', outcome: 'deleted', sent: sent(0, 0) });
    expect(await failureOf(store.find(bucket, 'deleted.mp4'))).toMatchObject({ name: 'ObjectDeleted' });
  });

  /** S3 refuses so many copies as if the object had changed, which it has not. */
  async function closeAgainst(refusals: number) {
    await store.put(BUCKET, 'flickers.mp4', 'film');
    const s3 = createS3Client({ endpoint: store.endpoint() });
    onTestFinished(() => s3.destroy());
    let copies = 0;
    s3.middlewareStack.add((next, { commandName }) => async (args) => {
      if (commandName !== 'CopyObjectCommand' || ++copies > refusals) return next(args);
      const [name, $metadata] = ['PreconditionFailed', { httpStatusCode: 412 }];
      throw new S3ServiceException({ name, message: name, $fault: 'client', $metadata });
    });
    const job = jobFor(await pinned('flickers.mp4'), 'film', { file: FILE });
    const result = await runFinish({ job, redrives: 0 }, { ...ends.services(), s3 }, plenty());
    return { result, copies };
  }

  test('one that only seemed so is looked at again, three times in all', async () => {
    expect(await closeAgainst(2)).toMatchObject({ result: { outcome: 'instant' }, copies: 3 });
    expect((await store.find(BUCKET, 'flickers.mp4')).metadata).toMatchObject({ 'vod-file-id': FILE.fileId });
  });

  test('one that only ever seems so is not superseded, which nobody else would bring: the step is repeated', async () => {
    expect(await failureOf(closeAgainst(9))).toMatchObject({
      name: 'StorageUnavailable',
      message: expect.stringContaining('S3 rejected 3 attempts, but the object did not change'),
    });
  });
});

// The copy that wrote it made another version, or of an object put in parts another ETag: it is not somebody else's.
describe('an upload that is closed once more, since the reply to the first was lost, ends in the same way', () => {
  const film = 'film';
  test.each([
    ['a plain object', BUCKET, store.put],
    ['a version', VERSIONED, store.put],
    ['an object put in parts', BUCKET, store.putInParts],
  ])('%s', async (what, bucket, put) => {
    const key = `twice, ${what}.mp4`;
    await put(bucket, key, film);
    const finish = async (): Promise<StoredFile> => storedAs(film);
    const job = jobFor(await pinned(key, bucket), film, { parts: [sent(1, 4)] });
    const first = await close(job, { finishUpload: finish });
    const events = store.events.length;
    expect(first).toMatchObject({ outcome: 'uploaded' });
    expect(await close(job, { finishUpload: finish })).toEqual(first);
    expect(store.events.length).toBe(events);
  });
});

describe('a failure is the failure of the step', () => {
  test.each([
    new VodRejected('the account may not'),
    new VodUnavailable('not now'),
    new UnsupportedObject('no room'),
  ])('$name', async (error) => {
    await store.put(BUCKET, 'fails.mp4', 'film');
    const finish = () => Promise.reject(error);
    const job = jobFor(await pinned('fails.mp4'), 'film', { parts: [sent(1, 4)] });
    await expect(close(job, { finishUpload: finish })).rejects.toBe(error);
    expect((await store.find(BUCKET, 'fails.mp4')).metadata).toEqual({});
  });

  test('the time was over: NoProgress, naming the object', async () => {
    await store.put(BUCKET, 'late.mp4', 'film');
    const job = jobFor(await pinned('late.mp4'), 'film', { file: storedAs('film') });
    const over = plenty(AbortSignal.abort(new DeadlineExceeded('the time limit of 1 ms was over')));
    const { name, message } = await failureOf(runFinish({ job, redrives: 0 }, ends.services(), over));
    expect(name).toBe('NoProgress');
    expect(message).toContain(`s3://${BUCKET}/late.mp4: the time limit of 1 ms was over`);
  });
});
