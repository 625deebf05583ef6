import { PutObjectTaggingCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import { VodUnavailable } from '../../../lib/errors.ts';
import { DeadlineExceeded } from '../../../lib/invocation/deadline.ts';
import { attachCoverToVideo, attachImage } from '../../../lib/steps/cover.ts';
import type { Services } from '../../../lib/steps/services.ts';
import { jobOf, useCovers } from '../../support/covers.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, VERSIONED } from '../../support/fake-store.ts';
import { image } from '../../support/images.ts';
import { ampleDeadline, failureOf, fileId, sha1 } from '../../support/values.ts';

/** An image that arrives, and a video that VOD has, become one: over real S3 and VOD. */

const { store, services, show, film, arrives, finishes, coverOf, metadataOf, counting } = useCovers();

describe('an image that arrives', () => {
  test('becomes the cover of its video, and returns the file', async () => {
    const id = await film();
    const bytes = image();
    const fields = { Metadata: { mine: 'kept' }, ContentType: 'image/jpeg' };
    await store.put(BUCKET, `${show()}.jpg`, bytes, fields);
    const { pin } = await store.find(BUCKET, `${show()}.jpg`);
    const result = await arrives(`${show()}.jpg`);
    const sent = { parts: 1, bytes: 3000 };
    const uploaded = { outcome: 'uploaded', size: 3000, sha1: sha1(bytes), coverOf: [id], sent };
    expect(result).toMatchObject({ next: 'done', ...uploaded });
    expect(coverOf(id)).toBe(sha1(bytes));
    const { metadata, contentType } = await store.find(BUCKET, `${show()}.jpg`);
    expect(contentType).toBe('image/jpeg');
    expect(metadata).toEqual({
      mine: 'kept',
      'vod-file-id': result.fileId,
      'vod-url': result.url,
      'vod-cover-of': id,
      'vod-covered': id,
      'vod-sha1': sha1(bytes),
      'vod-etag': pin.etag,
      'vod-uploaded-at': expect.stringMatching(/^20.*Z$/),
      'vod-put-at': expect.stringMatching(/^20.*Z$/),
    });
  });

  test('is unchanged the second time: nothing is sent or written', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const first = await arrives(`${show()}.jpg`);
    const events = store.events.length;
    const { sent, services } = counting();
    const unchanged = { ...first, outcome: 'unchanged', sent: { parts: 0, bytes: 0 } };
    expect(await arrives(`${show()}.jpg`, {}, services)).toEqual(unchanged);
    expect(await finishes(`${show()}.mp4`, id, services)).toMatchObject({ outcome: 'unchanged' });
    expect({ sent, written: store.events.length - events }).toEqual({ sent: [], written: 0 });
  });

  test.each([
    ['nothing of its name', async () => {}],
    ['a video that has no fileId yet', () => store.put(BUCKET, `${show()}.mp4`, 'film')],
    ['a video of another name', () => film(`${show()}0.mp4`)],
    ['a video of a longer name', () => film(`${show()}.part1.mp4`)],
    ['a video in a folder of its name', () => film(`${show()}./a.mp4`)],
    ['what is no video', () => store.put(BUCKET, `${show()}.txt`, 'x', { Metadata: { 'vod-file-id': '1' } })],
    [
      'a video of other bytes, put with the metadata of the old',
      async () => {
        const id = await film();
        const Metadata = { ...(await metadataOf(`${show()}.mp4`)), 'vod-file-id': id };
        await store.put(BUCKET, `${show()}.mp4`, 'other bytes', { Metadata });
      },
    ],
  ])('waits next to %s', async (_, prepare) => {
    await prepare();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { sent, services } = counting();
    const reason = expect.stringContaining('no video with this name has a fileId');
    expect(await arrives(`${show()}.jpg`, {}, services)).toMatchObject({ outcome: 'waiting', reason });
    expect(sent).toEqual([]);
    expect(await metadataOf(`${show()}.jpg`)).toEqual({});
  });

  test.each(['mp4', 'MP4', 'flv', 'mov'])('finds its video with the extension .%s', async (suffix) => {
    const id = await film(`${show()}.${suffix}`);
    await store.put(BUCKET, `${show()}.JPG`, image());
    expect(await arrives(`${show()}.JPG`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
  });

  test('finds a video without an extension', async () => {
    const id = await film(show());
    await store.put(BUCKET, `${show()}.jpg`, image());
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    const bytes = image();
    await store.put(BUCKET, `${show()}.jpg`, bytes);
    expect(await finishes(show(), id)).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe(sha1(bytes));
  });

  test('finds a fileId in the tags of its video', async () => {
    const id = await film(`${show()} elsewhere.mp4`);
    await store.putInParts(BUCKET, `${show()}.mp4`, 'film');
    const { pin } = await store.find(BUCKET, `${show()}.mp4`);
    const tags = { 'vod-file-id': id, 'vod-sha1': sha1('film'), 'vod-etag': pin.etag };
    const Tagging = { TagSet: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) };
    await store.client.send(new PutObjectTaggingCommand({ Bucket: BUCKET, Key: `${show()}.mp4`, Tagging }));
    await store.put(BUCKET, `${show()}.jpg`, image());
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
  });

  test('becomes the cover of each video with its name', async () => {
    const ids = [await film(`${show()}.mp4`), await film(`${show()}.flv`)];
    const bytes = image();
    await store.put(BUCKET, `${show()}.jpg`, bytes);
    const result = await arrives(`${show()}.jpg`);
    expect(result).toMatchObject({ outcome: 'uploaded', sent: { parts: 2, bytes: 6000 } });
    expect(result.coverOf?.toSorted()).toEqual(ids.toSorted());
    expect(ids.map(coverOf)).toEqual([sha1(bytes), sha1(bytes)]);
    expect((await metadataOf(`${show()}.jpg`))['vod-cover-of']).toBe(ids.toSorted().join(' '));
    const another = await film(`${show()}.mov`);
    const { sent, services } = counting();
    await arrives(`${show()}.jpg`, {}, services);
    expect(sent).toEqual([another]);
  });

  test('becomes the cover of one video although another rejects it, and is later sent only to the other', async () => {
    const ids = [await film(`${show()}.mp4`), await film(`${show()}.flv`)];
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { sent, services: counted } = counting();
    const refusing = services({
      uploadSmallFile: (of, signal) =>
        of.coverOf === ids[0]
          ? Promise.reject(new VodUnavailable('not now'))
          : counted.vod.attachCover(of, signal),
    });
    expect(await failureOf(arrives(`${show()}.jpg`, {}, refusing))).toMatchObject({ message: 'not now' });
    expect(sent).toEqual([ids[1]]);
    expect(await arrives(`${show()}.jpg`, {}, counted)).toMatchObject({ outcome: 'uploaded' });
    expect(sent).toEqual([ids[1], ids[0]]);
  });

  test('continues in a versioned bucket after a copy of the same bytes replaced it', async () => {
    const id = await film(`${show()}.mp4`, VERSIONED);
    await store.put(VERSIONED, `${show()}.jpg`, image());
    const { pin } = await store.find(VERSIONED, `${show()}.jpg`);
    await finishes(`${show()}.mp4`, id, services(), VERSIONED);
    const unchanged = { outcome: 'unchanged', coverOf: [id] };
    expect(await attachImage(jobOf(pin), services(), ampleDeadline())).toMatchObject(unchanged);
  });

  test('is superseded or deleted if it was overwritten or deleted before the step started', async () => {
    await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { pin } = await store.find(BUCKET, `${show()}.jpg`);
    const job = jobOf(pin);
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { sent, services } = counting();
    expect(await attachImage(job, services, ampleDeadline())).toMatchObject({ outcome: 'superseded' });
    await store.remove(BUCKET, `${show()}.jpg`);
    expect(await attachImage(job, services, ampleDeadline())).toMatchObject({ outcome: 'deleted' });
    expect(sent).toEqual([]);
  });

  test('gets tags if the stack uses tags or it cannot be copied', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const { sent, services: counted } = counting();
    const tagging: Services = { ...counted, writeBack: { ...DEFAULT_WRITE_BACK, mode: 'tags' } };
    const events = store.events.length;
    expect(await arrives(`${show()}.jpg`, {}, tagging)).toMatchObject({ outcome: 'uploaded' });
    const unchanged = { outcome: 'unchanged', coverOf: [id] };
    expect(await arrives(`${show()}.jpg`, {}, tagging)).toMatchObject(unchanged);
    expect(await finishes(`${show()}.mp4`, id, tagging)).toMatchObject({ outcome: 'unchanged' });
    expect({ sent, written: store.events.length - events }).toEqual({ sent: [id], written: 0 });
    expect(await metadataOf(`${show()}.jpg`)).toEqual({});
  });
});

describe('an uploaded video', () => {
  test('gets the image with its name, once', async () => {
    const bytes = image('png');
    await store.put(BUCKET, `${show()}.png`, bytes);
    const id = await film();
    const first = await finishes(`${show()}.mp4`, id);
    expect(first).toMatchObject({ outcome: 'uploaded', key: `${show()}.png`, sha1: sha1(bytes) });
    expect(coverOf(id)).toBe(sha1(bytes));
    expect(await finishes(`${show()}.mp4`, id)).toEqual({ ...first, outcome: 'unchanged' });
    expect(await arrives(`${show()}.png`)).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
  });

  test('has no cover without an image', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.txt`, 'x');
    expect(await finishes(`${show()}.mp4`, id)).toEqual({ outcome: 'none' });
  });

  test('gets the image of the video that it replaces; the image then names only the new file', async () => {
    await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    const id = await film();
    expect(await finishes(`${show()}.mp4`, id)).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe((await metadataOf(`${show()}.jpg`))['vod-sha1']);
    expect(await metadataOf(`${show()}.jpg`)).toMatchObject({ 'vod-cover-of': id, 'vod-covered': id });
  });

  test('has a separate error for its cover if the time ran out', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    const over = ampleDeadline(AbortSignal.abort(new DeadlineExceeded('the time limit of 1 ms was over')));
    const where = { bucket: BUCKET, key: `${show()}.mp4`, fileId: fileId(id) };
    await expectFailure(attachCoverToVideo(where, services(), over), 'NoProgress');
  });
});
