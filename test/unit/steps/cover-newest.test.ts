import { CopyObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VodUnavailable } from '../../../lib/errors.ts';
import { attachCoverToVideo, attachImage } from '../../../lib/steps/cover.ts';
import { jobOf, useCovers } from '../../support/covers.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { image } from '../../support/images.ts';
import { failureOf, fileId, plenty, sha1 } from '../../support/values.ts';

/** The newest of several images is the cover, also where a function is killed in between. */

const {
  store,
  services,
  show,
  nextShow,
  nextSecond,
  film,
  arrives,
  finishes,
  coverOf,
  metadataOf,
  counting,
} = useCovers();

describe('of several images', () => {
  test('the newest is the cover, whatever is written onto the others', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    const png = image('png');
    nextSecond();
    await store.put(BUCKET, `${show()}.png`, png);
    nextSecond();
    // By hand, for another file: a write-back to the older one.
    const other = await film(`${show()} other.mp4`);
    await arrives(`${show()}.jpg`, { fileId: fileId(other) });
    expect(await arrives(`${show()}.jpg`)).toMatchObject({
      outcome: 'skipped',
      reason: expect.stringContaining(`${show()}.png is newer`),
    });
    expect(await arrives(`${show()}.png`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    expect(coverOf(id)).toBe(sha1(png));
    const next = await film();
    expect(await finishes(`${show()}.mp4`, next)).toMatchObject({ key: `${show()}.png` });
  });

  test('put in the same second, the first by name is the cover', async () => {
    const id = await film();
    for (const kind of ['png', 'jpg', 'webp'] as const) {
      await store.put(BUCKET, `${show()}.${kind}`, image(kind));
    }
    expect(await finishes(`${show()}.mp4`, id)).toMatchObject({ key: `${show()}.jpg` });
  });

  test('an older one put back with its metadata is the cover again', async () => {
    const id = await film();
    const first = image();
    await store.put(BUCKET, `${show()}.jpg`, first);
    await arrives(`${show()}.jpg`);
    const Metadata = {
      ...(await metadataOf(`${show()}.jpg`)),
      'vod-uploaded-at': '2020-01-02T03:04:05.678Z',
    };
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    await store.put(BUCKET, `${show()}.jpg`, first, { Metadata });
    const events = store.events.length;
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe(sha1(first));
    // Whatever the clocks say: nothing is written that the object carries already, so no event brings it once more.
    expect(store.events.length).toBe(events);
  });

  test('a copy under another name is the cover of the other video', async () => {
    const [id, other] = [await film(), await film(`${show()} b.mp4`)];
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    const CopySource = encodeURI(`${BUCKET}/${show()}.jpg`);
    await store.client.send(new CopyObjectCommand({ Bucket: BUCKET, Key: `${show()} b.jpg`, CopySource }));
    expect(await arrives(`${show()} b.jpg`)).toMatchObject({ outcome: 'uploaded', coverOf: [other] });
    expect(coverOf(other)).toBe(coverOf(id));
  });

  test('law: whatever overtakes what, the last to reach VOD is the newest, for images and videos alike', async () => {
    const puts = fc.array(fc.constantFrom('jpg', 'png', 'video'), { minLength: 2, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(puts, fc.scheduler(), async (kinds, scheduler) => {
        nextShow();
        const id = await film();
        const { uploadSmallFile: sendCover } = services().vod;
        // Before and after each send the others may go first.
        const slow = services({
          uploadSmallFile: async (of, signal) => {
            await scheduler.schedule(Promise.resolve());
            const file = await sendCover(of, signal);
            await scheduler.schedule(Promise.resolve());
            return file;
          },
        });
        const running: Promise<unknown>[] = [finishes(`${show()}.mp4`, id, slow)];
        let newest: Buffer | undefined;
        for (const kind of kinds) {
          if (kind === 'video') {
            running.push(finishes(`${show()}.mp4`, id, slow));
            continue;
          }
          nextSecond();
          newest = image(kind === 'png' ? 'png' : 'jpg', 50);
          await store.put(BUCKET, `${show()}.${kind}`, newest);
          running.push(arrives(`${show()}.${kind}`, {}, slow));
        }
        await scheduler.waitFor(Promise.all(running));
        expect(coverOf(id)).toBe(newest && sha1(newest));
        const { sent, services: counted } = counting();
        await finishes(`${show()}.mp4`, id, counted);
        expect(sent).toEqual([]);
      }),
      { numRuns: 10 },
    );
  });
});

describe('killed between a send, that a newer image overtook, and the next look: the repeat sends the newer one', () => {
  /** What lies there is replaced, and that one brought, while the older is on its way; nobody hears of its arrival. */
  const overtaken = (key: string, bytes: Buffer) =>
    services({
      uploadSmallFile: async (of, signal) => {
        nextSecond();
        await store.put(BUCKET, key, bytes);
        expect(await arrives(key)).toMatchObject({ outcome: 'uploaded' });
        await services().vod.uploadSmallFile(of, signal);
        throw new VodUnavailable('killed');
      },
    });

  test.each([
    ['an image, overwritten', 'jpg', 'superseded'],
    ['an image, by one of another kind', 'png', 'skipped'],
  ] as const)('%s', async (_, suffix, outcome) => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { pin } = await store.find(BUCKET, `${show()}.jpg`);
    const job = jobOf(pin);
    const newer = image(suffix);
    const killed = attachImage(job, overtaken(`${show()}.${suffix}`, newer), plenty());
    expect(await failureOf(killed)).toMatchObject({ message: 'killed' });
    expect(coverOf(id)).not.toBe(sha1(newer));
    expect(await attachImage(job, services(), plenty(), true)).toMatchObject({ outcome });
    expect(coverOf(id)).toBe(sha1(newer));
  });

  test('a video', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const newer = image();
    const video = { bucket: BUCKET, key: `${show()}.mp4`, fileId: fileId(id) };
    const killed = attachCoverToVideo(video, overtaken(`${show()}.jpg`, newer), plenty());
    expect(await failureOf(killed)).toMatchObject({ message: 'killed' });
    expect(coverOf(id)).not.toBe(sha1(newer));
    expect(await attachCoverToVideo(video, services(), plenty(), true)).toMatchObject({
      outcome: 'uploaded',
    });
    expect(coverOf(id)).toBe(sha1(newer));
  });

  test('an image that is still the newest: sent once more, and uploaded', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { pin } = await store.find(BUCKET, `${show()}.jpg`);
    const job = jobOf(pin);
    const { sent, services } = counting();
    expect(await attachImage(job, services, plenty(), true)).toMatchObject({
      outcome: 'uploaded',
      coverOf: [id],
      sent: { parts: 1 },
    });
    expect(sent).toEqual([id]);
  });

  test('an image beside no video: nothing to send again', async () => {
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { pin } = await store.find(BUCKET, `${show()}.jpg`);
    const job = jobOf(pin);
    expect(await attachImage(job, services(), plenty(), true)).toMatchObject({ outcome: 'waiting' });
  });
});
