import { CopyObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { useCovers } from '../../support/covers.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { image } from '../../support/images.ts';
import { failureOf, fileId, sha1 } from '../../support/values.ts';

/** Covers that somebody names: in the metadata of the image, or by hand. */

const { store, show, files, film, arrives, finishes, coverOf, metadataOf, counting } = useCovers();

describe('vod-cover-of, where the names do not match', () => {
  const put = (value: string, bytes = image()) =>
    store.put(BUCKET, `${show()} poster.jpg`, bytes, { Metadata: { 'vod-cover-of': value } });
  const poster = () => `${show()} poster.jpg`;

  test('names a fileId', async () => {
    const id = await film();
    const bytes = image();
    await put(id, bytes);
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    expect(coverOf(id)).toBe(sha1(bytes));
    expect(await arrives(poster())).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
  });

  test('names a key, percent-encoded where it is not ASCII, and stays as the user wrote it', async () => {
    const key = `${show()} 第一集.mp4`;
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
    const [id, next] = [await film(), await film(`${show()} b.mp4`)];
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
    const [id, other] = [await film(), await film(`${show()} b.mp4`)];
    await store.put(BUCKET, `${show()}.jpg`, image(), { Metadata: { 'vod-cover-of': other } });
    expect((await arrives(`${show()}.jpg`)).coverOf?.toSorted()).toEqual([id, other].toSorted());
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'unchanged' });
  });

  test('that the chain wrote is no word on other bytes', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    const Metadata = await metadataOf(`${show()}.jpg`);
    await store.put(BUCKET, poster(), image(), { Metadata });
    const { sent, services } = counting();
    expect(await arrives(poster(), {}, services)).toMatchObject({ outcome: 'waiting' });
    expect(sent).toEqual([]);
    expect(coverOf(id)).toBe(Metadata['vod-sha1']);
  });

  test.each<[string, string, RegExp, () => Promise<unknown>]>([
    ['a video that is not there', 'VideoNotReady', /does not exist.*Redrive/, async () => {}],
    [
      'a video without a fileId',
      'VideoNotReady',
      /no fileId yet.*Redrive/,
      () => store.put(BUCKET, `${show()} b.mp4`, 'x'),
    ],
    [
      'a video whose fileId S3 does not vouch for, and may never', // such as a copy in parts, without checksums
      'VideoNotReady',
      /cannot verify.*Redrive.*If that fails.*its fileId instead of its key/,
      async () => {
        const Metadata = { 'vod-file-id': '4711', 'vod-sha1': sha1('x'), 'vod-etag': 'of the source' };
        await store.putInParts(BUCKET, `${show()} b.mp4`, 'x', { Metadata });
      },
    ],
  ])('names %s: %s', async (_, name, message, prepare) => {
    await prepare();
    await put(`${show()} b.mp4`);
    expect(await failureOf(arrives(poster()))).toMatchObject({
      name,
      message: expect.stringMatching(message),
    });
    expect(await metadataOf(poster())).toEqual({ 'vod-cover-of': `${show()} b.mp4` });
  });

  test('names what is no video: InvalidInput', async () => {
    await store.put(BUCKET, `${show()} b.jpg`, image());
    await put(`${show()} b.jpg`);
    expect(await failureOf(arrives(poster()))).toMatchObject({
      name: 'InvalidInput',
      message: expect.stringMatching(/poster\.jpg.*vod-cover-of.*b\.jpg.*not a video/),
    });
  });

  test('that leads nowhere is no error of the video whose name the image has', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image(), { Metadata: { 'vod-cover-of': 'none.mp4' } });
    expect(await finishes(`${show()}.mp4`, id)).toMatchObject({ outcome: 'uploaded' });
    expect(await failureOf(arrives(`${show()}.jpg`))).toMatchObject({ name: 'VideoNotReady' });
  });
});

describe('by hand', () => {
  test('any image is sent as the cover of any file, again when asked again', async () => {
    const id = await film();
    const [first, second] = [image('webp'), image('gif')];
    await store.put(BUCKET, `${show()} a.webp`, first);
    await store.put(BUCKET, `${show()} b.gif`, second);
    for (const [key, bytes] of [
      ['a.webp', first],
      ['b.gif', second],
      ['a.webp', first],
    ] as const) {
      expect(await arrives(`${show()} ${key}`, { fileId: fileId(id) })).toMatchObject({
        outcome: 'uploaded',
        coverOf: [id],
      });
      expect(coverOf(id)).toBe(sha1(bytes));
    }
  });

  test('the write-back ends its loop, and what the image was the cover of stays on record', async () => {
    const [id, other] = [await film(), await film(`${show()} b.mp4`)];
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    await arrives(`${show()}.jpg`, { fileId: fileId(other) });
    expect(await metadataOf(`${show()}.jpg`)).toMatchObject({
      'vod-covered': [id, other].toSorted().join(' '),
    });
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'unchanged' });
    await store.put(BUCKET, `${show()} alone.jpg`, image());
    await arrives(`${show()} alone.jpg`, { fileId: fileId(other) });
    expect(await arrives(`${show()} alone.jpg`)).toMatchObject({ outcome: 'unchanged', coverOf: [other] });
  });

  test('force sends an image to the videos of its name, whatever it carries', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    const { sent, services } = counting();
    expect(await arrives(`${show()}.jpg`, { force: true }, services)).toMatchObject({ outcome: 'uploaded' });
    expect(sent).toEqual([id]);
  });

  test('under the name that the request or the metadata gives', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image(), { Metadata: { 'vod-file-name': 'a: b' } });
    await arrives(`${show()}.jpg`);
    expect(files().at(-1)).toMatchObject({ fileName: 'a_ b', fileType: 'jpg', coverOf: id });
    await store.put(BUCKET, `${show()} c.jpg`, image());
    await arrives(`${show()} c.jpg`, { fileId: fileId(id), options: { fileName: 'named' } });
    expect(files().at(-1)).toMatchObject({ fileName: 'named' });
  });

  test('an unknown fileId is refused by VOD', async () => {
    await store.put(BUCKET, `${show()}.jpg`, image());
    expect(await failureOf(arrives(`${show()}.jpg`, { fileId: fileId('12345') }))).toMatchObject({
      name: 'VodRejected',
      message: expect.stringMatching(/SmallFileUpload ep1\.jpg.*12345.*5000/),
    });
    expect(await metadataOf(`${show()}.jpg`)).toEqual({});
  });
});
