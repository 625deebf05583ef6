import * as v from 'valibot';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Deadline, DeadlineExceeded } from '../../../lib/deadline.ts';
import { QuotaExceeded, VodRejected, VodUnavailable } from '../../../lib/errors.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import { InitInput, type InitOutput } from '../../../lib/schemas.ts';
import { runInit } from '../../../lib/steps/init.ts';
import type { Services } from '../../../lib/steps/services.ts';
import { READ_BYTES } from '../../../lib/upload/buffer-pool.ts';
import { createVodClient } from '../../../lib/vod/client.ts';
import { notAsked, useEnds } from '../../support/ends.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { createAmpleQuota } from '../../support/quota.ts';
import { scripted } from '../../support/scripted-server.ts';
import { createBytes, failureOf, plenty, saysYes, sha1 } from '../../support/values.ts';
import { HOST, SECRETS } from '../../support/vod-client.ts';

const ends = useEnds();
const { store } = ends;
const jobFor = (key: string): InitInput => ({
  request: { bucket: BUCKET, key },
  round: 0,
  sent: { parts: 0, bytes: 0 },
});
const init = (job: InitInput, services: Services, deadline: Deadline = plenty()): Promise<InitOutput> =>
  runInit(job, services, deadline);
/** Passes an output to the next invocation, as the state machine does. */
const nextInput = (output: InitOutput): InitInput => v.parse(InitInput, JSON.parse(JSON.stringify(output)));

/** Services that record the ranges they read. */
function recordRanges(services: Services) {
  const s3 = createS3Client({ endpoint: store.endpoint() });
  onTestFinished(() => s3.destroy());
  const ranges: (string | undefined)[] = [];
  s3.middlewareStack.add((next, { commandName }) => (args) => {
    if (commandName === 'GetObjectCommand' && 'Range' in args.input) ranges.push(args.input.Range);
    return next(args);
  });
  return { ranges, services: { ...services, s3 } };
}

test('hashes over several invocations without reading a byte twice', async () => {
  const body = createBytes(3 * READ_BYTES - 7); // three reads
  await store.put(BUCKET, 'long.mp4', body);
  const { pin } = await store.find(BUCKET, 'long.mp4');
  const { ranges, services } = recordRanges(ends.services());
  const timeForOneRead = (): Deadline => saysYes(0, { left: 0 });

  const first = await init({ ...jobFor('long.mp4'), execution: 'its name' }, services, timeForOneRead());
  expect(first).toMatchObject({ next: 'hash', pin, execution: 'its name', hash: { offset: READ_BYTES } });
  const second = await init(nextInput(first), services, timeForOneRead());
  expect(second).toMatchObject({ next: 'hash', pin, hash: { offset: 2 * READ_BYTES } });
  ranges.length = 0;
  const third = await init(nextInput(second), services, timeForOneRead());
  expect(ranges).toEqual([`bytes=${2 * READ_BYTES}-${body.length - 1}`]);
  expect(third).toMatchObject({ next: 'parts', pin, sha1: sha1(body), upload: { size: body.length } });
  expect('hash' in third).toBe(false);
});

test('ignores the checkpoint of an object that was overwritten', async () => {
  await store.put(BUCKET, 'changing.mp4', createBytes(READ_BYTES + 1));
  const first = await init(jobFor('changing.mp4'), ends.services(), saysYes(0, { left: 0 }));
  expect(first.next).toBe('hash');
  await store.put(BUCKET, 'changing.mp4', 'another');
  const { ranges, services } = recordRanges(ends.services({ initUpload: notAsked }));
  expect(await init(nextInput(first), services)).toMatchObject({ outcome: 'superseded' });
  expect(ranges).toEqual([]);
});

describe('after the hash pass, if InitUpload fails', () => {
  test.each([
    new VodUnavailable('not now'),
    new QuotaExceeded('not so fast'),
    new DeadlineExceeded('the time was over'),
  ])('$name: returns the SHA-1, and the next invocation reads nothing', async (error) => {
    const body = createBytes(1000);
    await store.put(BUCKET, 'hashed.mp4', body);
    const { pin } = await store.find(BUCKET, 'hashed.mp4');
    const output = await init(
      jobFor('hashed.mp4'),
      ends.services({ initUpload: () => Promise.reject(error) }),
    );
    expect(output).toEqual({ ...jobFor('hashed.mp4'), next: 'hash', pin, sha1: sha1(body) });

    const { ranges, services } = recordRanges(ends.services());
    expect(await init(nextInput(output), services)).toMatchObject({ next: 'parts', sha1: sha1(body) });
    expect(ranges).toEqual([]);
  });

  test('throws the error if the input contained the SHA-1, so that the state machine retries', async () => {
    await store.put(BUCKET, 'hashed.mp4', 'film');
    const error = new VodUnavailable('not now');
    const services = ends.services({ initUpload: () => Promise.reject(error) });
    const job = { ...jobFor('hashed.mp4'), sha1: sha1('film') };
    await expect(init(job, services)).rejects.toBe(error);
  });

  test('throws VodRejected, because a retry would not help', async () => {
    await store.put(BUCKET, 'rejected.mp4', 'film');
    const error = new VodRejected('the account may not');
    const services = ends.services({ initUpload: () => Promise.reject(error) });
    await expect(init(jobFor('rejected.mp4'), services)).rejects.toBe(error);
  });

  test('returns the SHA-1 if the service responds 503 until the time is over', async () => {
    await store.put(BUCKET, 'down.mp4', 'film');
    const controller = new AbortController();
    const { endpoint } = await scripted((response) => {
      response.writeHead(503).end('busy', () => controller.abort(new DeadlineExceeded('the time was over')));
    });
    const settings = { endpoint: new URL('/v2/index.php', endpoint), host: HOST, region: 'gz' };
    const vod = createVodClient({ ...settings, secrets: SECRETS }, createAmpleQuota());
    onTestFinished(() => vod.close());
    const output = await init(jobFor('down.mp4'), ends.services(vod), plenty(controller.signal));
    expect(output).toMatchObject({ next: 'hash', sha1: sha1('film') });
  });
});

test('throws NoProgress with the object if the time ends before S3 responds', async () => {
  const over = plenty(AbortSignal.abort(new DeadlineExceeded('the time limit of 1 ms was over')));
  const { name, message } = await failureOf(init(jobFor('any.mp4'), ends.services(), over));
  expect(name).toBe('NoProgress');
  expect(message).toContain(`s3://${BUCKET}/any.mp4: the time limit of 1 ms was over`);
});
