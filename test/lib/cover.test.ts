import { CopyObjectCommand, DeleteObjectCommand, PutObjectTaggingCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { coverVideo, coverWith } from '../../lib/cover.ts';
import { OutOfTime } from '../../lib/deadline.ts';
import { VodUnavailable } from '../../lib/errors.ts';
import type { Request, Result, VideoCover } from '../../lib/job.ts';
import type { Services } from '../../lib/services.ts';
import type { Vod } from '../../lib/vod/client.ts';
import { WRITE_BACK } from '../../lib/writeback.ts';
import { useEnds } from '../support/ends.ts';
import { KINDS, picture } from '../support/pictures.ts';
import { hex, video } from '../vod-service/client.ts';
import { BUCKET, VERSIONED } from './store.ts';
import { failureOf, fileId, plenty, sha1 } from './values.ts';

/** Pictures and the videos whose covers they are, over real S3 and VOD. */

/** S3's clock, which keeps whole seconds, stands still some minutes ago: it is a test that makes a second pass. */
let now = Date.now() - 600_000;
function nextSecond(): void {
  now += 1000;
}

const ends = useEnds({ now: () => new Date(now) });
const { store } = ends;

let shows = 0;
let show = '';
/** A name that no other test uses. */
beforeEach(() => {
  show = `show ${++shows}/ep1`;
});

/** A video that VOD has, and that says so. */
async function film(key = `${show}.mp4`, bucket = BUCKET): Promise<string> {
  const { bytes, sha1, ...parts } = video(1000);
  const id = await ends.other.upload({ bytes, sha1, ...parts });
  const Metadata = { 'vod-file-id': id, 'vod-url': 'u', 'vod-sha1': sha1, 'vod-etag': hex('md5', bytes) };
  await store.put(bucket, key, bytes, { Metadata });
  return id;
}

const services = (vod: Partial<Vod> = {}): Services => ends.services(vod);

/** As the execution of a picture's event does it. */
async function arrives(key: string, more: Partial<Request> = {}, with_ = services()): Promise<Result> {
  const bucket = more.bucket ?? BUCKET;
  const { pin } = await store.find(bucket, key);
  const request = { bucket, key, ...more };
  return coverWith({ request, round: 0, sent: { parts: 0, bytes: 0 }, pin }, with_, plenty());
}

/** As the execution of a video that VOD has does it. */
const finishes = (key: string, id: string, with_ = services(), bucket = BUCKET): Promise<VideoCover> =>
  coverVideo({ bucket, key, fileId: fileId(id) }, with_, plenty());

/** The SHA-1 of the picture that VOD shows for a file. */
const coverOf = (id: string): string | undefined => {
  const files = ends.files();
  const cover = files.find((file) => file.fileId === id)?.cover?.fileId;
  return files.find((file) => file.fileId === cover)?.sha1;
};

const metadataOf = async (key: string, bucket = BUCKET) => (await store.find(bucket, key)).metadata;

/** Counts what is sent, and for whom. */
function counting() {
  const sent: string[] = [];
  const { sendCover } = services().vod;
  const counted: Vod['sendCover'] = (of, signal) => {
    sent.push(of.coverOf);
    return sendCover(of, signal);
  };
  return { sent, services: services({ sendCover: counted }) };
}

describe('a picture that arrives', () => {
  test('becomes the cover of its video, and says so', async () => {
    const id = await film();
    const bytes = picture();
    await store.put(BUCKET, `${show}.jpg`, bytes, { Metadata: { mine: 'kept' }, ContentType: 'image/jpeg' });
    const { pin } = await store.find(BUCKET, `${show}.jpg`);
    const result = await arrives(`${show}.jpg`);
    expect(result).toMatchObject({
      next: 'done',
      outcome: 'uploaded',
      size: 3000,
      sha1: sha1(bytes),
      coverOf: [id],
      sent: { parts: 1, bytes: 3000 },
    });
    expect(coverOf(id)).toBe(sha1(bytes));
    const { metadata, contentType } = await store.find(BUCKET, `${show}.jpg`);
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

  test('twice is unchanged the second time: nothing sent, nothing written', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    const first = await arrives(`${show}.jpg`);
    const events = store.events.length;
    const { sent, services } = counting();
    const { outcome: _, sent: __, ...same } = first;
    expect(await arrives(`${show}.jpg`, {}, services)).toEqual({
      ...same,
      outcome: 'unchanged',
      sent: { parts: 0, bytes: 0 },
    });
    expect(await finishes(`${show}.mp4`, id, services)).toMatchObject({ outcome: 'unchanged' });
    expect({ sent, written: store.events.length - events }).toEqual({ sent: [], written: 0 });
  });

  test.each([
    ['nothing of its name', async () => {}],
    ['a video that has no fileId yet', () => store.put(BUCKET, `${show}.mp4`, 'film')],
    ['a video of another name', () => film(`${show}0.mp4`)],
    ['a video of a longer name', () => film(`${show}.part1.mp4`)],
    ['a video in a folder of its name', () => film(`${show}./a.mp4`)],
    ['what is no video', () => store.put(BUCKET, `${show}.txt`, 'x', { Metadata: { 'vod-file-id': '1' } })],
    [
      'a video of other bytes, put with the metadata of the old',
      async () => {
        const id = await film();
        const Metadata = { ...(await metadataOf(`${show}.mp4`)), 'vod-file-id': id };
        await store.put(BUCKET, `${show}.mp4`, 'other bytes', { Metadata });
      },
    ],
  ])('waits beside %s', async (_, prepare) => {
    await prepare();
    await store.put(BUCKET, `${show}.jpg`, picture());
    const { sent, services } = counting();
    expect(await arrives(`${show}.jpg`, {}, services)).toMatchObject({
      outcome: 'waiting',
      why: expect.stringContaining('fetch'),
    });
    expect(sent).toEqual([]);
    expect(await metadataOf(`${show}.jpg`)).toEqual({});
  });

  test.each(['mp4', 'MP4', 'flv', 'mov'])('finds its video by the name alone: .%s', async (suffix) => {
    const id = await film(`${show}.${suffix}`);
    await store.put(BUCKET, `${show}.JPG`, picture());
    expect(await arrives(`${show}.JPG`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
  });

  test('finds a video without a suffix', async () => {
    const id = await film(show);
    await store.put(BUCKET, `${show}.jpg`, picture());
    expect(await arrives(`${show}.jpg`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    const bytes = picture();
    await store.put(BUCKET, `${show}.jpg`, bytes);
    expect(await finishes(show, id)).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe(sha1(bytes));
  });

  test('finds a fileId in the tags of its video', async () => {
    const id = await film(`${show} elsewhere.mp4`);
    await store.putInParts(BUCKET, `${show}.mp4`, 'film');
    const { pin } = await store.find(BUCKET, `${show}.mp4`);
    const tags = { 'vod-file-id': id, 'vod-sha1': sha1('film'), 'vod-etag': pin.etag };
    const TagSet = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
    const Tagging = { TagSet };
    await store.client.send(new PutObjectTaggingCommand({ Bucket: BUCKET, Key: `${show}.mp4`, Tagging }));
    await store.put(BUCKET, `${show}.jpg`, picture());
    expect(await arrives(`${show}.jpg`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
  });

  test('is the cover of each of several videos of its name', async () => {
    const ids = [await film(`${show}.mp4`), await film(`${show}.flv`)];
    const bytes = picture();
    await store.put(BUCKET, `${show}.jpg`, bytes);
    const result = await arrives(`${show}.jpg`);
    expect(result).toMatchObject({ outcome: 'uploaded', sent: { parts: 2, bytes: 6000 } });
    expect(result.coverOf?.toSorted()).toEqual(ids.toSorted());
    expect(ids.map(coverOf)).toEqual([sha1(bytes), sha1(bytes)]);
    expect((await metadataOf(`${show}.jpg`))['vod-cover-of']).toBe(ids.toSorted().join(' '));
    const another = await film(`${show}.mov`);
    const { sent, services } = counting();
    await arrives(`${show}.jpg`, {}, services);
    expect(sent).toEqual([another]);
  });

  test('that one video refuses still becomes the cover of the other; then only the first is asked again', async () => {
    const ids = [await film(`${show}.mp4`), await film(`${show}.flv`)];
    await store.put(BUCKET, `${show}.jpg`, picture());
    const { sent, services: counted } = counting();
    const refusing = services({
      sendCover: (of, signal) =>
        of.coverOf === ids[0]
          ? Promise.reject(new VodUnavailable('not now'))
          : counted.vod.sendCover(of, signal),
    });
    expect(await failureOf(arrives(`${show}.jpg`, {}, refusing))).toMatchObject({ message: 'not now' });
    expect(sent).toEqual([ids[1]]);
    expect(await arrives(`${show}.jpg`, {}, counted)).toMatchObject({ outcome: 'uploaded' });
    expect(sent).toEqual([ids[1], ids[0]]);
  });

  test('in a bucket with versions, overwritten since by a copy of the same bytes, goes on', async () => {
    const id = await film(`${show}.mp4`, VERSIONED);
    await store.put(VERSIONED, `${show}.jpg`, picture());
    const { pin } = await store.find(VERSIONED, `${show}.jpg`);
    await finishes(`${show}.mp4`, id, services(), VERSIONED);
    const request = { bucket: VERSIONED, key: `${show}.jpg` };
    const job = { request, round: 0, sent: { parts: 0, bytes: 0 }, pin };
    expect(await coverWith(job, services(), plenty())).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
  });

  test('overwritten or deleted before it was looked at: superseded, gone', async () => {
    await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    const { pin } = await store.find(BUCKET, `${show}.jpg`);
    const job = {
      request: { bucket: BUCKET, key: `${show}.jpg` },
      round: 0,
      sent: { parts: 0, bytes: 0 },
      pin,
    };
    await store.put(BUCKET, `${show}.jpg`, picture());
    const { sent, services } = counting();
    expect(await coverWith(job, services, plenty())).toMatchObject({ outcome: 'superseded' });
    await store.client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: `${show}.jpg` }));
    expect(await coverWith(job, services, plenty())).toMatchObject({ outcome: 'gone' });
    expect(sent).toEqual([]);
  });

  test('as tags, where the stack says so or it cannot be rewritten', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    const { sent, services: counted } = counting();
    const tagging: Services = { ...counted, writeBack: { ...WRITE_BACK, mode: 'tags' } };
    const events = store.events.length;
    expect(await arrives(`${show}.jpg`, {}, tagging)).toMatchObject({ outcome: 'uploaded' });
    expect(await arrives(`${show}.jpg`, {}, tagging)).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
    expect(await finishes(`${show}.mp4`, id, tagging)).toMatchObject({ outcome: 'unchanged' });
    expect({ sent, written: store.events.length - events }).toEqual({ sent: [id], written: 0 });
    expect(await metadataOf(`${show}.jpg`)).toEqual({});
  });
});

describe('a video that VOD has', () => {
  test('gets the picture that is there, once', async () => {
    const bytes = picture('png');
    await store.put(BUCKET, `${show}.png`, bytes);
    const id = await film();
    const first = await finishes(`${show}.mp4`, id);
    expect(first).toMatchObject({ outcome: 'uploaded', key: `${show}.png`, sha1: sha1(bytes) });
    expect(coverOf(id)).toBe(sha1(bytes));
    expect(await finishes(`${show}.mp4`, id)).toEqual({ ...first, outcome: 'unchanged' });
    expect(await arrives(`${show}.png`)).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
  });

  test('without a picture has no cover', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.txt`, 'x');
    expect(await finishes(`${show}.mp4`, id)).toEqual({ outcome: 'none' });
  });

  test('that is new gets the picture of the one before; the picture names it alone', async () => {
    await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    await arrives(`${show}.jpg`);
    const id = await film();
    expect(await finishes(`${show}.mp4`, id)).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe((await metadataOf(`${show}.jpg`))['vod-sha1']);
    expect(await metadataOf(`${show}.jpg`)).toMatchObject({ 'vod-cover-of': id, 'vod-covered': id });
  });

  test('has an error of its cover told apart: the time was over', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    const over = plenty(AbortSignal.abort(new OutOfTime('the time limit of 1 ms was over')));
    const where = { bucket: BUCKET, key: `${show}.mp4`, fileId: fileId(id) };
    expect(await failureOf(coverVideo(where, services(), over))).toMatchObject({ name: 'TimeLimitTooShort' });
  });
});

describe('of several pictures', () => {
  test('the newest is the cover, whatever is written onto the others', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    await arrives(`${show}.jpg`);
    const png = picture('png');
    nextSecond();
    await store.put(BUCKET, `${show}.png`, png);
    nextSecond();
    // By hand, for another file: a write-back to the older one.
    const other = await film(`${show} other.mp4`);
    await arrives(`${show}.jpg`, { fileId: fileId(other) });
    expect(await arrives(`${show}.jpg`)).toMatchObject({
      outcome: 'skipped',
      why: expect.stringContaining(`${show}.png is newer`),
    });
    expect(await arrives(`${show}.png`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    expect(coverOf(id)).toBe(sha1(png));
    const next = await film();
    expect(await finishes(`${show}.mp4`, next)).toMatchObject({ key: `${show}.png` });
  });

  test('put in the same second, the first by name is the cover', async () => {
    const id = await film();
    for (const kind of ['png', 'jpg', 'webp'] as const) {
      await store.put(BUCKET, `${show}.${kind}`, picture(kind));
    }
    expect(await finishes(`${show}.mp4`, id)).toMatchObject({ key: `${show}.jpg` });
  });

  test('an older one put back with its metadata is the cover again', async () => {
    const id = await film();
    const first = picture();
    await store.put(BUCKET, `${show}.jpg`, first);
    await arrives(`${show}.jpg`);
    const Metadata = { ...(await metadataOf(`${show}.jpg`)), 'vod-uploaded-at': '2020-01-02T03:04:05.678Z' };
    await store.put(BUCKET, `${show}.jpg`, picture());
    await arrives(`${show}.jpg`);
    await store.put(BUCKET, `${show}.jpg`, first, { Metadata });
    const events = store.events.length;
    expect(await arrives(`${show}.jpg`)).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe(sha1(first));
    // Whatever the clocks say: nothing is written that the object carries already, so no event brings it once more.
    expect(store.events.length).toBe(events);
  });

  test('a copy under another name is the cover of the other video', async () => {
    const [id, other] = [await film(), await film(`${show} b.mp4`)];
    await store.put(BUCKET, `${show}.jpg`, picture());
    await arrives(`${show}.jpg`);
    const CopySource = encodeURI(`${BUCKET}/${show}.jpg`);
    await store.client.send(new CopyObjectCommand({ Bucket: BUCKET, Key: `${show} b.jpg`, CopySource }));
    expect(await arrives(`${show} b.jpg`)).toMatchObject({ outcome: 'uploaded', coverOf: [other] });
    expect(coverOf(other)).toBe(coverOf(id));
  });

  test('law: whatever overtakes what, the last to reach VOD is the newest, for pictures and videos alike', async () => {
    const puts = fc.array(fc.constantFrom('jpg', 'png', 'video'), { minLength: 2, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(puts, fc.scheduler(), async (kinds, scheduler) => {
        show = `show ${++shows}/ep1`;
        const id = await film();
        const { sendCover } = services().vod;
        // Before and after each send the others may go first.
        const slow = services({
          sendCover: async (of, signal) => {
            await scheduler.schedule(Promise.resolve());
            const file = await sendCover(of, signal);
            await scheduler.schedule(Promise.resolve());
            return file;
          },
        });
        const running: Promise<unknown>[] = [finishes(`${show}.mp4`, id, slow)];
        let newest: Buffer | undefined;
        for (const kind of kinds) {
          if (kind === 'video') {
            running.push(finishes(`${show}.mp4`, id, slow));
            continue;
          }
          nextSecond();
          newest = picture(kind === 'png' ? 'png' : 'jpg', 50);
          await store.put(BUCKET, `${show}.${kind}`, newest);
          running.push(arrives(`${show}.${kind}`, {}, slow));
        }
        await scheduler.waitFor(Promise.all(running));
        expect(coverOf(id)).toBe(newest && sha1(newest));
        const { sent, services: counted } = counting();
        await finishes(`${show}.mp4`, id, counted);
        expect(sent).toEqual([]);
      }),
      { numRuns: 10 },
    );
  });
});

describe('killed between a send, that a newer picture overtook, and the next look: the repeat sends the newer one', () => {
  /** What lies there is replaced, and that one brought, while the older is on its way; nobody hears of its arrival. */
  const overtaken = (key: string, bytes: Buffer) =>
    services({
      sendCover: async (of, signal) => {
        nextSecond();
        await store.put(BUCKET, key, bytes);
        expect(await arrives(key)).toMatchObject({ outcome: 'uploaded' });
        await services().vod.sendCover(of, signal);
        throw new VodUnavailable('killed');
      },
    });

  test.each([
    ['a picture, overwritten', 'jpg', 'superseded'],
    ['a picture, by one of another kind', 'png', 'skipped'],
  ] as const)('%s', async (_, suffix, outcome) => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    const { pin } = await store.find(BUCKET, `${show}.jpg`);
    const job = { request: { bucket: BUCKET, key: pin.key }, round: 0, sent: { parts: 0, bytes: 0 }, pin };
    const newer = picture(suffix);
    const killed = coverWith(job, overtaken(`${show}.${suffix}`, newer), plenty());
    expect(await failureOf(killed)).toMatchObject({ message: 'killed' });
    expect(coverOf(id)).not.toBe(sha1(newer));
    expect(await coverWith(job, services(), plenty(), true)).toMatchObject({ outcome });
    expect(coverOf(id)).toBe(sha1(newer));
  });

  test('a video', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    const newer = picture();
    const video = { bucket: BUCKET, key: `${show}.mp4`, fileId: fileId(id) };
    const killed = coverVideo(video, overtaken(`${show}.jpg`, newer), plenty());
    expect(await failureOf(killed)).toMatchObject({ message: 'killed' });
    expect(coverOf(id)).not.toBe(sha1(newer));
    expect(await coverVideo(video, services(), plenty(), true)).toMatchObject({ outcome: 'uploaded' });
    expect(coverOf(id)).toBe(sha1(newer));
  });

  test('a picture that is still the newest: sent once more, and uploaded', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    const { pin } = await store.find(BUCKET, `${show}.jpg`);
    const job = { request: { bucket: BUCKET, key: pin.key }, round: 0, sent: { parts: 0, bytes: 0 }, pin };
    const { sent, services } = counting();
    expect(await coverWith(job, services, plenty(), true)).toMatchObject({
      outcome: 'uploaded',
      coverOf: [id],
      sent: { parts: 1 },
    });
    expect(sent).toEqual([id]);
  });

  test('a picture beside no video: nothing to send again', async () => {
    await store.put(BUCKET, `${show}.jpg`, picture());
    const { pin } = await store.find(BUCKET, `${show}.jpg`);
    const job = { request: { bucket: BUCKET, key: pin.key }, round: 0, sent: { parts: 0, bytes: 0 }, pin };
    expect(await coverWith(job, services(), plenty(), true)).toMatchObject({ outcome: 'waiting' });
  });
});

describe('vod-cover-of, where the names do not match', () => {
  const put = (value: string, bytes = picture()) =>
    store.put(BUCKET, `${show} poster.jpg`, bytes, { Metadata: { 'vod-cover-of': value } });
  const poster = () => `${show} poster.jpg`;

  test('names a fileId', async () => {
    const id = await film();
    const bytes = picture();
    await put(id, bytes);
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    expect(coverOf(id)).toBe(sha1(bytes));
    expect(await arrives(poster())).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
  });

  test('names a key, percent-encoded where it is not ASCII, and stays as the user wrote it', async () => {
    const key = `${show} 第一集.mp4`;
    const id = await film(key);
    await put(encodeURIComponent(key));
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    expect(await metadataOf(poster())).toMatchObject({
      'vod-cover-of': encodeURIComponent(key),
      'vod-covered': id,
    });
    expect(await arrives(poster())).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
    const next = await film(key);
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [next] });
  });

  test('edited later, is heard', async () => {
    const [id, next] = [await film(), await film(`${show} b.mp4`)];
    await put(id);
    await arrives(poster());
    const { metadata } = await store.find(BUCKET, poster());
    await store.client.send(
      new CopyObjectCommand({
        Bucket: BUCKET,
        Key: poster(),
        CopySource: encodeURI(`${BUCKET}/${poster()}`),
        MetadataDirective: 'REPLACE',
        Metadata: { ...metadata, 'vod-cover-of': next },
      }),
    );
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [next] });
  });

  test('adds to the videos of the name', async () => {
    const [id, other] = [await film(), await film(`${show} b.mp4`)];
    await store.put(BUCKET, `${show}.jpg`, picture(), { Metadata: { 'vod-cover-of': other } });
    expect((await arrives(`${show}.jpg`)).coverOf?.toSorted()).toEqual([id, other].toSorted());
    expect(await arrives(`${show}.jpg`)).toMatchObject({ outcome: 'unchanged' });
  });

  test('that the chain wrote is no word on other bytes', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    await arrives(`${show}.jpg`);
    const Metadata = await metadataOf(`${show}.jpg`);
    await store.put(BUCKET, poster(), picture(), { Metadata });
    const { sent, services } = counting();
    expect(await arrives(poster(), {}, services)).toMatchObject({ outcome: 'waiting' });
    expect(sent).toEqual([]);
    expect(coverOf(id)).toBe(Metadata['vod-sha1']);
  });

  test.each<[string, string, RegExp, () => Promise<unknown>]>([
    ['a video that is not there', 'VideoNotReady', /not there.*redrive/, async () => {}],
    [
      'a video without a fileId',
      'VideoNotReady',
      /no fileId yet.*redrive/,
      () => store.put(BUCKET, `${show} b.mp4`, 'x'),
    ],
  ])('names %s: %s', async (_, name, message, prepare) => {
    await prepare();
    await put(`${show} b.mp4`);
    expect(await failureOf(arrives(poster()))).toMatchObject({
      name,
      message: expect.stringMatching(message),
    });
    expect(await metadataOf(poster())).toEqual({ 'vod-cover-of': `${show} b.mp4` });
  });

  test('names what is no video: InvalidInput', async () => {
    await store.put(BUCKET, `${show} b.jpg`, picture());
    await put(`${show} b.jpg`);
    expect(await failureOf(arrives(poster()))).toMatchObject({
      name: 'InvalidInput',
      message: expect.stringMatching(/poster\.jpg.*vod-cover-of.*b\.jpg.*no video/),
    });
  });

  test('that leads nowhere is no error of the video whose name the picture has', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture(), { Metadata: { 'vod-cover-of': 'none.mp4' } });
    expect(await finishes(`${show}.mp4`, id)).toMatchObject({ outcome: 'uploaded' });
    expect(await failureOf(arrives(`${show}.jpg`))).toMatchObject({ name: 'VideoNotReady' });
  });
});

describe('by hand', () => {
  test('any picture is sent as the cover of any file, again when asked again', async () => {
    const id = await film();
    const [first, second] = [picture('webp'), picture('gif')];
    await store.put(BUCKET, `${show} a.webp`, first);
    await store.put(BUCKET, `${show} b.gif`, second);
    for (const [key, bytes] of [
      ['a.webp', first],
      ['b.gif', second],
      ['a.webp', first],
    ] as const) {
      expect(await arrives(`${show} ${key}`, { fileId: fileId(id) })).toMatchObject({
        outcome: 'uploaded',
        coverOf: [id],
      });
      expect(coverOf(id)).toBe(sha1(bytes));
    }
  });

  test('the write-back ends its loop, and what the picture was the cover of stays on record', async () => {
    const [id, other] = [await film(), await film(`${show} b.mp4`)];
    await store.put(BUCKET, `${show}.jpg`, picture());
    await arrives(`${show}.jpg`);
    await arrives(`${show}.jpg`, { fileId: fileId(other) });
    expect(await metadataOf(`${show}.jpg`)).toMatchObject({
      'vod-covered': [id, other].toSorted().join(' '),
    });
    expect(await arrives(`${show}.jpg`)).toMatchObject({ outcome: 'unchanged' });
    await store.put(BUCKET, `${show} alone.jpg`, picture());
    await arrives(`${show} alone.jpg`, { fileId: fileId(other) });
    expect(await arrives(`${show} alone.jpg`)).toMatchObject({ outcome: 'unchanged', coverOf: [other] });
  });

  test('force sends a picture to the videos of its name, whatever it carries', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture());
    await arrives(`${show}.jpg`);
    const { sent, services } = counting();
    expect(await arrives(`${show}.jpg`, { force: true }, services)).toMatchObject({ outcome: 'uploaded' });
    expect(sent).toEqual([id]);
  });

  test('under the name that the request or the metadata gives', async () => {
    const id = await film();
    await store.put(BUCKET, `${show}.jpg`, picture(), { Metadata: { 'vod-file-name': 'a: b' } });
    await arrives(`${show}.jpg`);
    expect(ends.files().at(-1)).toMatchObject({ fileName: 'a_ b', fileType: 'jpg', coverOf: id });
    await store.put(BUCKET, `${show} c.jpg`, picture());
    await arrives(`${show} c.jpg`, { fileId: fileId(id), options: { fileName: 'named' } });
    expect(ends.files().at(-1)).toMatchObject({ fileName: 'named' });
  });

  test('an unknown fileId is refused by VOD', async () => {
    await store.put(BUCKET, `${show}.jpg`, picture());
    expect(await failureOf(arrives(`${show}.jpg`, { fileId: fileId('12345') }))).toMatchObject({
      name: 'VodRefused',
      message: expect.stringMatching(/SmallFileUpload ep1\.jpg.*12345.*5000/),
    });
    expect(await metadataOf(`${show}.jpg`)).toEqual({});
  });
});

describe('what cannot be a cover', () => {
  const wrong = (key: string, bytes: Buffer) => store.put(BUCKET, key, bytes);

  test.each([
    [0, /empty \(0 bytes\)/],
    [1_048_576, /too large.*1048576 bytes, at most 1048575/],
    [2_000_000, /too large.*2000000 bytes/],
  ])('%i bytes: unfit where a video wants it, skipped where none does', async (size, message) => {
    await wrong(`${show}.jpg`, size === 0 ? Buffer.alloc(0) : picture('jpg', size));
    const why = expect.stringMatching(message);
    expect(await arrives(`${show}.jpg`)).toMatchObject({ outcome: 'skipped', why });
    const id = await film();
    const unfit = { name: 'UnfitObject', message: why };
    expect(await failureOf(arrives(`${show}.jpg`))).toMatchObject(unfit);
    expect(await failureOf(finishes(`${show}.mp4`, id))).toMatchObject(unfit);
    expect(coverOf(id)).toBeUndefined();
  });

  test.each([12, 1_048_575])('%i bytes are a cover', async (size) => {
    const id = await film();
    await wrong(`${show}.jpg`, picture('jpg', size));
    expect(await arrives(`${show}.jpg`)).toMatchObject({ outcome: 'uploaded', size });
    expect(coverOf(id)).toBeDefined();
  });

  test.each([...KINDS, 'jpeg'])('bytes that are no %s', async (suffix) => {
    await film();
    const others = KINDS.filter((kind) => kind !== (suffix === 'jpeg' ? 'jpg' : suffix)).map((kind) =>
      picture(kind),
    );
    for (const bytes of [...others, Buffer.from('<html>not found</html>'), Buffer.from('R')]) {
      await wrong(`${show}.${suffix}`, bytes);
      expect(await failureOf(arrives(`${show}.${suffix}`))).toMatchObject({
        name: 'UnfitObject',
        message: expect.stringContaining(`expected the bytes of a ${suffix}, they begin with`),
      });
    }
  });

  test.each([...KINDS])('bytes of a %s are one', async (kind) => {
    const id = await film();
    await wrong(`${show}.${kind}`, picture(kind));
    expect(await arrives(`${show}.${kind}`)).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
  });
});
