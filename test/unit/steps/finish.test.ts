import { type CopyObjectCommandInput, S3ServiceException } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import {
  ObjectChanged,
  UnsupportedObject,
  UploadNotFound,
  VodRejected,
  VodUnavailable,
} from '../../../lib/errors.ts';
import { DeadlineExceeded } from '../../../lib/invocation/deadline.ts';
import {
  FinishJob,
  type FinishOutput,
  type ObjectVersion,
  parse,
  type SentTotals,
} from '../../../lib/schemas.ts';
import { runFinish } from '../../../lib/steps/finish.ts';
import type { Services } from '../../../lib/steps/services.ts';
import type { HashedFile, VodClient } from '../../../lib/vod/v2/client.ts';
import { failIfCalled, useServices } from '../../support/ends.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, VERSIONED } from '../../support/fake-store.ts';
import { createTestAdmission } from '../../support/quota.ts';
import { newS3Client } from '../../support/s3-client.ts';
import { startScriptedServer } from '../../support/scripted-server.ts';
import { ampleDeadline, createBytes, MIB, sha1, storedAs } from '../../support/values.ts';
import { type Video, video } from '../../support/vod-client.ts';

const ends = useServices();
const { store } = ends;

const sent = (parts: number, bytes: number): SentTotals => ({ parts, bytes });
const versionOf = async (key: string, bucket = BUCKET): Promise<ObjectVersion> =>
  (await store.find(bucket, key)).pin;
function jobFor(pin: ObjectVersion, bytes: Uint8Array | string, more: Partial<FinishJob> = {}): FinishJob {
  const request = { bucket: pin.bucket, key: pin.key };
  const start = { request, execution: 'its name', round: 0, sent: sent(0, 0) };
  return { ...start, pin, sha1: sha1(bytes), session: sha1(bytes), ...more };
}
const finish = (job: FinishJob, vod: Partial<VodClient> = {}, redrives = 0): Promise<FinishOutput> =>
  runFinish({ job, redrives }, ends.services(vod), ampleDeadline());

/** Creates an object and sends its parts to VOD, except for those in `missing`. */
async function sendParts(key: string, missing: readonly number[] = []) {
  const film: Video = video(1_200_000);
  await store.put(BUCKET, key, film.bytes);
  await ends.other.init(film);
  for (const part of film.parts.keys()) if (!missing.includes(part)) await ends.other.part(film, part);
  return { film, pin: await versionOf(key) };
}

test('completes the upload and writes the fileId to the object', async () => {
  const { film, pin } = await sendParts('whole.mp4');
  const job = jobFor(pin, film.bytes, { sent: sent(1, 10), parts: [sent(2, 20), sent(0, 0), sent(3, 30)] });
  const result = await finish(job);
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

describe('the outcome', () => {
  const FILE = storedAs('film');
  const marker = { 'vod-file-id': FILE.fileId, 'vod-url': FILE.url, 'vod-sha1': FILE.sha1 };
  test.each<[string, Partial<FinishJob>, Record<string, string>]>([
    ['uploaded', { parts: [sent(1, 4)] }, {}],
    ['uploaded', { parts: [sent(1, 4)] }, marker],
    ['uploaded', { sent: sent(1, 4) }, {}],
    ['uploaded', { sent: sent(1, 4), file: FILE }, {}],
    ['instant', { file: FILE }, {}],
    ['instant', { parts: [] }, {}],
    ['instant', { file: FILE }, { ...marker, 'vod-file-id': '1' }],
    ['unchanged', { file: FILE }, marker],
    ['unchanged', { parts: [] }, marker],
  ])('is %s for %j and the metadata %j', async (outcome, more, Metadata) => {
    await store.put(BUCKET, 'outcome.mp4', 'film', { Metadata });
    const before = store.events.length;
    const finishUpload = more.file ? failIfCalled : async (): Promise<HashedFile> => FILE;
    const result = await finish(jobFor(await versionOf('outcome.mp4'), 'film', more), { finishUpload });
    expect(result).toMatchObject({ next: 'done', outcome, ...FILE });
    expect((await store.find(BUCKET, 'outcome.mp4')).metadata).toMatchObject(marker);
    const isWritten = Metadata['vod-file-id'] !== FILE.fileId;
    expect(store.events.length - before).toBe(isWritten ? 1 : 0);
  });
});

describe('returns to Init', () => {
  test('with the version, the SHA-1, and the totals if VOD lacks parts', async () => {
    const { film, pin } = await sendParts('lacking.mp4', [1]);
    const job = jobFor(pin, film.bytes, {
      round: 2,
      sent: sent(1, 10),
      parts: [sent(2, 20)],
      upload: { size: pin.size, partSize: film.partSize, functions: 4, batches: [] },
    });
    expect(await finish(job)).toEqual({
      next: 'init',
      request: job.request,
      execution: job.execution,
      round: 3,
      sent: sent(3, 30),
      pin,
      sha1: film.sha1,
      session: film.sha1,
    });
    expect((await store.find(BUCKET, 'lacking.mp4')).metadata).toEqual({});

    await ends.other.part(film, 1);
    expect(await finish({ ...job, round: 3 })).toMatchObject({ next: 'done', outcome: 'uploaded' });
  });

  test('without a call to VOD if a batch returned a restartReason', async () => {
    await store.put(BUCKET, 'given-up.mp4', 'film');
    const parts = [sent(1, 4), { ...sent(2, 8), restartReason: 'UploadNotFound' }];
    const output = await finish(jobFor(await versionOf('given-up.mp4'), 'film', { parts }), {
      finishUpload: failIfCalled,
    });
    expect(output).toMatchObject({ next: 'init', round: 1 });
    expect(output.sent).toEqual(sent(3, 12));
  });

  test('for five rounds, and for five more after each redrive', async () => {
    await store.put(BUCKET, 'incomplete.mp4', 'film');
    let job = jobFor(await versionOf('incomplete.mp4'), 'film');
    const finishUpload = () => Promise.reject(new UploadNotFound('1 of 3 parts are missing'));
    const rounds: number[][] = [];
    for (let redrives = 0; redrives < 3; redrives++) {
      const started: number[] = [];
      const runRounds = async (): Promise<void> => {
        for (;;) {
          const output = await finish(job, { finishUpload }, redrives);
          if (output.next !== 'init') throw new TypeError(`unexpected: ${output.next}`);
          job = { ...job, round: output.round };
          started.push(output.round);
        }
      };
      const message = /^FinishUpload s3:\/\/plain-bucket\/incomplete\.mp4: .* 1 of 3 parts are missing$/;
      await expectFailure(runRounds(), 'UploadIncomplete', message);
      rounds.push(started);
    }
    expect(rounds).toEqual([
      [1, 2, 3, 4], // round 0 started in Init
      [5, 6, 7, 8, 9],
      [10, 11, 12, 13, 14],
    ]);
  });
});

test('returns to itself while an object is copied in parts, without a second call to VOD', async () => {
  const body = createBytes(6 * MIB);
  await store.put(BUCKET, 'large.mp4', body);
  const calls: string[] = [];
  const finishUpload = async (): Promise<HashedFile> => {
    calls.push('FinishUpload');
    return storedAs(body);
  };
  const leave = async (name: string) => void calls.push(`leave ${name}`);
  const services: Services = {
    ...ends.services({ finishUpload }),
    admission: { ...createTestAdmission(), appliesTo: () => true, leave },
    writeBack: { mode: 'metadata', maxCopyBytes: 5 * MIB },
  };
  const job = jobFor(await versionOf('large.mp4'), body, { parts: [sent(1, 4)] });
  const opened = await runFinish({ job, redrives: 0 }, services, ampleDeadline());
  const copy = { uploadId: expect.any(String), source: expect.any(String) };
  expect(opened).toMatchObject({ next: 'finish', file: storedAs(body), copy, sent: sent(1, 4) });
  expect((await store.find(BUCKET, 'large.mp4')).metadata).toEqual({});
  const next = parse(FinishJob, JSON.parse(JSON.stringify(opened)), 'the state');
  const done = await runFinish({ job: next, redrives: 0 }, services, ampleDeadline());
  expect(done).toMatchObject({ next: 'done', outcome: 'uploaded', ...storedAs(body), sent: sent(1, 4) });
  expect(calls).toEqual(['leave its name', 'FinishUpload']);
  expect('copy' in done).toBe(false);
});

describe('a target whose close takes several calls', () => {
  const closeWith = (close: Services['vod']['close']): Services => {
    const services = ends.services();
    return { ...services, vod: { ...services.vod, close } };
  };

  test('is asked again after a wait, with the session that it returned', async () => {
    await store.put(BUCKET, 'slow.mp4', 'film');
    const sessions: string[] = [];
    const services = closeWith(async ({ session }) => {
      sessions.push(session);
      return sessions.length === 1
        ? { state: 'waiting', session: 'second', waitSeconds: 7 }
        : { state: 'stored', file: storedAs('film'), note: 'a fact' };
    });
    const job = jobFor(await versionOf('slow.mp4'), 'film', { session: 'first', parts: [sent(1, 4)] });
    const waiting = await runFinish({ job, redrives: 0 }, services, ampleDeadline());
    expect(waiting).toMatchObject({ next: 'wait', session: 'second', waitSeconds: 7, sent: sent(1, 4) });
    const next = parse(FinishJob, JSON.parse(JSON.stringify(waiting)), 'the state');
    const done = await runFinish({ job: next, redrives: 0 }, services, ampleDeadline());
    expect(done).toMatchObject({ next: 'done', outcome: 'uploaded', reason: 'a fact' });
    expect(sessions).toEqual(['first', 'second']);
  });

  test('is not asked again if S3 fails after the close', async () => {
    await store.put(BUCKET, 'closed.mp4', 'film');
    const { endpoint } = await startScriptedServer((response) => response.writeHead(503).end());
    const s3 = newS3Client(endpoint);
    const job = jobFor(await versionOf('closed.mp4'), 'film');
    const services = { ...closeWith(async () => ({ state: 'stored', file: storedAs('film') })), s3 };
    const closed = await runFinish({ job, redrives: 0 }, services, ampleDeadline());
    expect(closed).toMatchObject({ next: 'finish', file: storedAs('film') });
    const next = parse(FinishJob, JSON.parse(JSON.stringify(closed)), 'the state');
    const again = runFinish({ job: next, redrives: 0 }, { ...closeWith(failIfCalled), s3 }, ampleDeadline());
    await expectFailure(again, 'StorageUnavailable', /503|closed\.mp4/);
  });

  test('abandons the upload of an object that was overwritten', async () => {
    await store.put(BUCKET, 'left.mp4', 'film');
    const pin = await versionOf('left.mp4');
    await store.put(BUCKET, 'left.mp4', 'another film');
    const abandoned: string[] = [];
    const services = closeWith(async () => {
      throw new ObjectChanged('it changed');
    });
    const vod = {
      ...services.vod,
      abandon: async ({ session }: { session: string }) => void abandoned.push(session),
    };
    const job = jobFor(pin, 'film', { session: 'open' });
    const result = await runFinish({ job, redrives: 0 }, { ...services, vod }, ampleDeadline());
    expect(result).toMatchObject({ outcome: 'superseded' });
    expect(abandoned).toEqual(['open']);
  });
});

describe('an object that changes during the upload', () => {
  const FILE = storedAs('film');
  test.each([BUCKET, VERSIONED])('ends as superseded, unchanged, if overwritten in %s', async (bucket) => {
    await store.put(bucket, 'over.mp4', 'film');
    const finishUpload = async (): Promise<HashedFile> => {
      await store.put(bucket, 'over.mp4', 'another', { Metadata: { theirs: '1' } });
      return FILE;
    };
    const job = jobFor(await versionOf('over.mp4', bucket), 'film', { parts: [sent(1, 4)] });
    const reason = expect.stringContaining('overwritten');
    const superseded = { next: 'done', outcome: 'superseded', reason, sent: sent(1, 4) };
    expect(await finish(job, { finishUpload })).toMatchObject(superseded);
    const { metadata, pin } = await store.find(bucket, 'over.mp4');
    expect([metadata, pin.size]).toEqual([{ theirs: '1' }, 7]);
  });

  test.each([BUCKET, VERSIONED])('ends as deleted, and stays so, if deleted in %s', async (bucket) => {
    await store.put(bucket, 'deleted.mp4', 'film');
    const job = jobFor(await versionOf('deleted.mp4', bucket), 'film', { file: FILE });
    await store.remove(bucket, 'deleted.mp4');
    expect(await finish(job)).toMatchObject({ next: 'done', outcome: 'deleted', sent: sent(0, 0) });
    await expectFailure(store.find(bucket, 'deleted.mp4'), 'ObjectDeleted');
  });

  /** S3 rejects copies with 412, although the object did not change. */
  async function finishDespite(isRejected: (input: CopyObjectCommandInput) => boolean) {
    await store.put(BUCKET, 'flickers.mp4', 'film');
    const s3 = newS3Client(store.endpoint());
    s3.middlewareStack.add((next, { commandName }) => async (args) => {
      if (commandName !== 'CopyObjectCommand' || !isRejected(args.input as CopyObjectCommandInput))
        return next(args);
      const [name, $metadata] = ['PreconditionFailed', { httpStatusCode: 412 }];
      throw new S3ServiceException({ name, message: name, $fault: 'client', $metadata });
    });
    const job = jobFor(await versionOf('flickers.mp4'), 'film', { file: FILE });
    return runFinish({ job, redrives: 0 }, { ...ends.services(), s3 }, ampleDeadline());
  }

  test('is written back although S3 wrongly reports a change at first', async () => {
    let rejections = 3;
    const result = await finishDespite(() => rejections-- > 0);
    expect(result).toMatchObject({ outcome: 'instant' });
    expect(result).not.toHaveProperty('reason');
    expect((await store.find(BUCKET, 'flickers.mp4')).metadata).toMatchObject({ 'vod-file-id': FILE.fileId });
  });

  test('is written back with the condition on the ETag if S3 always rejects the one on the time', async () => {
    const result = await finishDespite(
      ({ CopySourceIfUnmodifiedSince }) => CopySourceIfUnmodifiedSince !== undefined,
    );
    const reason = expect.stringContaining('only its ETag was a condition');
    expect(result).toMatchObject({ outcome: 'instant', fileId: FILE.fileId, reason });
    expect((await store.find(BUCKET, 'flickers.mp4')).metadata).toMatchObject({ 'vod-file-id': FILE.fileId });
  });

  test('fails with StorageUnavailable, not as superseded, if S3 keeps reporting a change', async () => {
    const message = 'S3 rejected 4 attempts, but the object did not change';
    await expectFailure(
      finishDespite(() => true),
      'StorageUnavailable',
      message,
    );
  });
});

// The first write-back changed the version ID and, for a multipart object, the ETag.
describe('a second Finish after a lost response returns the same result', () => {
  const film = 'film';
  test.each([
    ['a plain object', BUCKET, store.put],
    ['a version', VERSIONED, store.put],
    ['an object put in parts', BUCKET, store.putInParts],
  ])('for %s', async (what, bucket, put) => {
    const key = `twice, ${what}.mp4`;
    await put(bucket, key, film);
    const finishUpload = async (): Promise<HashedFile> => storedAs(film);
    const job = jobFor(await versionOf(key, bucket), film, { parts: [sent(1, 4)] });
    const first = await finish(job, { finishUpload });
    const events = store.events.length;
    expect(first).toMatchObject({ outcome: 'uploaded' });
    expect(await finish(job, { finishUpload })).toEqual(first);
    expect(store.events.length).toBe(events);
  });
});

describe('throws', () => {
  test.each([
    new VodRejected('the account may not'),
    new VodUnavailable('not now'),
    new UnsupportedObject('the metadata is full'),
  ])('$name', async (error) => {
    await store.put(BUCKET, 'fails.mp4', 'film');
    const finishUpload = () => Promise.reject(error);
    const job = jobFor(await versionOf('fails.mp4'), 'film', { parts: [sent(1, 4)] });
    await expect(finish(job, { finishUpload })).rejects.toBe(error);
    expect((await store.find(BUCKET, 'fails.mp4')).metadata).toEqual({});
  });

  test('NoProgress with the object if the time is over', async () => {
    await store.put(BUCKET, 'late.mp4', 'film');
    const job = jobFor(await versionOf('late.mp4'), 'film', { file: storedAs('film') });
    const over = ampleDeadline(AbortSignal.abort(new DeadlineExceeded('the time limit of 1 ms was over')));
    const message = `s3://${BUCKET}/late.mp4: the time limit of 1 ms was over`;
    await expectFailure(runFinish({ job, redrives: 0 }, ends.services(), over), 'NoProgress', message);
  });
});
