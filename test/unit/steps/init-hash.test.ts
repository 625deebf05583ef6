import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { QuotaExceeded, VodRejected, VodUnavailable } from '../../../lib/errors.ts';
import { type Deadline, DeadlineExceeded } from '../../../lib/invocation/deadline.ts';
import { InitInput, type InitOutput } from '../../../lib/schemas.ts';
import { runInit } from '../../../lib/steps/init.ts';
import type { Services } from '../../../lib/steps/services.ts';
import { READ_BYTES } from '../../../lib/upload/buffer-pool.ts';
import { createTarget } from '../../../lib/vod/v2/target.ts';
import { failIfCalled, useServices } from '../../support/ends.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { createTestAdmission } from '../../support/quota.ts';
import { recordS3Commands } from '../../support/s3-client.ts';
import { startScriptedServer } from '../../support/scripted-server.ts';
import { ampleDeadline, createBytes, deadlineWithChecks, sha1 } from '../../support/values.ts';
import { connectTo } from '../../support/vod-account.ts';

const ends = useServices();
const { store } = ends;
const jobFor = (key: string): InitInput => ({
  request: { bucket: BUCKET, key },
  round: 0,
  sent: { parts: 0, bytes: 0 },
});
const init = (
  job: InitInput,
  services: Partial<Services> = {},
  deadline = ampleDeadline(),
): Promise<InitOutput> => runInit(job, { ...ends.services(), ...services }, deadline);
/** A VOD whose `InitUpload` fails. */
const failWith = (error: Error): Partial<Services> =>
  ends.services({ initUpload: () => Promise.reject(error) });
/** Passes an output to the next invocation, as the state machine does. */
const nextInput = (output: InitOutput): InitInput => v.parse(InitInput, JSON.parse(JSON.stringify(output)));

test('hashes over several invocations without reading a byte twice', async () => {
  const body = createBytes(3 * READ_BYTES - 7); // three reads
  await store.put(BUCKET, 'long.mp4', body);
  const { pin } = await store.find(BUCKET, 'long.mp4');
  const { s3, commands } = recordS3Commands(store.endpoint());
  const timeForOneRead = (): Deadline => deadlineWithChecks(0, { left: 0 });

  const first = await init({ ...jobFor('long.mp4'), execution: 'its name' }, { s3 }, timeForOneRead());
  expect(first).toMatchObject({ next: 'hash', pin, execution: 'its name', hash: { offset: READ_BYTES } });
  const second = await init(nextInput(first), { s3 }, timeForOneRead());
  expect(second).toMatchObject({ next: 'hash', pin, hash: { offset: 2 * READ_BYTES } });
  commands.length = 0;
  const third = await init(nextInput(second), { s3 }, timeForOneRead());
  const lastRead = `GetObjectCommand bytes=${2 * READ_BYTES}-${body.length - 1}`;
  expect(commands).toEqual(['HeadObjectCommand', lastRead]);
  expect(third).toMatchObject({ next: 'parts', pin, sha1: sha1(body), upload: { size: body.length } });
  expect('hash' in third).toBe(false);
});

test('computes the CRC64NVME of an object that is copied in parts, if S3 has no CRC of it', async () => {
  const writeBack = { mode: 'metadata', maxCopyBytes: 8 } as const;
  await store.putInParts(BUCKET, 'digits.mp4', '123456789');
  const job = jobFor('digits.mp4');
  const found = await init(job, { writeBack });
  expect(found).toMatchObject({ next: 'parts', sha1: sha1('123456789'), crc64: 'rosUhgp5mIg=' });
  const again = { ...nextInput(found), round: 1 };
  expect(await init(again, { writeBack })).toMatchObject({ next: 'parts', crc64: 'rosUhgp5mIg=' });

  expect('crc64' in (await init(job, { writeBack: { ...writeBack, maxCopyBytes: 9 } }))).toBe(false);
  expect('crc64' in (await init(job, { writeBack: { ...writeBack, mode: 'tags' } }))).toBe(false);
  await store.put(BUCKET, 'digits.mp4', '123456789', { ChecksumAlgorithm: 'CRC32' });
  expect('crc64' in (await init(job, { writeBack }))).toBe(false);
});

describe('an object that needs admission', () => {
  const decisions = (...waits: (number | undefined)[]) => {
    const asked: unknown[] = [];
    const admission: Services['admission'] = {
      ...createTestAdmission(),
      appliesTo: () => true,
      enter: async (name, work) => {
        asked.push({ name, ...work });
        const waitMs = waits.shift();
        return waitMs === undefined ? { admitted: true, since: 5 } : { admitted: false, since: 5, waitMs };
      },
    };
    return { asked, admission };
  };

  test('waits before the hash pass and before InitUpload, and keeps its place and its SHA-1', async () => {
    await store.put(BUCKET, 'large.mp4', 'a large film');
    const { pin } = await store.find(BUCKET, 'large.mp4');
    const { asked, admission } = decisions(7_001, undefined, 9_000, undefined);
    const { s3, commands } = recordS3Commands(store.endpoint());
    const job = { ...jobFor('large.mp4'), execution: 'its name' };
    const first = await init(job, { s3, admission });
    expect(first).toEqual({ ...job, next: 'wait', waitSeconds: 8, since: 5, pin });
    expect(commands).toEqual(['HeadObjectCommand']);
    const second = await init(nextInput(first), { s3, admission });
    expect(second).toMatchObject({ next: 'wait', waitSeconds: 9, since: 5, sha1: sha1('a large film') });
    const third = await init(nextInput(second), { s3, admission });
    expect(third).toMatchObject({ next: 'parts', since: 5, upload: { functions: 4 } });
    const work = { name: 'its name', bytes: 12 };
    expect(asked).toEqual([
      { ...work, phase: 'hash', since: undefined },
      { ...work, phase: 'hash', since: 5 },
      { ...work, phase: 'send', since: 5 },
      { ...work, phase: 'send', since: 5 },
    ]);
  });

  test('gives its place back if it turns out to need no upload', async () => {
    await store.put(BUCKET, 'waiting.mp4', 'film');
    const left: string[] = [];
    const { admission } = decisions(5_000);
    const services = { admission: { ...admission, leave: async (name: string) => void left.push(name) } };
    const waiting = await init({ ...jobFor('waiting.mp4'), execution: 'its name' }, services);
    await store.put(BUCKET, 'waiting.mp4', 'a newer film');
    expect(await init(nextInput(waiting), services)).toMatchObject({ outcome: 'superseded' });
    expect(left).toEqual(['its name']);
  });
});

test('pauses the start of other executions if VOD cannot open the upload', async () => {
  await store.put(BUCKET, 'early.mp4', 'film');
  const paused: string[] = [];
  const quota = { take: async () => {}, pause: async (action: string) => void paused.push(action) };
  const job = { ...jobFor('early.mp4'), sha1: sha1('film') };
  for (const error of [
    new VodUnavailable('not now'),
    new QuotaExceeded('not so fast'),
    new VodRejected('no'),
  ])
    await expect(init(job, { ...failWith(error), quota })).rejects.toBe(error);
  expect(paused).toEqual(['StartExecution', 'StartExecution']);
});

test('ignores the checkpoint of an object that was overwritten', async () => {
  await store.put(BUCKET, 'changing.mp4', createBytes(READ_BYTES + 1));
  const first = await init(jobFor('changing.mp4'), {}, deadlineWithChecks(0, { left: 0 }));
  expect(first.next).toBe('hash');
  await store.put(BUCKET, 'changing.mp4', 'another');
  const { s3, commands } = recordS3Commands(store.endpoint());
  const services = { ...ends.services({ initUpload: failIfCalled }), s3 };
  expect(await init(nextInput(first), services)).toMatchObject({ outcome: 'superseded' });
  expect(commands).toEqual(['HeadObjectCommand']);
});

describe('after the hash pass, if InitUpload fails', () => {
  test.each([
    new VodUnavailable('not now'),
    new QuotaExceeded('not so fast'),
    new DeadlineExceeded('the time was over'),
  ])('$name: returns the SHA-1, and the next invocation reads nothing', async (error) => {
    const isLate = error instanceof DeadlineExceeded;
    const body = createBytes(1000);
    await store.put(BUCKET, 'hashed.mp4', body);
    const { pin } = await store.find(BUCKET, 'hashed.mp4');
    const output = await init(jobFor('hashed.mp4'), failWith(error));
    expect(output).toEqual({
      ...jobFor('hashed.mp4'),
      ...(isLate ? { next: 'hash' } : { next: 'wait', waitSeconds: expect.any(Number) }),
      pin,
      sha1: sha1(body),
    });

    const { s3, commands } = recordS3Commands(store.endpoint());
    expect(await init(nextInput(output), { s3 })).toMatchObject({ next: 'parts', sha1: sha1(body) });
    expect(commands).toEqual(['HeadObjectCommand']);
  });

  test('throws the error if the input contained the SHA-1, so that the state machine retries', async () => {
    await store.put(BUCKET, 'hashed.mp4', 'film');
    const error = new VodUnavailable('not now');
    const job = { ...jobFor('hashed.mp4'), sha1: sha1('film') };
    await expect(init(job, failWith(error))).rejects.toBe(error);
  });

  test('throws VodRejected, because a retry would not help', async () => {
    await store.put(BUCKET, 'rejected.mp4', 'film');
    const error = new VodRejected('the account may not');
    await expect(init(jobFor('rejected.mp4'), failWith(error))).rejects.toBe(error);
  });

  test('returns the SHA-1 if the service responds 503 until the time is over', async () => {
    await store.put(BUCKET, 'down.mp4', 'film');
    const controller = new AbortController();
    const { endpoint } = await startScriptedServer((response) => {
      response.writeHead(503).end('busy', () => controller.abort(new DeadlineExceeded('the time was over')));
    });
    const vod = createTarget(connectTo(endpoint), 4);
    const output = await init(jobFor('down.mp4'), { vod }, ampleDeadline(controller.signal));
    expect(output).toMatchObject({ next: 'hash', sha1: sha1('film') });
  });
});

test('throws NoProgress with the object if the time ends before S3 responds', async () => {
  const over = ampleDeadline(AbortSignal.abort(new DeadlineExceeded('the time limit of 1 ms was over')));
  const message = `s3://${BUCKET}/any.mp4: the time limit of 1 ms was over`;
  await expectFailure(init(jobFor('any.mp4'), {}, over), 'NoProgress', message);
});
