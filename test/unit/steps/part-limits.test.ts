import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { DeadlineExceeded } from '../../../lib/deadline.ts';
import { PartRejected, VodUnavailable } from '../../../lib/errors.ts';
import { createS3Client } from '../../../lib/s3/client.ts';
import type { ObjectVersion, PartInput, PartOutput } from '../../../lib/schemas.ts';
import { runPart } from '../../../lib/steps/part.ts';
import type { VodClient } from '../../../lib/vod/client.ts';
import { ALL, film, inputFor, left, useTaking } from '../../support/batch.ts';
import { notAsked, useEnds } from '../../support/ends.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { type Answer, scripted } from '../../support/scripted-server.ts';
import { failureOf, pinOf, plenty, saysYes } from '../../support/values.ts';

const ends = useEnds();
const taking = useTaking();

let pin: ObjectVersion;
beforeAll(async () => {
  await ends.store.put(BUCKET, 'film.mp4', film);
  ({ pin } = await ends.store.find(BUCKET, 'film.mp4'));
});

const send = (input: PartInput, vod: Partial<VodClient>, deadline = plenty()): Promise<PartOutput> =>
  runPart(input, ends.services(vod), deadline);

/** Creates an S3 whose ranges pass through `change`. Without a result of `change`, it does not respond. */
async function createChangedS3(change: (response: { first: number; bytes: Buffer }) => Buffer | undefined) {
  const answer: Answer = (response, { headers }) => {
    const [, first = 0, last = 0] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '')?.map(Number) ?? [];
    const bytes = change({ first, bytes: film.subarray(first, last + 1) });
    if (!bytes) return;
    const head = { etag: '"e"', 'content-range': `bytes ${first}-${last}/${film.length}` };
    response.writeHead(206, { ...head, 'content-length': bytes.length }).end(bytes);
  };
  const { endpoint, asked } = await scripted(answer);
  const s3 = createS3Client({ endpoint });
  onTestFinished(() => s3.destroy());
  const from = pinOf(film.length);
  return {
    ranges: () => asked.map(({ headers }) => headers.range),
    send: (parts: readonly number[], vod: Partial<VodClient>) =>
      runPart(inputFor(from, parts), { ...ends.services(vod), s3 }, plenty()),
  };
}

describe('the time limit', () => {
  const reason = new DeadlineExceeded('the time limit of 60000 ms was over');

  test.each([
    ['part', saysYes(0)],
    ['read', plenty(AbortSignal.abort(reason))],
  ])('throws NoProgress with the object and the limit before the first %s', async (_, deadline) => {
    const failure = failureOf(send(inputFor(pin, ALL), { uploadPart: notAsked }, deadline));
    expect(await failure).toMatchObject({
      name: 'NoProgress',
      message: expect.stringMatching(`s3://${BUCKET}/film.mp4.*60000 ms`),
    });
  });

  test('is checked before each part', async () => {
    const { vod, taken } = taking();
    const output = await send(inputFor(pin, ALL), vod, saysYes(7));
    expect(taken).toEqual(ALL.slice(0, 7));
    expect(left(output)).toEqual(ALL.slice(7));
  });

  test('must leave as much time as the slowest part took', async () => {
    const checked: number[] = [];
    const deadline = { ...plenty(), hasTimeFor: (ms: number) => checked.push(ms) > 0 };
    let clock = 1_000;
    const now = vi.spyOn(performance, 'now').mockImplementation(() => clock);
    onTestFinished(() => now.mockRestore());
    const { vod } = taking(async (part) => {
      clock += part === 2 ? 700 : 1;
    });
    await send(inputFor(pin, ALL.slice(0, 20)), vod, deadline);
    expect(checked[0]).toBe(0);
    expect(checked.at(-1)).toBeGreaterThanOrEqual(700);
    expect(checked).toEqual(checked.toSorted((a, b) => a - b));
  });

  test('aborts the parts in flight and returns them', async () => {
    const controller = new AbortController();
    const { vod, taken, flight } = taking(async (part, _, signal) => {
      if (part < 5) return;
      const ended = Promise.withResolvers<never>();
      signal.addEventListener('abort', () => ended.reject(signal.reason));
      if (part === 15) setImmediate(() => controller.abort(reason));
      await ended.promise;
    });
    const output = await send(inputFor(pin, ALL), vod, plenty(controller.signal));
    expect(taken).toEqual([0, 1, 2, 3, 4]);
    expect(left(output)).toEqual(ALL.slice(5));
    expect(flight.now).toBe(0);
  });

  test('throws NoProgress if it ends before VOD confirms a part', async () => {
    const controller = new AbortController();
    const { vod } = taking(async () => {
      controller.abort(reason);
      throw reason;
    });
    const failure = failureOf(send(inputFor(pin, ALL), vod, plenty(controller.signal)));
    expect(await failure).toMatchObject({ name: 'NoProgress' });
  });
});

describe('a part that arrives with wrong bytes', () => {
  const isCorrect = (part: number, bytes: Uint8Array): boolean =>
    film.subarray(part * 100, part * 100 + bytes.length).equals(bytes);
  /** A VOD that verifies the bytes. */
  const createVerifier = () =>
    taking(async (part, bytes) => {
      if (!isCorrect(part, bytes)) throw new PartRejected(`UploadPart ${part}: code -10006`);
    });

  test('is read and sent again', async () => {
    let changed = 0;
    const s3 = await createChangedS3(({ bytes }) => (changed++ < 2 ? Buffer.alloc(bytes.length) : bytes));
    const { vod, taken, begun } = createVerifier();
    const output = await s3.send([4], vod);
    expect(output.sent).toEqual({ parts: 1, bytes: 100 });
    expect([taken, begun]).toEqual([[4], [4, 4, 4]]);
    expect(s3.ranges()).toEqual(Array(3).fill('bytes=400-499'));
  });

  test('is returned after two resends, and the others are sent', async () => {
    const s3 = await createChangedS3(({ first, bytes }) =>
      first === 400 ? Buffer.alloc(bytes.length) : bytes,
    );
    const { vod, taken, begun } = createVerifier();
    const output = await s3.send([2, 4, 6], vod);
    expect(left(output)).toEqual([4]);
    expect(output.sent).toEqual({ parts: 2, bytes: 200 });
    expect(taken.toSorted()).toEqual([2, 6]);
    expect(begun.filter((part) => part === 4)).toHaveLength(3);
  });

  test('fails the step if it is alone in the batch', async () => {
    const s3 = await createChangedS3(({ bytes }) => Buffer.alloc(bytes.length));
    const failure = await failureOf(s3.send([4], createVerifier().vod));
    expect(failure).toMatchObject({ name: 'PartRejected', message: 'UploadPart 4: code -10006' });
  });
});

// Regression: the invocation waited up to a minute for the reads ahead from a store that did not respond.
test('the first error aborts the reads ahead', { timeout: 8_000 }, async () => {
  const each = ALL.filter((part) => part % 2 === 0); // no two are adjacent: one read each
  const [failing = 0, firstUnread = 0] = [each[0], each[16]];
  const s3 = await createChangedS3(({ first, bytes }) => (first < firstUnread * 100 ? bytes : undefined));
  const gate = Promise.withResolvers<void>();
  const { vod, begun, taken } = taking(async (part) => {
    if (begun.length === 16) gate.resolve();
    await gate.promise;
    if (part === failing) throw new VodUnavailable('not now');
  });
  const output = await s3.send(each, vod);
  expect(taken).toHaveLength(15);
  expect(left(output)).toEqual([failing, ...each.slice(16)]);
});
