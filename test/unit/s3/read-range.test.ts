import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { readRange } from '../../../lib/s3/read-range.ts';
import { divideDelays, removeJitter } from '../../support/accelerate-timers.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, useStore, VERSIONED } from '../../support/fake-store.ts';
import {
  abortOnArrival,
  CONTENT,
  PIN,
  respondWithError,
  startScriptedS3,
} from '../../support/scripted-s3.ts';
import type { ReceivedRequest, Responder } from '../../support/scripted-server.ts';
import { createBytes, failureOf, never } from '../../support/values.ts';

const store = useStore();

describe('a read from the local S3', () => {
  /** Stores an object of three bytes. Returns a function that reads the version it has now. */
  async function putThenRead(bucket: string, Key: string, fields = {}) {
    await store.put(bucket, Key, 'one', fields);
    const { pin } = await store.find(bucket, Key);
    return (signal = never) => readRange(store.client, pin, { offset: 0, size: 3 }, signal);
  }

  test('returns exactly the bytes of any range', async () => {
    const bytes = createBytes(200_000);
    await store.put(BUCKET, 'read.mp4', bytes);
    const { pin } = await store.find(BUCKET, 'read.mp4');
    const anyRange = fc
      .tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: bytes.length }))
      .map(([offset, size]) => ({ offset, size: Math.min(size, bytes.length - offset) }));
    const examples: [{ offset: number; size: number }][] = [
      [{ offset: 0, size: 1 }],
      [{ offset: bytes.length - 1, size: 1 }],
      [{ offset: 0, size: bytes.length }],
    ];
    await fc.assert(
      fc.asyncProperty(anyRange, async (range) => {
        const { offset, size } = range;
        const read = await readRange(store.client, pin, range, never);
        expect(bytes.subarray(offset, offset + size).equals(read)).toBe(true);
      }),
      { numRuns: 20, examples },
    );
  });

  test('throws ObjectChanged when the object was overwritten', async () => {
    const read = await putThenRead(BUCKET, 'over.mp4');
    await store.put(BUCKET, 'over.mp4', 'two');
    await expectFailure(read(), 'ObjectChanged', `GET s3://${BUCKET}/over.mp4 bytes=0-2: 412`);
  });

  test('throws ObjectDeleted when the object was deleted', async () => {
    const read = await putThenRead(BUCKET, 'deleted.mp4');
    await store.remove(BUCKET, 'deleted.mp4');
    await expectFailure(read(), 'ObjectDeleted');
  });

  test('returns the bytes of a version that is no longer the current one', async () => {
    const read = await putThenRead(VERSIONED, 'old.mp4');
    await store.put(VERSIONED, 'old.mp4', 'two');
    expect(String(await read())).toBe('one');
  });

  test('throws UnsupportedObject when the object is archived', async () => {
    const read = await putThenRead(BUCKET, 'cold.mp4', { StorageClass: 'GLACIER' });
    await expectFailure(read(), 'UnsupportedObject', 'restore it');
  });

  test('throws the reason of a signal that has aborted before', async () => {
    const read = await putThenRead(BUCKET, 'aborted.mp4');
    const reason = new Error('aborted by the test');
    expect(await failureOf(read(AbortSignal.abort(reason)))).toBe(reason);
  });
});

/** The first and the last byte of a request, counted from 0, and the headers of a correct response. */
function parseRange({ headers }: ReceivedRequest) {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '')?.map(Number) ?? [];
  if (first === undefined || last === undefined) throw new Error(`unexpected range: ${headers.range}`);
  return {
    first,
    last,
    correct: {
      etag: '"e"',
      'content-range': `bytes ${first}-${last}/${CONTENT.length}`,
      'content-length': String(last - first + 1),
    },
  };
}
/** Sends other headers than the correct ones, or another number of bytes. */
const respond =
  (headers: Record<string, string> = {}, extraBytes = 0): Responder =>
  (response, request) => {
    const { first, last, correct } = parseRange(request);
    const sent = CONTENT.subarray(first, last + 1 + extraBytes);
    response.writeHead(206, { ...correct, 'content-length': String(sent.length), ...headers }).end(sent);
  };
const respondCorrectly = respond();
/** Sends the correct headers and only the first `count` bytes, then calls `then`. */
const truncateAfter =
  (count: number, then: 'destroy' | 'stall' = 'destroy'): Responder =>
  (response, request) => {
    const { first, correct } = parseRange(request);
    const sent = CONTENT.subarray(first, first + count);
    response.writeHead(206, correct).write(sent, () => then === 'destroy' && response.destroy());
  };

async function startRead(...responses: [Responder, ...Responder[]]) {
  removeJitter();
  const started = await startScriptedS3(...responses);
  return { ...started, ranges: () => started.requests.map(({ headers }) => headers.range) };
}
const expectContent = async (reading: Promise<Uint8Array>) =>
  expect(CONTENT.subarray(100, 600).equals(await reading)).toBe(true);

test('sends the ETag and the version with every read', async () => {
  const { requests, read } = await startRead(respondCorrectly);
  await read();
  await read(never, { ...PIN, versionId: 'v1' });
  expect(requests.map(({ headers, query }) => [headers['if-match'], query.get('versionId')])).toEqual([
    ['"e"', null],
    ['"e"', 'v1'],
  ]);
});

describe('an incomplete response', () => {
  test.each<[string, [Responder, ...Responder[]], number[]]>([
    ['the connection closes', [truncateAfter(180), truncateAfter(20), respondCorrectly], [100, 280, 300]],
    ['the body is shorter than the range', [respond({}, -320), respondCorrectly], [100, 280]],
    ['the body stalls', [truncateAfter(200, 'stall'), respondCorrectly], [100, 300]],
    ['no response arrives', [() => {}, respondCorrectly], [100, 100]],
    ['each response brings bytes', [truncateAfter(40)], Array.from({ length: 13 }, (_, n) => 100 + 40 * n)],
  ])('continues after the last byte received when %s', async (_, responses, starts) => {
    const { read, ranges, requests, arrived } = await startRead(...responses);
    // The first attempt notices a stall after 1 s. The others have all the time that a busy machine may need.
    void arrived.then(divideDelays(10));
    await expectContent(read());
    expect(ranges()).toEqual(starts.map((first) => `bytes=${first}-599`));
    expect(requests.every(({ headers }) => headers['if-match'] === '"e"')).toBe(true);
  });

  test('throws StorageUnavailable with the rest of the range after five responses without a byte', async () => {
    const { read, ranges } = await startRead(truncateAfter(180), truncateAfter(0));
    await expectFailure(read(), 'StorageUnavailable', 'GET s3://b/clip.mp4 bytes=280-599: ');
    expect(ranges().filter((header) => header === 'bytes=280-599')).toHaveLength(5);
  });

  test('throws ObjectChanged when the object was overwritten before the retry', async () => {
    const { read } = await startRead(truncateAfter(180), respondWithError(412, 'PreconditionFailed'));
    await expectFailure(read(), 'ObjectChanged');
  });
});

describe('a wrong response', () => {
  test.each([
    ['has another range', respond({ 'content-range': 'bytes 0-499/1000' }), 'got bytes 0-499/1000'],
    ['has another total size', respond({ 'content-range': 'bytes 100-599/1001' }), 'got bytes 100-599/1001'],
    ['has no range', respond({ 'content-range': '' }), 'expected bytes 100-599/1000'],
    ['has too many bytes', respond({}, 2), 'expected 500 bytes, got more'],
  ])('is discarded and the read retried when it %s', async (_, response, message) => {
    const recovering = await startRead(response, respondCorrectly);
    await expectContent(recovering.read());
    const { read } = await startRead(response);
    await expectFailure(read(), 'StorageUnavailable', message);
  });

  test('throws ObjectChanged when the service ignores If-Match and returns another ETag', async () => {
    const { read } = await startRead(respond({ etag: '"other"' }));
    await expectFailure(read(), 'ObjectChanged', 'expected ETag e, got other');
  });
});

describe('an aborted read', () => {
  const reason = new Error('aborted by the test');

  test.each<[string, Responder]>([
    ['before the response', () => {}],
    ['in the middle of the body', truncateAfter(100, 'stall')],
  ])('closes the connection %s and throws the reason', async (_, respond) => {
    const closed = Promise.withResolvers<void>();
    const { read, requests, arrived } = await startScriptedS3((response, request) => {
      response.once('close', closed.resolve);
      respond(response, request);
    });
    expect(await abortOnArrival(arrived, reason, read)).toBe(reason);
    await closed.promise;
    expect(requests).toHaveLength(1);
  });

  test('does not wait for the next attempt', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1e6); // the wait is a random share of its maximum
    onTestFinished(() => void vi.restoreAllMocks());
    const controller = new AbortController();
    const { read, requests } = await startScriptedS3((response, request) => {
      const headers = { ...parseRange(request).correct, 'content-length': '0' };
      response.writeHead(206, headers).end(() => setTimeout(() => controller.abort(reason), 50));
    });
    expect(await failureOf(read(controller.signal))).toBe(reason);
    expect(requests).toHaveLength(1);
  });
});
