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

/** What sending does when the time runs low, when bytes came wrong, and when S3 stands still. */

const ends = useEnds();
const taking = useTaking();

let pin: ObjectVersion;
beforeAll(async () => {
  await ends.store.put(BUCKET, 'film.mp4', film);
  ({ pin } = await ends.store.find(BUCKET, 'film.mp4'));
});

const send = (input: PartInput, vod: Partial<VodClient>, deadline = plenty()): Promise<PartOutput> =>
  runPart(input, ends.services(vod), deadline);

/** An S3 that gives the range it is asked for, as `spoil` makes it. */
async function sendFrom(spoil: (answer: { first: number; bytes: Buffer }) => Buffer | undefined) {
  const answer: Answer = (response, { headers }) => {
    const [, first = 0, last = 0] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '')?.map(Number) ?? [];
    const bytes = spoil({ first, bytes: film.subarray(first, last + 1) });
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

describe('time', () => {
  const reason = new DeadlineExceeded('the time limit of 60000 ms was over');

  test.each([
    ['is over before the first part', saysYes(0)],
    ['is over before the first read', plenty(AbortSignal.abort(reason))],
  ])('that %s: NoProgress, naming the object and the limit', async (_, deadline) => {
    const { name, message } = await failureOf(send(inputFor(pin, ALL), { uploadPart: notAsked }, deadline));
    expect(name).toBe('NoProgress');
    expect(message).toContain(`s3://${BUCKET}/film.mp4`);
    expect(message).toContain('60000 ms');
  });

  test('is asked for before each part', async () => {
    const { vod, taken } = taking();
    const output = await send(inputFor(pin, ALL), vod, saysYes(7));
    expect(taken).toEqual(ALL.slice(0, 7));
    expect(left(output)).toEqual(ALL.slice(7));
  });

  test('that must do for as long as the slowest part took so far', async () => {
    const asked: number[] = [];
    const deadline = { ...plenty(), hasTimeFor: (ms: number) => asked.push(ms) > 0 };
    let clock = 1_000;
    const now = vi.spyOn(performance, 'now').mockImplementation(() => clock);
    onTestFinished(() => now.mockRestore());
    const { vod } = taking(async (part) => {
      clock += part === 2 ? 700 : 1;
    });
    await send(inputFor(pin, ALL.slice(0, 20)), vod, deadline);
    expect(asked[0]).toBe(0);
    expect(asked.at(-1)).toBeGreaterThanOrEqual(700);
    expect(asked).toEqual(asked.toSorted((a, b) => a - b));
  });

  test('that ends while parts are on their way: those are given up, and handed on', async () => {
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

  test('that ends before any part arrived: NoProgress', async () => {
    const controller = new AbortController();
    const { vod } = taking(async () => {
      controller.abort(reason);
      throw reason;
    });
    const failure = await failureOf(send(inputFor(pin, ALL), vod, plenty(controller.signal)));
    expect(failure.name).toBe('NoProgress');
  });
});

describe('a part whose bytes are not those announced', () => {
  const isRight = (part: number, bytes: Uint8Array): boolean =>
    film.subarray(part * 100, part * 100 + bytes.length).equals(bytes);
  /** As VOD does, it looks at what has come. */
  const checking = () =>
    taking(async (part, bytes) => {
      if (!isRight(part, bytes)) throw new PartRejected(`UploadPart ${part}: code -10006`);
    });

  test('is read and sent again', async () => {
    let spoilt = 0;
    const s3 = await sendFrom(({ bytes }) => (spoilt++ < 2 ? Buffer.alloc(bytes.length) : bytes));
    const { vod, taken, begun } = checking();
    const output = await s3.send([4], vod);
    expect(output.sent).toEqual({ parts: 1, bytes: 100 });
    expect([taken, begun]).toEqual([[4], [4, 4, 4]]);
    expect(s3.ranges()).toEqual(Array(3).fill('bytes=400-499'));
  });

  test('twice at most: then it is handed on, and the others are sent', async () => {
    const s3 = await sendFrom(({ first, bytes }) => (first === 400 ? Buffer.alloc(bytes.length) : bytes));
    const { vod, taken, begun } = checking();
    const output = await s3.send([2, 4, 6], vod);
    expect(left(output)).toEqual([4]);
    expect(output.sent).toEqual({ parts: 2, bytes: 200 });
    expect(taken.toSorted()).toEqual([2, 6]);
    expect(begun.filter((part) => part === 4)).toHaveLength(3);
  });

  test('once it is alone, its error is that of the step', async () => {
    const s3 = await sendFrom(({ bytes }) => Buffer.alloc(bytes.length));
    const failure = await failureOf(s3.send([4], checking().vod));
    expect(failure).toMatchObject({ name: 'PartRejected', message: 'UploadPart 4: code -10006' });
  });
});

// A hand-over once waited for reads that nobody wanted any more; of a store that stands still for up to a minute.
test('with the first fault the reads ahead are given up, not waited for', { timeout: 8_000 }, async () => {
  const each = ALL.filter((part) => part % 2 === 0); // none beside another: a read each
  const [failing = 0, firstUnread = 0] = [each[0], each[16]];
  const s3 = await sendFrom(({ first, bytes }) => (first < firstUnread * 100 ? bytes : undefined));
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
