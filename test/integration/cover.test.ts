import { CopyObjectCommand } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import { accelerateTimers } from '../support/accelerate-timers.ts';
import { image } from '../support/images.ts';
import { BUCKET, newStack, type TestStack } from '../support/stack.ts';
import { createBytes, sha1 } from '../support/values.ts';

/** Videos and their covers through the whole pipeline. */

/** The SHA-1 of each video in VOD and of its cover. */
async function readCovers(world: TestStack): Promise<Record<string, string | undefined>> {
  const files = await world.readVodIndex();
  const coverOf = ({ cover }: Record<string, unknown>): Record<string, unknown> | undefined =>
    files.find(({ fileId }) => fileId === Object(cover).fileId);
  const videos = files.filter(({ coverOf }) => coverOf === undefined);
  return Object.fromEntries(videos.map((file) => [file.sha1, coverOf(file)?.sha1 as string | undefined]));
}

const metadataOf = async (world: TestStack, key: string) => (await world.head(key)).Metadata ?? {};

/** The first execution that uploaded something. */
const findUploaded = async (world: TestStack) =>
  (await world.results()).find(({ outcome }) => outcome === 'uploaded');

test.each([
  ['the video first', ['mp4', 'jpg'], /uploaded/],
  ['the image first', ['jpg', 'mp4'], /waiting/],
  ['both concurrently', ['mp4', 'jpg'], /uploaded|waiting/],
] as const)('attaches the cover and stops when S3 gets %s', async (order, types, imageOutcome) => {
  const world = await newStack();
  const [film, jpg] = [createBytes(2_000_000), image('jpg', 40_000)];
  const puts = [];
  for (const type of types) {
    const put = world.put(`shows/ep1.${type}`, type === 'mp4' ? film : jpg);
    puts.push(put);
    if (order !== 'both concurrently') await put.then(world.idle);
  }
  await Promise.all(puts);
  const results = await world.results();
  expect(await readCovers(world)).toEqual({ [sha1(film)]: sha1(jpg) });
  const video = results.find(({ key, outcome }) => key.endsWith('mp4') && outcome === 'uploaded');
  const own = await metadataOf(world, 'shows/ep1.jpg');
  expect(own).toMatchObject({ 'vod-cover-of': video?.fileId, 'vod-sha1': sha1(jpg) });
  expect(await world.readStoredFile(own['vod-file-id'], 'jpg')).toEqual(jpg);
  // Only the two events and those of the write-backs. The second execution of the video may start while the first one
  // still sends the image. Then both send it, and both report "uploaded".
  const repeats = ['shows/ep1.jpg unchanged', 'shows/ep1.mp4 unchanged'];
  const others = results
    .map(({ key, outcome }) => `${key} ${outcome}`)
    .filter((end) => !repeats.includes(end));
  expect(others.toSorted()).toEqual([expect.stringMatching(imageOutcome), 'shows/ep1.mp4 uploaded']);
  expect(results.length).toBeLessThanOrEqual(6);
  if (order !== 'the video first') {
    expect(video?.cover).toEqual({
      outcome: expect.stringMatching(/^(uploaded|unchanged)$/),
      key: 'shows/ep1.jpg',
      fileId: own['vod-file-id'],
      url: own['vod-url'],
      sha1: sha1(jpg),
    });
  }
});

test('keeps the header values and the name of an image in any encoding, and reads its video and file name in UTF-8', async () => {
  const world = await newStack();
  const asSent = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
  const [film, jpg] = [createBytes(1000), image()];
  await world.put('片名 à+(1).mp4', film).then(world.idle);
  await world.put('source.txt', jpg);
  const properties = {
    ContentDisposition: asSent('attachment; filename="图à.jpg"'),
    ContentType: 'image/jpeg',
  };
  const Metadata = {
    title: asSent('图  à'),
    raw: '\xa0\xff',
    'vod-cover-of': asSent('片名 à+(1).mp4'),
    'vod-file-name': asSent('封面'),
  };
  const source = {
    Bucket: BUCKET,
    CopySource: `${BUCKET}/source.txt`,
    MetadataDirective: 'REPLACE',
  } as const;
  const Key = '封面 é+(2).jpg';
  await world.s3.send(new CopyObjectCommand({ ...source, Key, ...properties, Metadata }));
  await world.idle();
  expect(await readCovers(world)).toEqual({ [sha1(film)]: sha1(jpg) });
  const head = await world.head(Key);
  expect(head).toMatchObject(properties);
  expect(head.Metadata).toMatchObject({ ...Metadata, 'vod-sha1': sha1(jpg) });
});

test('a new image replaces the cover, and a new video gets the existing image', async () => {
  const world = await newStack();
  const films = [createBytes(1000), createBytes(2000)] as const;
  const jpgs = [image(), image()] as const;
  await world.put('ep1.mp4', films[0]);
  await world.put('ep1.jpg', jpgs[0]);
  await world.idle();
  await world.put('ep1.jpg', jpgs[1]);
  await world.idle();
  expect(await readCovers(world)).toEqual({ [sha1(films[0])]: sha1(jpgs[1]) });
  await world.put('ep1.mp4', films[1]);
  await world.idle();
  expect(await readCovers(world)).toEqual({
    [sha1(films[0])]: sha1(jpgs[1]),
    [sha1(films[1])]: sha1(jpgs[1]),
  });
  const { 'vod-file-id': id } = await metadataOf(world, 'ep1.mp4');
  expect(await metadataOf(world, 'ep1.jpg')).toMatchObject({ 'vod-cover-of': id });
  world.ended.length = 0;
  for (const key of ['ep1.jpg', 'ep1.mp4']) await world.invokeTrigger({ bucket: BUCKET, key });
  expect(await world.results()).toMatchObject([
    { outcome: 'unchanged' },
    { outcome: 'unchanged', cover: { outcome: 'unchanged' } },
  ]);
});

test('attaches the image to an instant upload and to each of two videos with its name', async () => {
  const world = await newStack();
  const film = createBytes(1000);
  await world.put('one.mp4', film);
  await world.idle();
  const jpg = image();
  await world.put('two.jpg', jpg);
  await world.put('two.mp4', film);
  await world.put('two.flv', createBytes(500));
  const results = await world.results();
  expect(results).toContainEqual(
    expect.objectContaining({ key: 'two.mp4', outcome: 'instant', cover: expect.anything() }),
  );
  expect(Object.values(await readCovers(world))).toEqual([sha1(jpg), sha1(jpg)]);
  const ids = await Promise.all(['two.mp4', 'two.flv'].map((key) => metadataOf(world, key)));
  expect((await metadataOf(world, 'two.jpg'))['vod-cover-of']).toBe(
    ids
      .map((metadata) => metadata['vod-file-id'])
      .toSorted()
      .join(' '),
  );
});

test('a manual start attaches any image to any file, and rejects everything else', async () => {
  const world = await newStack();
  await world.put('ep1.mp4', createBytes(1000));
  const png = image('png');
  await world.put('art/any.png', png);
  const film = await findUploaded(world);
  world.ended.length = 0;
  await world.invokeTrigger({ bucket: BUCKET, key: 'art/any.png', fileId: film?.fileId });
  expect(await world.results()).toMatchObject([
    { key: 'art/any.png', outcome: 'uploaded', coverOf: [film?.fileId] },
    { key: 'art/any.png', outcome: 'unchanged' },
  ]);
  expect(Object.values(await readCovers(world))).toEqual([sha1(png)]);
  world.ended.length = 0;
  await world.invokeTrigger({ bucket: BUCKET, key: 'ep1.mp4', fileId: film?.fileId });
  await world.invokeTrigger({ bucket: BUCKET, key: 'art/any.png', fileId: '12345' });
  await world.idle();
  expect(world.ended.map(({ error, cause }) => `${error} ${cause}`).toSorted()).toEqual([
    expect.stringMatching(/^InvalidInput .*ep1\.mp4: expected an image/),
    expect.stringMatching(/^VodRejected .*12345/),
  ]);
  await expect(world.invokeTrigger({ bucket: BUCKET, key: 'art/any.png', fileId: 'x' })).rejects.toThrow(
    /fileId/,
  );
});

test('an invalid image fails without its video, whose result has the error', async () => {
  const world = await newStack();
  await world.put('ep1.jpg', Buffer.from('<html>not found</html>'));
  await world.put('ep1.mp4', createBytes(1000));
  const film = await findUploaded(world);
  expect(film).toMatchObject({
    key: 'ep1.mp4',
    outcome: 'uploaded',
    cover: {
      Error: 'UnsupportedObject',
      Cause: expect.stringMatching(/ep1\.jpg.*expected the bytes of a jpg/),
    },
  });
  expect(await metadataOf(world, 'ep1.mp4')).toMatchObject({ 'vod-file-id': film?.fileId });
  expect(world.ended.map(({ status }) => status)).not.toContain('FAILED');

  await world.put('ep1.jpg', image('jpg', 1_048_576));
  await world.idle();
  expect(world.ended.at(-1)).toMatchObject({ status: 'FAILED', error: 'UnsupportedObject' });

  const jpg = image();
  await world.put('ep1.jpg', jpg);
  await world.idle();
  expect(Object.values(await readCovers(world))).toEqual([sha1(jpg)]);
});

test('reports VodUnavailable when VOD stays unavailable for the cover, and attaches it when restarted', async () => {
  let isAvailable = false;
  let attempts = 0;
  accelerateTimers(); // most of this test is the wait between attempts
  const world = await newStack({
    faults: ({ call }) => {
      if (call !== 'SmallFileUpload' || isAvailable) return undefined;
      attempts++;
      return '503';
    },
  });
  await world.put('ep1.jpg', image());
  await world.put('ep1.mp4', createBytes(1000));
  const film = await findUploaded(world);
  expect(film).toMatchObject({
    key: 'ep1.mp4',
    cover: { Error: 'VodUnavailable', Cause: expect.any(String) },
  });
  expect(attempts).toBeGreaterThan(6);
  expect(await world.readVodIndex()).toMatchObject([{ fileId: film?.fileId }]);

  isAvailable = true;
  world.ended.length = 0;
  await world.invokeTrigger({ bucket: BUCKET, key: 'ep1.mp4' });
  expect((await world.results())[0]).toMatchObject({ outcome: 'unchanged', cover: { outcome: 'uploaded' } });
  expect(await world.readVodIndex()).toMatchObject([
    { fileId: film?.fileId, cover: {} },
    { coverOf: film?.fileId },
  ]);
});

test.each(['tags', 'annotation'])(
  'WRITE_BACK=%s rewrites neither object and records each on the other',
  async (mode) => {
    const world = await newStack({ env: { WRITE_BACK: mode } });
    const [film, jpg] = [createBytes(1000), image()];
    await Promise.all([world.put('ep1.jpg', jpg), world.put('ep1.mp4', film)]);
    await world.idle();
    expect(await readCovers(world)).toEqual({ [sha1(film)]: sha1(jpg) });
    expect(await metadataOf(world, 'ep1.jpg')).toEqual({});
    const [stored] = await world.readVodIndex();
    const record = mode === 'tags' ? await world.tagsOf('ep1.jpg') : await world.annotationOf('ep1.jpg');
    expect(record).toMatchObject({ 'vod-cover-of': stored?.fileId });
    const next = image();
    await world.put('ep1.jpg', next);
    await world.idle();
    expect(await readCovers(world)).toEqual({ [sha1(film)]: sha1(next) });
  },
);

test.each(['jpg', 'mp4'])(
  'keeps a newer image that overtakes the one of a killed %s execution',
  async (sender) => {
    const newer = image('jpg', 40_000);
    let sends = 0;
    let mustKill = false;
    const world: TestStack = await newStack({
      faults: async ({ call }) => {
        if (call === 'SmallFileUpload' && sends++ === 0) {
          const { promise: isUploaded, resolve } = Promise.withResolvers<void>();
          world.executions.on('ended', ({ output }) => {
            if (Object(output).outcome === 'uploaded' && Object(output).key.endsWith('jpg')) resolve();
          });
          await world.put('ep1.jpg', newer);
          await isUploaded;
          mustKill = true; // before the step lists the images again
        } else if (mustKill && call === 'ListObjectsV2') {
          mustKill = false;
          world.lambda.kill();
        }
        return undefined;
      },
    });
    const film = createBytes(1000);
    const [first, second] =
      sender === 'jpg' ? (['ep1.mp4', 'ep1.jpg'] as const) : (['ep1.jpg', 'ep1.mp4'] as const);
    const bytes = { 'ep1.mp4': film, 'ep1.jpg': image('jpg', 40_000) };
    await world.put(first, bytes[first]);
    await world.idle();
    await world.put(second, bytes[second]);
    await world.idle();
    expect(mustKill).toBe(false);
    expect(await readCovers(world)).toEqual({ [sha1(film)]: sha1(newer) });
  },
);
