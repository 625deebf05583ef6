import { createServer } from 'node:http';
import { GetObjectTaggingCommand } from '@aws-sdk/client-s3';
import { HttpRequest } from '@smithy/core/protocols';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from '../../local/http-server.ts';
import { startVod } from '../../local/vod/server.ts';
import { image } from '../support/images.ts';
import { BUCKET, newStack, type TestStack } from '../support/stack.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes, sha1 } from '../support/values.ts';

/** An image beside a video, through the whole chain. */

/** What VOD shows: the SHA-1 of each video, and of its cover. */
async function shown(world: TestStack): Promise<Record<string, string | undefined>> {
  const files = await world.readVodIndex();
  const coverOf = ({ cover }: Record<string, unknown>): Record<string, unknown> | undefined =>
    files.find(({ fileId }) => fileId === Object(cover).fileId);
  const videos = files.filter(({ coverOf }) => coverOf === undefined);
  return Object.fromEntries(videos.map((file) => [file.sha1, coverOf(file)?.sha1 as string | undefined]));
}

const metadataOf = async (world: TestStack, key: string) => (await world.head(key)).Metadata ?? {};

/** Each journey as `key outcome`, echoes too. */
const ends = async (world: TestStack): Promise<string[]> =>
  (await world.results()).map(({ key, outcome }) => `${key} ${outcome}`);

test.each<[string, (world: TestStack, film: Buffer, jpg: Buffer) => Promise<unknown>]>([
  [
    'the video first',
    async (world, film, jpg) => {
      await world.put('shows/ep1.mp4', film);
      await world.idle();
      await world.put('shows/ep1.jpg', jpg);
    },
  ],
  [
    'the image first',
    async (world, film, jpg) => {
      await world.put('shows/ep1.jpg', jpg);
      await world.idle();
      await world.put('shows/ep1.mp4', film);
    },
  ],
  [
    'both at once',
    (world, film, jpg) => Promise.all([world.put('shows/ep1.mp4', film), world.put('shows/ep1.jpg', jpg)]),
  ],
])('%s: the cover ends on the video, and the loop ends', async (order, drop) => {
  const world = await newStack();
  const [film, jpg] = [createBytes(2_000_000), image('jpg', 40_000)];
  await drop(world, film, jpg);
  const results = await world.results();
  expect(await shown(world)).toEqual({ [sha1(film)]: sha1(jpg) });
  const video = results.find(({ key, outcome }) => key.endsWith('mp4') && outcome === 'uploaded');
  const own = await metadataOf(world, 'shows/ep1.jpg');
  expect(own).toMatchObject({ 'vod-cover-of': video?.fileId, 'vod-sha1': sha1(jpg) });
  expect(await world.readStoredFile(own['vod-file-id'], 'jpg')).toEqual(jpg);
  // Their own events, and those of the write-backs: then nothing more. The video's second look may come while its first one
  // is still sending the image; then both send it, and both write so.
  const first = { 'the video first': /uploaded/, 'the image first': /waiting/ }[order] ?? /uploaded|waiting/;
  const echoes = ['shows/ep1.jpg unchanged', 'shows/ep1.mp4 unchanged'];
  const others = (await ends(world)).filter((end) => !echoes.includes(end));
  expect(others.toSorted()).toEqual([expect.stringMatching(first), 'shows/ep1.mp4 uploaded']);
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

test('a new image alone changes the cover; a new video gets the image that is there', async () => {
  const world = await newStack();
  const films = [createBytes(1000), createBytes(2000)] as const;
  const jpgs = [image(), image()] as const;
  await world.put('ep1.mp4', films[0]);
  await world.put('ep1.jpg', jpgs[0]);
  await world.idle();
  await world.put('ep1.jpg', jpgs[1]);
  await world.idle();
  expect(await shown(world)).toEqual({ [sha1(films[0])]: sha1(jpgs[1]) });
  await world.put('ep1.mp4', films[1]);
  await world.idle();
  expect(await shown(world)).toEqual({ [sha1(films[0])]: sha1(jpgs[1]), [sha1(films[1])]: sha1(jpgs[1]) });
  const { 'vod-file-id': id } = await metadataOf(world, 'ep1.mp4');
  expect(await metadataOf(world, 'ep1.jpg')).toMatchObject({ 'vod-cover-of': id });
  world.ended.length = 0;
  for (const key of ['ep1.jpg', 'ep1.mp4']) await world.invokeTrigger({ bucket: BUCKET, key });
  expect(await world.results()).toMatchObject([
    { outcome: 'unchanged' },
    { outcome: 'unchanged', cover: { outcome: 'unchanged' } },
  ]);
});

test('a video that VOD has already gets its image too; two videos of a name both do', async () => {
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
  expect(Object.values(await shown(world))).toEqual([sha1(jpg), sha1(jpg)]);
  const ids = await Promise.all(['two.mp4', 'two.flv'].map((key) => metadataOf(world, key)));
  expect((await metadataOf(world, 'two.jpg'))['vod-cover-of']).toBe(
    ids
      .map((metadata) => metadata['vod-file-id'])
      .toSorted()
      .join(' '),
  );
});

test('by hand: an image as the cover of any file; nothing but an image', async () => {
  const world = await newStack();
  await world.put('ep1.mp4', createBytes(1000));
  const png = image('png');
  await world.put('art/any.png', png);
  const film = (await world.results()).find(({ outcome }) => outcome === 'uploaded');
  world.ended.length = 0;
  await world.invokeTrigger({ bucket: BUCKET, key: 'art/any.png', fileId: film?.fileId });
  expect(await world.results()).toMatchObject([
    { key: 'art/any.png', outcome: 'uploaded', coverOf: [film?.fileId] },
    { key: 'art/any.png', outcome: 'unchanged' },
  ]);
  expect(Object.values(await shown(world))).toEqual([sha1(png)]);
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

test('an image that cannot be a cover fails alone; the video carries its fileId, and says what is wrong', async () => {
  const world = await newStack();
  await world.put('ep1.jpg', Buffer.from('<html>not found</html>'));
  await world.put('ep1.mp4', createBytes(1000));
  const film = (await world.results()).find(({ outcome }) => outcome === 'uploaded');
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
  expect(Object.values(await shown(world))).toEqual([sha1(jpg)]);
});

/** A VOD behind a door that lets no cover through until it is opened. */
async function vodBehindDoor() {
  const secrets = { secretId: 'id', secretKey: 'key' };
  const vod = await startVod({ dir: await newFolder(), port: 0, secrets, signedHost: 'vod2.qcloud.com' });
  const http = new NodeHttpHandler();
  const door = { open: false, knocks: 0 };
  const { hostname, port } = new URL(vod.endpoint);
  const listening = await listen(
    createServer(async (request, response) => {
      const { method = '', url: path = '', headers } = request;
      if (path.includes('SmallFileUpload') && !door.open) {
        door.knocks++;
        request.resume();
        response.writeHead(503).end();
        return;
      }
      const passed = { method, protocol: 'http:', hostname, port: Number(port), path, body: request };
      const length = headers['content-length'];
      const reply = await http.handle(
        new HttpRequest({ ...passed, headers: length ? { 'content-length': length } : {} }),
      );
      response.writeHead(reply.response.statusCode);
      reply.response.body.pipe(response);
    }),
    0,
  );
  onTestFinished(async () => {
    await listening.close();
    http.destroy();
    await vod.close();
  });
  const env = { VOD_ENDPOINT: listening.endpoint, VOD_SECRET_ID: 'id', VOD_SECRET_KEY: 'key' };
  return { env, door, files: vod.files };
}

test('a cover that VOD does not take in time: tried again and again, then told; asked for again it is mended', async () => {
  const { env, door, files } = await vodBehindDoor();
  // A short limit: most of this test is waiting between tries.
  const world = await newStack({ env, timeLimitMs: 1000 });
  await world.put('ep1.jpg', image());
  await world.put('ep1.mp4', createBytes(1000));
  const results = await world.results();
  const film = results.find(({ outcome }) => outcome === 'uploaded');
  expect(film).toMatchObject({
    key: 'ep1.mp4',
    cover: { Error: 'VodUnavailable', Cause: expect.any(String) },
  });
  expect(door.knocks).toBeGreaterThan(6);
  expect(files()).toMatchObject([{ fileId: film?.fileId }]);

  door.open = true;
  world.ended.length = 0;
  await world.invokeTrigger({ bucket: BUCKET, key: 'ep1.mp4' });
  expect((await world.results())[0]).toMatchObject({ outcome: 'unchanged', cover: { outcome: 'uploaded' } });
  expect(files()).toMatchObject([{ fileId: film?.fileId, cover: {} }, { coverOf: film?.fileId }]);
});

test('mode tags: neither is rewritten, and both know each other', async () => {
  const world = await newStack({ env: { WRITE_BACK: 'tags' } });
  const [film, jpg] = [createBytes(1000), image()];
  await Promise.all([world.put('ep1.jpg', jpg), world.put('ep1.mp4', film)]);
  await world.idle();
  expect(await shown(world)).toEqual({ [sha1(film)]: sha1(jpg) });
  expect(await metadataOf(world, 'ep1.jpg')).toEqual({});
  const { TagSet = [] } = await world.s3.send(
    new GetObjectTaggingCommand({ Bucket: BUCKET, Key: 'ep1.jpg' }),
  );
  const [stored] = await world.readVodIndex();
  expect(TagSet).toContainEqual({ Key: 'vod-cover-of', Value: stored?.fileId });
  const next = image();
  await world.put('ep1.jpg', next);
  await world.idle();
  expect(await shown(world)).toEqual({ [sha1(film)]: sha1(next) });
});

test.each(['jpg', 'mp4'])(
  'killed while a newer image overtakes the one that a %s sent: the newer one stays',
  async (sender) => {
    const newer = image('jpg', 40_000);
    let sends = 0;
    let isToDie = false;
    const world: TestStack = await newStack({
      faults: async ({ call }) => {
        if (call === 'SmallFileUpload' && sends++ === 0) {
          const { promise: isShown, resolve } = Promise.withResolvers<void>();
          world.executions.on('ended', ({ output }) => {
            if (Object(output).outcome === 'uploaded' && Object(output).key.endsWith('jpg')) resolve();
          });
          await world.put('ep1.jpg', newer);
          await isShown;
          isToDie = true; // before the next look
        } else if (isToDie && call === 'ListObjectsV2') {
          isToDie = false;
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
    expect(isToDie).toBe(false);
    expect(await shown(world)).toEqual({ [sha1(film)]: sha1(newer) });
  },
);
