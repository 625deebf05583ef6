import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VodUnavailable } from '../../../lib/errors.ts';
import { attachCoverToVideo, attachImage } from '../../../lib/steps/cover.ts';
import { jobOf, useCovers } from '../../support/covers.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { image } from '../../support/images.ts';
import { ampleDeadline, failureOf, fileId, sha1 } from '../../support/values.ts';

/** The newest of several images is the cover, also where a function is killed in between. */

const covers = useCovers();
const { store, services, show, nextShow, nextSecond, film, arrives, finishes } = covers;
const { coverOf, metadataOf, counting } = covers;

describe('several images', () => {
  test('make the newest the cover, whatever is written onto the others', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    const png = image('png');
    nextSecond();
    await store.put(BUCKET, `${show()}.png`, png);
    nextSecond();
    // A request for another file, which writes to the older image.
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

  test('put in the same second make the first by name the cover', async () => {
    const id = await film();
    for (const kind of ['png', 'jpg', 'webp'] as const) {
      await store.put(BUCKET, `${show()}.${kind}`, image(kind));
    }
    expect(await finishes(`${show()}.mp4`, id)).toMatchObject({ key: `${show()}.jpg` });
  });

  test('make an older one the cover again if it is put back with its metadata', async () => {
    const id = await film();
    const first = image();
    await store.put(BUCKET, `${show()}.jpg`, first);
    await arrives(`${show()}.jpg`);
    const uploaded = await metadataOf(`${show()}.jpg`);
    const Metadata = { ...uploaded, 'vod-uploaded-at': '2020-01-02T03:04:05.678Z' };
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    await store.put(BUCKET, `${show()}.jpg`, first, { Metadata });
    const events = store.events.length;
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe(sha1(first));
    // Whatever the clocks say: nothing is written that the object carries already, so no event brings it once more.
    expect(store.events.length).toBe(events);
  });

  test('include a copy under another name, which becomes the cover of the other video', async () => {
    const [id, other] = [await film(), await film(`${show()} b.mp4`)];
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    await store.copy(BUCKET, `${show()}.jpg`, `${show()} b.jpg`);
    expect(await arrives(`${show()} b.jpg`)).toMatchObject({ outcome: 'uploaded', coverOf: [other] });
    expect(coverOf(other)).toBe(coverOf(id));
  });

  test('reach VOD with the newest last, in whatever order uploads complete', async () => {
    const puts = fc.array(fc.constantFrom('jpg', 'png', 'video'), { minLength: 2, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(puts, fc.scheduler(), async (kinds, scheduler) => {
        nextShow();
        const id = await film();
        const { attachCover: sendCover } = services().vod;
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

describe('a repeat, after a step was killed between an upload that a newer image overtook and the next listing,', () => {
  /** Replaces and uploads the image while the older upload is in progress. The older upload's response is lost. */
  const overtaken = (key: string, bytes: Buffer) =>
    services({
      uploadSmallFile: async (of, signal) => {
        nextSecond();
        await store.put(BUCKET, key, bytes);
        expect(await arrives(key)).toMatchObject({ outcome: 'uploaded' });
        await services().vod.attachCover(of, signal);
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
    const killed = attachImage(job, overtaken(`${show()}.${suffix}`, newer), ampleDeadline());
    expect(await failureOf(killed)).toMatchObject({ message: 'killed' });
    expect(coverOf(id)).not.toBe(sha1(newer));
    expect(await attachImage(job, services(), ampleDeadline(), true)).toMatchObject({ outcome });
    expect(coverOf(id)).toBe(sha1(newer));
  });

  test('sends the newer image for a video', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const newer = image();
    const video = { bucket: BUCKET, key: `${show()}.mp4`, fileId: fileId(id) };
    const killed = attachCoverToVideo(video, overtaken(`${show()}.jpg`, newer), ampleDeadline());
    expect(await failureOf(killed)).toMatchObject({ message: 'killed' });
    expect(coverOf(id)).not.toBe(sha1(newer));
    const repeated = await attachCoverToVideo(video, services(), ampleDeadline(), true);
    expect(repeated).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe(sha1(newer));
  });

  test('sends an image that is still the newest once more', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { pin } = await store.find(BUCKET, `${show()}.jpg`);
    const job = jobOf(pin);
    const { sent, services } = counting();
    const uploaded = { outcome: 'uploaded', coverOf: [id], sent: { parts: 1 } };
    expect(await attachImage(job, services, ampleDeadline(), true)).toMatchObject(uploaded);
    expect(sent).toEqual([id]);
  });

  test('sends nothing for an image without a video', async () => {
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { pin } = await store.find(BUCKET, `${show()}.jpg`);
    const job = jobOf(pin);
    expect(await attachImage(job, services(), ampleDeadline(), true)).toMatchObject({ outcome: 'waiting' });
  });
});
