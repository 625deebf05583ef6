import type { S3Client } from '@aws-sdk/client-s3';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createS3Client } from '../../../lib/s3/client.ts';
import { headObject } from '../../../lib/s3/head-object.ts';
import { readRange } from '../../../lib/s3/read-range.ts';
import { readTags } from '../../../lib/s3/tags.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import { useCredentials } from '../../support/fake-store.ts';
import { type Answer, type Asked, scripted } from '../../support/scripted-server.ts';
import { failureOf, never, pinOf } from '../../support/values.ts';

/** What a store may do to a reader that the local one never does. */

useCredentials();

const bytes = Buffer.from(Array.from({ length: 1000 }, (_, n) => n % 251));
const pin = pinOf(bytes.length);
const range = { offset: 100, size: 500 };
const wanted = bytes.subarray(100, 600);

const rangeAsked = ({ headers }: Asked): [number, number] => {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
  return [Number(first), Number(last)];
};
const headersFor = ([first, last]: [number, number]) => ({
  etag: '"e"',
  'content-range': `bytes ${first}-${last}/${bytes.length}`,
  'content-length': String(last - first + 1),
});
const fine: Answer = (response, asked) => {
  const [first, last] = rangeAsked(asked);
  response.writeHead(206, headersFor([first, last])).end(bytes.subarray(first, last + 1));
};
/** The right headers, the first `count` bytes, and then the connection is gone. */
const cutAfter =
  (count: number): Answer =>
  (response, asked) => {
    const [first, last] = rangeAsked(asked);
    response.writeHead(206, headersFor([first, last]));
    response.write(bytes.subarray(first, first + count), () => response.destroy());
  };
const refusing =
  (status: number, code: string): Answer =>
  (response) =>
    response
      .writeHead(status, { 'content-type': 'application/xml' })
      .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>because</Message></Error>`);
const lying =
  (headers: Record<string, string>, body: (first: number, last: number) => Buffer): Answer =>
  (response, asked) => {
    const [first, last] = rangeAsked(asked);
    const sent = body(first, last);
    response
      .writeHead(206, { ...headersFor([first, last]), 'content-length': String(sent.length), ...headers })
      .end(sent);
  };
const exactly = (first: number, last: number) => bytes.subarray(first, last + 1);

async function against(...answers: [Answer, ...Answer[]]) {
  const { endpoint, asked, arrived } = await scripted(...answers);
  const client: S3Client = createS3Client({ endpoint });
  onTestFinished(() => client.destroy());
  const read = (signal = never) => readRange(client, pin, range, signal);
  return { client, asked, arrived, read, ranges: () => asked.map(({ headers }) => headers.range) };
}

test('every read is held to the ETag, and to the version where there is one', async () => {
  const { client, asked, read } = await against(fine);
  await read();
  await readRange(client, { ...pin, versionId: 'v1' }, range, never);
  expect(asked.map(({ headers, query }) => [headers['if-match'], query.get('versionId')])).toEqual([
    ['"e"', null],
    ['"e"', 'v1'],
  ]);
});

describe('a body that is cut', () => {
  test('is read on from its last good byte', async () => {
    accelerateTimers();
    const { read, ranges, asked } = await against(cutAfter(180), cutAfter(20), fine);
    expect(wanted.equals(await read())).toBe(true);
    expect(ranges()).toEqual(['bytes=100-599', 'bytes=280-599', 'bytes=300-599']);
    expect(asked.every(({ headers }) => headers['if-match'] === '"e"')).toBe(true);
  });

  test('and ends as if it were whole: the same', async () => {
    accelerateTimers();
    const short = lying({}, (first) => bytes.subarray(first, first + 180));
    const { read, ranges } = await against(short, fine);
    expect(wanted.equals(await read())).toBe(true);
    expect(ranges()).toEqual(['bytes=100-599', 'bytes=280-599']);
  });

  test('again and again is read to its end, as long as each time brings something', async () => {
    accelerateTimers();
    const { read, ranges } = await against(cutAfter(40));
    expect(wanted.equals(await read())).toBe(true);
    expect(ranges()).toHaveLength(13);
  });

  test('and brings nothing five times: StorageUnavailable, saying how much came', async () => {
    accelerateTimers();
    const { read, ranges } = await against(cutAfter(180), cutAfter(0));
    expect(await failureOf(read())).toMatchObject({
      name: 'StorageUnavailable',
      message: expect.stringContaining('GET s3://b/clip.mp4 bytes=280-599: '),
    });
    expect(ranges().filter((header) => header === 'bytes=280-599')).toHaveLength(5);
  });

  test('because the object is now another one: ObjectChanged, not a mixture of two', async () => {
    accelerateTimers();
    const { read } = await against(cutAfter(180), refusing(412, 'PreconditionFailed'));
    expect((await failureOf(read())).name).toBe('ObjectChanged');
  });
});

test('a body that stands still is given up and read on', async () => {
  accelerateTimers();
  const stalling: Answer = (response, asked) => {
    const [first, last] = rangeAsked(asked);
    response.writeHead(206, headersFor([first, last])).write(bytes.subarray(first, first + 200));
  };
  const { read, ranges } = await against(stalling, fine);
  expect(wanted.equals(await read())).toBe(true);
  expect(ranges()).toEqual(['bytes=100-599', 'bytes=300-599']);
});

test('an answer that never comes is given up and asked for again', async () => {
  accelerateTimers();
  const { read, ranges } = await against(() => {}, fine);
  expect(wanted.equals(await read())).toBe(true);
  expect(ranges()).toHaveLength(2);
});

describe('a small question', () => {
  const soon = (): void => {
    const real = AbortSignal.timeout.bind(AbortSignal);
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => real(ms / 50));
    onTestFinished(() => void vi.restoreAllMocks());
  };
  // Without it the client waits for 5 minutes, which is what a large copy may need.
  test('that is never answered is given up', async () => {
    soon();
    const { client } = await against(() => {});
    expect(await failureOf(headObject(client, pin, never))).toMatchObject({
      name: 'StorageUnavailable',
      message: 'HEAD s3://b/clip.mp4: no response within 10000 ms',
    });
  });

  test('whose answer stands still in the middle is given up', async () => {
    soon();
    const { client } = await against((response) => void response.writeHead(200).write('<Tagging>'));
    expect(await failureOf(readTags(client, pin, never))).toMatchObject({
      name: 'StorageUnavailable',
      message: 'GET tags of s3://b/clip.mp4: no response within 10000 ms',
    });
  });

  test('is ended by the signal, with its reason', async () => {
    const { client, arrived } = await against(() => {});
    const controller = new AbortController();
    const reason = new Error('time is over');
    const asking = failureOf(headObject(client, pin, controller.signal));
    await arrived;
    controller.abort(reason);
    expect(await asking).toBe(reason);
  });

  // The client learns the time from the reply, and signs the next request by it.
  test('refused without a word is asked once more', async () => {
    const refused: Answer = (response) => response.writeHead(403).end();
    const { client, asked } = await against(refused, (response) =>
      response.writeHead(200, { etag: '"e"', 'content-length': '7' }).end(),
    );
    expect((await headObject(client, pin, never)).pin.etag).toBe('e');
    expect(asked).toHaveLength(2);
    const { client: stranger } = await against(refused);
    expect((await failureOf(headObject(stranger, pin, never))).name).toBe('StorageRejected');
  });
});

describe('a reply that lies', () => {
  test.each([
    [
      'of another range',
      lying({ 'content-range': 'bytes 0-499/1000' }, () => bytes.subarray(0, 500)),
      'got bytes 0-499/1000',
    ],
    [
      'of an object of another size',
      lying({ 'content-range': 'bytes 100-599/1001' }, exactly),
      'got bytes 100-599/1001',
    ],
    ['without a range', lying({ 'content-range': '' }, exactly), 'expected bytes 100-599/1000'],
    [
      'with more bytes than asked for',
      lying({}, (first, last) => bytes.subarray(first, last + 3)),
      'expected 500 bytes, got more',
    ],
  ])('%s is refused, and asked for again', async (_, lie, told) => {
    accelerateTimers();
    const mended = await against(lie, fine);
    expect(wanted.equals(await mended.read())).toBe(true);
    const { read } = await against(lie);
    expect(await failureOf(read())).toMatchObject({
      name: 'StorageUnavailable',
      message: expect.stringContaining(told),
    });
  });
});

test('a reply of another ETag is of another object, also where the store ignores If-Match', async () => {
  const { read } = await against(lying({ etag: '"other"' }, exactly));
  const error = await failureOf(read());
  expect(error).toMatchObject({
    name: 'ObjectChanged',
    message: expect.stringContaining('expected ETag e, got other'),
  });
});

describe('a refusal', () => {
  test.each([
    [412, 'PreconditionFailed', 'ObjectChanged'],
    [404, 'NoSuchKey', 'ObjectDeleted'],
    [404, 'NoSuchVersion', 'ObjectDeleted'],
    [403, 'AccessDenied', 'StorageRejected'],
    [403, 'InvalidObjectState', 'UnsupportedObject'],
    [401, 'Unauthorized', 'StorageRejected'],
    [400, 'AuthorizationHeaderMalformed', 'StorageRejected'],
    [416, 'InvalidRange', 'StorageRejected'],
  ])('%i %s: %s, at the first word', async (status, code, name) => {
    accelerateTimers();
    const { read, asked } = await against(refusing(status, code));
    expect(await failureOf(read())).toMatchObject({
      name,
      message: expect.stringMatching(`^GET s3://b/clip.mp4 bytes=100-599: ${status} .*because`),
    });
    expect(asked).toHaveLength(1);
  });

  test.each([
    [503, 'SlowDown'],
    [500, 'InternalError'],
    [409, 'OperationAborted'],
    [429, 'TooManyRequests'],
    [403, 'RequestTimeTooSkewed'],
    [404, 'NoSuchUpload'],
  ])('%i %s passes: asked again', async (status, code) => {
    accelerateTimers();
    const { read, ranges } = await against(refusing(status, code), refusing(status, code), fine);
    expect(wanted.equals(await read())).toBe(true);
    expect(ranges()).toEqual(Array(3).fill('bytes=100-599'));
  });

  test('503 that does not pass: StorageUnavailable', async () => {
    accelerateTimers();
    const { read, client } = await against(refusing(503, 'SlowDown'));
    for (const call of [() => read(), () => headObject(client, pin, never)]) {
      expect(await failureOf(call())).toMatchObject({
        name: 'StorageUnavailable',
        message: expect.stringContaining('503'),
      });
    }
  });
});

test('nobody there: StorageUnavailable, naming the setting', async () => {
  accelerateTimers();
  const client = createS3Client({ endpoint: 'http://127.0.0.1:1' });
  expect(await failureOf(headObject(client, pin, never))).toMatchObject({
    name: 'StorageUnavailable',
    message: expect.stringMatching(/^HEAD s3:\/\/b\/clip.mp4: .*ECONNREFUSED.*S3_ENDPOINT/),
  });
});

test('the signal ends a read at once, wherever it is, with the reason of the signal', async () => {
  const { read, asked, arrived } = await against((response, request) => {
    response.writeHead(206, headersFor(rangeAsked(request))).write(bytes.subarray(100, 200));
  });
  const controller = new AbortController();
  const reason = new Error('time is over');
  const reading = failureOf(read(controller.signal));
  await arrived;
  controller.abort(reason);
  expect(await reading).toBe(reason);
  expect(asked).toHaveLength(1);
});
