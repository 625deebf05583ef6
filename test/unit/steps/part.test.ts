import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { PartRejected, QuotaExceeded, UploadNotFound, VodUnavailable } from '../../../lib/errors.ts';
import { DeadlineExceeded } from '../../../lib/invocation/deadline.ts';
import type { ObjectVersion, PartInput, PartOutput, UploadBounds } from '../../../lib/schemas.ts';
import { runPart } from '../../../lib/steps/part.ts';
import { partCount, planBatches } from '../../../lib/upload/plan.ts';
import type { VodClient } from '../../../lib/vod/v2/client.ts';
import { ALL, bytesIn, film, inputFor, remainingParts, useFakeVod } from '../../support/batch.ts';
import { failIfCalled, useServices } from '../../support/ends.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { createTestAdmission } from '../../support/quota.ts';
import { newS3Client } from '../../support/s3-client.ts';
import { type Responder, startScriptedServer } from '../../support/scripted-server.ts';
import { ampleDeadline, deadlineWithChecks, MIB, pinOf, sha1 } from '../../support/values.ts';
import { video } from '../../support/vod-client.ts';

const ends = useServices();
const { store } = ends;
const createVod = useFakeVod();

let pin: ObjectVersion;
beforeAll(async () => {
  await store.put(BUCKET, 'film.mp4', film);
  ({ pin } = await store.find(BUCKET, 'film.mp4'));
});

const send = (input: PartInput, vod: Partial<VodClient>, deadline = ampleDeadline()): Promise<PartOutput> =>
  runPart(input, ends.services(vod), deadline);

test('sends the missing parts to VOD', async () => {
  const big = video(3_000_000);
  await store.put(BUCKET, 'big.mp4', big.bytes);
  await ends.other.init(big);
  for (const part of [0, 3]) await ends.other.part(big, part);
  const upload = {
    session: sha1(big.bytes),
    size: big.bytes.length,
    partSize: big.partSize,
    functions: 4,
  };
  const object = { pin: (await store.find(BUCKET, 'big.mp4')).pin, upload };
  const output = await send(inputFor(pin, [1, 2, 4, 5], { ...object, sent: { parts: 3, bytes: 7 } }), {});
  const sent = { parts: 3 + 4, bytes: 7 + 3 * big.partSize + (3_000_000 - 5 * big.partSize) };
  expect(output).toEqual({ execution: 'its name', ...object, sent });
  expect(await ends.other.finish(big)).toMatchObject({ code: 0 });
});

const subset = fc.uniqueArray(fc.nat(59), { minLength: 1 }).map((parts) => parts.sort((a, b) => a - b));

test('counts or returns each part of the batch, whichever parts fail', async () => {
  await fc.assert(
    fc.asyncProperty(subset, fc.func(fc.boolean()), fc.func(fc.nat(3)), async (parts, fails, turns) => {
      const { vod, accepted, inFlight } = createVod(async (part) => {
        for (let n = turns(part); n > 0; n--) await nextTurn();
        if (fails(part)) throw new VodUnavailable(`part ${part}`);
      });
      const output = await send(inputFor(pin, parts), vod).catch((error: unknown) => {
        expect(error).toBeInstanceOf(VodUnavailable);
        expect(accepted).toEqual([]);
        return undefined;
      });
      expect(inFlight.now).toBe(0);
      if (!output) return;
      expect([...accepted, ...remainingParts(output)].sort((a, b) => a - b)).toEqual(parts); // none twice, none lost
      expect(output.sent).toEqual({ parts: accepted.length, bytes: bytesIn(accepted) });
    }),
    { numRuns: 80 },
  );
});

test('sends every part exactly once over several invocations with errors and time limits', async () => {
  await fc.assert(
    fc.asyncProperty(subset, fc.array(fc.nat(20)), fc.array(fc.boolean()), async (parts, limits, faults) => {
      const { vod, accepted } = createVod(async () => {
        if (faults.pop()) throw new VodUnavailable('not now');
      });
      let input = inputFor(pin, parts);
      for (;;) {
        const limit = limits.pop();
        const deadline = limit === undefined ? ampleDeadline() : deadlineWithChecks(limit);
        const output: PartOutput = await send(input, vod, deadline).catch(() => input); // then retried
        const { batch, ...rest } = output;
        if (!batch) {
          expect(rest.sent).toEqual({ parts: parts.length, bytes: bytesIn(parts) });
          break;
        }
        input = { ...rest, batch };
      }
      expect(accepted.sort((a, b) => a - b)).toEqual(parts);
    }),
    { numRuns: 60 },
  );
});

describe('runPart', () => {
  test('throws the first error if it sent no part', async () => {
    const error = new VodUnavailable('not now');
    await expect(send(inputFor(pin, ALL), createVod(() => Promise.reject(error)).vod)).rejects.toBe(error);
  });

  test('after an error, finishes the parts in flight, starts no other, and returns the rest', async () => {
    const gate = Promise.withResolvers<void>();
    const { vod, accepted, started } = createVod(async (part) => {
      if (started.length === 32) gate.resolve();
      await gate.promise;
      if (part === 3) throw new VodUnavailable('not now');
      await nextTurn();
    });
    const output = await send(inputFor(pin, ALL), vod);
    expect(started).toEqual(ALL.slice(0, 32));
    expect(accepted).toHaveLength(31);
    expect(remainingParts(output)).toEqual([3, ...ALL.slice(32)]);
  });

  test('sends at most 32 parts concurrently', async () => {
    const { vod, accepted, inFlight } = createVod(() => nextTurn());
    await send(inputFor(pin, ALL), vod);
    expect(accepted).toEqual(ALL);
    expect(inFlight).toEqual({ now: 0, most: 32 });
  });
});

describe('when the quota is short', () => {
  const exceeded = () => new QuotaExceeded('UploadPart: the quota is used up');

  test('sends all parts with fewer in flight', async () => {
    let [allowed, most] = [10, 0];
    const { vod, accepted, inFlight } = createVod(async () => {
      if (inFlight.now > allowed) throw exceeded();
      await nextTurn();
      most = Math.max(most, inFlight.now);
      allowed = 10;
    });
    const output = await send(inputFor(pin, ALL), vod);
    expect(accepted.toSorted((a, b) => a - b)).toEqual(ALL);
    expect(output).not.toHaveProperty('batch');
    expect(most).toBeLessThanOrEqual(allowed);
  });

  test('returns the rest with a wait, and never starts it immediately', async () => {
    const { vod, accepted } = createVod(async () => {
      if (accepted.length >= 7) throw exceeded();
    });
    const output = await send(inputFor(pin, ALL), vod);
    expect([...accepted, ...remainingParts(output)].toSorted((a, b) => a - b)).toEqual(ALL);
    expect(output.waitSeconds).toBeGreaterThanOrEqual(120);
  });

  test('throws QuotaExceeded if it sent no part', async () => {
    const { vod } = createVod(() => Promise.reject(exceeded()));
    await expectFailure(send(inputFor(pin, ALL), vod), 'QuotaExceeded', /used up/);
  });
});

test('reports the sent bytes of an object that needs admission, and ignores a failed report', async () => {
  const reports: [string, number][] = [];
  const admission = {
    ...createTestAdmission(),
    appliesTo: () => true,
    report: async (name: string, bytes: number) => {
      reports.push([name, bytes]);
      throw new QuotaExceeded('the table is gone');
    },
  };
  const { vod } = createVod();
  const { sent } = await runPart(inputFor(pin, ALL), { ...ends.services(vod), admission }, ampleDeadline());
  expect([sent.parts, reports]).toEqual([60, [['its name', film.length]]]);
});

describe('returns restartReason and no batch', () => {
  test('when VOD lost the upload, and counts the parts sent before', async () => {
    const { vod } = createVod(async (part) => {
      if (part === 1) throw new UploadNotFound('UploadPart: code -10005');
    });
    const output = await send(inputFor(pin, [0, 1]), vod);
    expect(output.sent).toEqual({ parts: 1, bytes: 100, restartReason: 'UploadNotFound' });
    expect('batch' in output).toBe(false);
    const alone = await send(inputFor(pin, [1]), vod);
    expect(alone.sent).toEqual({ parts: 0, bytes: 0, restartReason: 'UploadNotFound' });
  });

  test('when the object was overwritten or deleted', async () => {
    await store.put(BUCKET, 'short-lived.mp4', film);
    const input = inputFor((await store.find(BUCKET, 'short-lived.mp4')).pin, ALL);
    await store.put(BUCKET, 'short-lived.mp4', 'other bytes');
    const overwritten = await send(input, { uploadPart: failIfCalled });
    expect(overwritten.sent).toEqual({ parts: 0, bytes: 0, restartReason: 'ObjectChanged' });
    await store.remove(BUCKET, 'short-lived.mp4');
    const deleted = await send(input, { uploadPart: failIfCalled });
    expect(deleted.sent).toEqual({ parts: 0, bytes: 0, restartReason: 'ObjectDeleted' });
    expect([remainingParts(overwritten), remainingParts(deleted)]).toEqual([[], []]);
  });
});

/** Creates an S3 whose ranges pass through `change`. Without a result of `change`, it does not respond. */
async function createChangedS3(change: (response: { first: number; bytes: Buffer }) => Buffer | undefined) {
  const answer: Responder = (response, { headers }) => {
    const [, first = 0, last = 0] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '')?.map(Number) ?? [];
    const bytes = change({ first, bytes: film.subarray(first, last + 1) });
    if (!bytes) return;
    const head = { etag: '"e"', 'content-range': `bytes ${first}-${last}/${film.length}` };
    response.writeHead(206, { ...head, 'content-length': bytes.length }).end(bytes);
  };
  const { endpoint, requests } = await startScriptedServer(answer);
  const s3 = newS3Client(endpoint);
  return {
    ranges: () => requests.map(({ headers }) => headers.range),
    send: (parts: readonly number[], vod: Partial<VodClient>) =>
      runPart(inputFor(pinOf(film.length), parts), { ...ends.services(vod), s3 }, ampleDeadline()),
  };
}

describe('the time limit', () => {
  const reason = new DeadlineExceeded('the time limit of 60000 ms was over');

  test.each([
    ['part', deadlineWithChecks(0)],
    ['read', ampleDeadline(AbortSignal.abort(reason))],
  ])('throws NoProgress with the object and the limit before the first %s', async (_, deadline) => {
    const call = send(inputFor(pin, ALL), { uploadPart: failIfCalled }, deadline);
    await expectFailure(call, 'NoProgress', new RegExp(`s3://${BUCKET}/film.mp4.*60000 ms`));
  });

  test('is checked before each part', async () => {
    const { vod, accepted } = createVod();
    const output = await send(inputFor(pin, ALL), vod, deadlineWithChecks(7));
    expect(accepted).toEqual(ALL.slice(0, 7));
    expect(remainingParts(output)).toEqual(ALL.slice(7));
  });

  test('must leave as much time as the slowest part took', async () => {
    const checked: number[] = [];
    const deadline = { ...ampleDeadline(), hasTimeFor: (ms: number) => checked.push(ms) > 0 };
    let clock = 1_000;
    const now = vi.spyOn(performance, 'now').mockImplementation(() => clock);
    onTestFinished(() => now.mockRestore());
    const { vod } = createVod(async (part) => {
      clock += part === 2 ? 700 : 1;
    });
    await send(inputFor(pin, ALL.slice(0, 20)), vod, deadline);
    expect(checked[0]).toBe(0);
    expect(checked.at(-1)).toBeGreaterThanOrEqual(700);
    expect(checked).toEqual(checked.toSorted((a, b) => a - b));
  });

  test('aborts the parts in flight and returns them', async () => {
    const controller = new AbortController();
    const { vod, accepted, inFlight } = createVod(async (part, _, signal) => {
      if (part < 5) return;
      const ended = Promise.withResolvers<never>();
      signal.addEventListener('abort', () => ended.reject(signal.reason));
      if (part === 15) setImmediate(() => controller.abort(reason));
      await ended.promise;
    });
    const output = await send(inputFor(pin, ALL), vod, ampleDeadline(controller.signal));
    expect(accepted).toEqual([0, 1, 2, 3, 4]);
    expect(remainingParts(output)).toEqual(ALL.slice(5));
    expect(inFlight.now).toBe(0);
  });

  test('throws NoProgress if it ends before VOD confirms a part', async () => {
    const controller = new AbortController();
    const { vod } = createVod(async () => {
      controller.abort(reason);
      throw reason;
    });
    await expectFailure(send(inputFor(pin, ALL), vod, ampleDeadline(controller.signal)), 'NoProgress');
  });
});

describe('a part that arrives with wrong bytes', () => {
  const ZEROS = Buffer.alloc(100);
  const isCorrect = (part: number, bytes: Uint8Array): boolean =>
    film.subarray(part * 100, part * 100 + bytes.length).equals(bytes);
  /** A VOD that verifies the bytes. */
  const createVerifier = () =>
    createVod(async (part, bytes) => {
      if (!isCorrect(part, bytes)) throw new PartRejected(`UploadPart ${part}: code -10006`);
    });

  test('is read and sent again', async () => {
    let changed = 0;
    const s3 = await createChangedS3(({ bytes }) => (changed++ < 2 ? ZEROS : bytes));
    const { vod, accepted, started } = createVerifier();
    const output = await s3.send([4], vod);
    expect(output.sent).toEqual({ parts: 1, bytes: 100 });
    expect([accepted, started]).toEqual([[4], [4, 4, 4]]);
    expect(s3.ranges()).toEqual(Array(3).fill('bytes=400-499'));
  });

  test('is returned after two resends, and the others are sent', async () => {
    const s3 = await createChangedS3(({ first, bytes }) => (first === 400 ? ZEROS : bytes));
    const { vod, accepted, started } = createVerifier();
    const output = await s3.send([2, 4, 6], vod);
    expect(remainingParts(output)).toEqual([4]);
    expect(output.sent).toEqual({ parts: 2, bytes: 200 });
    expect(accepted.toSorted()).toEqual([2, 6]);
    expect(started.filter((part) => part === 4)).toHaveLength(3);
  });

  test('fails the step if it is alone in the batch', async () => {
    const s3 = await createChangedS3(() => ZEROS);
    await expectFailure(s3.send([4], createVerifier().vod), 'PartRejected', /^UploadPart 4: code -10006$/);
  });
});

// Regression: the invocation waited up to a minute for the reads ahead from a store that did not respond.
test('the first error aborts the reads ahead', { timeout: 8_000 }, async () => {
  const each = ALL.filter((part) => part % 2 === 0); // no two are adjacent: one read each
  const [failing = 0, firstUnread = 0] = [each[0], each[16]];
  const s3 = await createChangedS3(({ first, bytes }) => (first < firstUnread * 100 ? bytes : undefined));
  const gate = Promise.withResolvers<void>();
  const { vod, started, accepted } = createVod(async (part) => {
    if (started.length === 16) gate.resolve();
    await gate.promise;
    if (part === failing) throw new VodUnavailable('not now');
  });
  const output = await s3.send(each, vod);
  expect(accepted).toHaveLength(15);
  expect(remainingParts(output)).toEqual([failing, ...each.slice(16)]);
});

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html#service-limits-task-executions */
const MAX_STATE_BYTES = 256 * 1024;

// Each batch returns a restartReason, which is larger than its totals.
test.each([8, 1024])(
  'the state of 1 TB fits, also with a restartReason: key of %i bytes',
  async (keyBytes) => {
    const { endpoint } = await startScriptedServer((response) => response.writeHead(412).end());
    const s3 = newS3Client(endpoint);
    const bounds: UploadBounds = { size: 2 ** 40, partSize: MIB };
    const session = sha1('');
    const key = 'k'.repeat(keyBytes);
    const pin = pinOf(bounds.size, { key, versionId: 'v'.repeat(32), etag: 'e'.repeat(32) });
    const missing = Array.from({ length: Math.ceil(partCount(bounds) / 20) }, (_, n) => n * 20);
    const { batches } = planBatches(missing, 4);

    const execution = 'x'.repeat(80);
    const [batch = { first: 0, count: 1 }] = batches;
    const input = {
      execution,
      pin,
      upload: { ...bounds, session, functions: 4 },
      batch,
      sent: { parts: 0, bytes: 0 },
    };
    const { sent } = await runPart(input, { ...ends.services(), s3 }, ampleDeadline());
    expect(sent.restartReason).toBe('ObjectChanged');
    const request = { bucket: pin.bucket, key, etag: pin.etag, versionId: pin.versionId };
    const job = { request, pin, sha1: session, session, execution, round: 0 };
    const state = { ...job, upload: { ...bounds, functions: 4, batches }, parts: batches.map(() => sent) };
    expect(Buffer.byteLength(JSON.stringify(state))).toBeLessThan(MAX_STATE_BYTES);
  },
);
