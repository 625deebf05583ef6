import { describe, expect, test } from 'vitest';
import { useCovers } from '../../support/covers.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { image } from '../../support/images.ts';
import { fileId, sha1 } from '../../support/values.ts';

const { store, show, files, film, arrives, finishes, coverOf, metadataOf, counting } = useCovers();

describe('vod-cover-of, on an image without a video of its name,', () => {
  const put = (value: string, bytes = image()) =>
    store.put(BUCKET, `${show()} poster.jpg`, bytes, { Metadata: { 'vod-cover-of': value } });
  const poster = () => `${show()} poster.jpg`;

  test('can name a fileId', async () => {
    const id = await film();
    const bytes = image();
    await put(id, bytes);
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    expect(coverOf(id)).toBe(sha1(bytes));
    expect(await arrives(poster())).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
  });

  test('can name a percent-encoded key, and stays as the user wrote it', async () => {
    const key = `${show()} 第一集.mp4`;
    const id = await film(key);
    await put(encodeURIComponent(key));
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
    const marker = { 'vod-cover-of': encodeURIComponent(key), 'vod-covered': id };
    expect(await metadataOf(poster())).toMatchObject(marker);
    expect(await arrives(poster())).toMatchObject({ outcome: 'unchanged', coverOf: [id] });
    const next = await film(key);
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [next] });
  });

  test('takes effect after an edit', async () => {
    const [id, next] = [await film(), await film(`${show()} b.mp4`)];
    await put(id);
    await arrives(poster());
    const { metadata } = await store.find(BUCKET, poster());
    const Metadata = { ...metadata, 'vod-cover-of': next };
    await store.copy(BUCKET, poster(), poster(), { MetadataDirective: 'REPLACE', Metadata });
    expect(await arrives(poster())).toMatchObject({ outcome: 'uploaded', coverOf: [next] });
  });

  test('adds to the videos with the name of the image', async () => {
    const [id, other] = [await film(), await film(`${show()} b.mp4`)];
    await store.put(BUCKET, `${show()}.jpg`, image(), { Metadata: { 'vod-cover-of': other } });
    expect((await arrives(`${show()}.jpg`)).coverOf?.toSorted()).toEqual([id, other].toSorted());
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'unchanged' });
  });

  test('does not count for other bytes if the pipeline wrote it', async () => {
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
      'a video whose fileId S3 cannot verify', // such as a multipart copy without checksums
      'VideoNotReady',
      /cannot verify.*Redrive.*If that fails.*its fileId instead of its key/,
      async () => {
        const Metadata = { 'vod-file-id': '4711', 'vod-sha1': sha1('x'), 'vod-etag': 'of the source' };
        await store.putInParts(BUCKET, `${show()} b.mp4`, 'x', { Metadata });
      },
    ],
  ])('names %s: fails with %s', async (_, name, message, prepare) => {
    await prepare();
    await put(`${show()} b.mp4`);
    await expectFailure(arrives(poster()), name, message);
    expect(await metadataOf(poster())).toEqual({ 'vod-cover-of': `${show()} b.mp4` });
  });

  test('names an object that is not a video: fails with InvalidInput', async () => {
    await store.put(BUCKET, `${show()} b.jpg`, image());
    await put(`${show()} b.jpg`);
    await expectFailure(arrives(poster()), 'InvalidInput', /poster\.jpg.*vod-cover-of.*b\.jpg.*not a video/);
  });

  test('with an invalid target does not fail the video with the name of the image', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image(), { Metadata: { 'vod-cover-of': 'none.mp4' } });
    expect(await finishes(`${show()}.mp4`, id)).toMatchObject({ outcome: 'uploaded' });
    await expectFailure(arrives(`${show()}.jpg`), 'VideoNotReady');
  });
});

describe('a request with a fileId', () => {
  test('sends any image as the cover of any file, each time it is invoked', async () => {
    const id = await film();
    const [first, second] = [image('webp'), image('gif')];
    await store.put(BUCKET, `${show()} a.webp`, first);
    await store.put(BUCKET, `${show()} b.gif`, second);
    for (const name of ['a.webp', 'b.gif', 'a.webp']) {
      const result = await arrives(`${show()} ${name}`, { fileId: fileId(id) });
      expect(result).toMatchObject({ outcome: 'uploaded', coverOf: [id] });
      expect(coverOf(id)).toBe(sha1(name === 'a.webp' ? first : second));
    }
  });

  test('ends the loop of its write-back, and keeps the files that the image already covers', async () => {
    const [id, other] = [await film(), await film(`${show()} b.mp4`)];
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    await arrives(`${show()}.jpg`, { fileId: fileId(other) });
    const covered = [id, other].toSorted().join(' ');
    expect(await metadataOf(`${show()}.jpg`)).toMatchObject({ 'vod-covered': covered });
    expect(await arrives(`${show()}.jpg`)).toMatchObject({ outcome: 'unchanged' });
    await store.put(BUCKET, `${show()} alone.jpg`, image());
    await arrives(`${show()} alone.jpg`, { fileId: fileId(other) });
    expect(await arrives(`${show()} alone.jpg`)).toMatchObject({ outcome: 'unchanged', coverOf: [other] });
  });

  test('can be replaced by force, which sends an image to the videos with its name again', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image());
    await arrives(`${show()}.jpg`);
    const { sent, services } = counting();
    expect(await arrives(`${show()}.jpg`, { force: true }, services)).toMatchObject({ outcome: 'uploaded' });
    expect(sent).toEqual([id]);
  });

  test('uses the file name from the request or the metadata', async () => {
    const id = await film();
    await store.put(BUCKET, `${show()}.jpg`, image(), { Metadata: { 'vod-file-name': 'a: b' } });
    await arrives(`${show()}.jpg`);
    expect(files().at(-1)).toMatchObject({ fileName: 'a_ b', fileType: 'jpg', coverOf: id });
    await store.put(BUCKET, `${show()} c.jpg`, image());
    await arrives(`${show()} c.jpg`, { fileId: fileId(id), options: { fileName: 'named' } });
    expect(files().at(-1)).toMatchObject({ fileName: 'named' });
  });

  test('fails if VOD does not know the fileId', async () => {
    await store.put(BUCKET, `${show()}.jpg`, image());
    const message = /SmallFileUpload ep1\.jpg.*12345.*5000/;
    await expectFailure(arrives(`${show()}.jpg`, { fileId: fileId('12345') }), 'VodRejected', message);
    expect(await metadataOf(`${show()}.jpg`)).toEqual({});
  });
});
