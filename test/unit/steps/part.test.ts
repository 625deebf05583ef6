import { setImmediate as turn } from 'node:timers/promises';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { UploadNotFound, VodUnavailable } from '../../../lib/errors.ts';
import type { ObjectVersion, PartInput, PartOutput } from '../../../lib/schemas.ts';
import { runPart } from '../../../lib/steps/part.ts';
import type { VodClient } from '../../../lib/vod/client.ts';
import { ALL, bytesIn, film, inputFor, left, useTaking } from '../../support/batch.ts';
import { notAsked, useEnds } from '../../support/ends.ts';
import { BUCKET } from '../../support/fake-store.ts';
import { plenty, saysYes, sha1 } from '../../support/values.ts';
import { video } from '../../support/vod-client.ts';

const ends = useEnds();
const { store } = ends;

const taking = useTaking();

let pin: ObjectVersion;
beforeAll(async () => {
  await store.put(BUCKET, 'film.mp4', film);
  ({ pin } = await store.find(BUCKET, 'film.mp4'));
});

const send = (input: PartInput, vod: Partial<VodClient>, deadline = plenty()): Promise<PartOutput> =>
  runPart(input, ends.services(vod), deadline);

test('sends the missing parts to VOD', async () => {
  const big = video(3_000_000);
  await store.put(BUCKET, 'big.mp4', big.bytes);
  await ends.other.init(big);
  for (const part of [0, 3]) await ends.other.part(big, part);
  const upload = { sha1: sha1(big.bytes), size: big.bytes.length, partSize: big.partSize };
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
      const { vod, taken, flight } = taking(async (part) => {
        for (let n = turns(part); n > 0; n--) await turn();
        if (fails(part)) throw new VodUnavailable(`part ${part}`);
      });
      const output = await send(inputFor(pin, parts), vod).catch((error: unknown) => {
        expect(error).toBeInstanceOf(VodUnavailable);
        expect(taken).toEqual([]);
        return undefined;
      });
      expect(flight.now).toBe(0);
      if (!output) return;
      expect([...taken, ...left(output)].sort((a, b) => a - b)).toEqual(parts); // none twice, none lost
      expect(output.sent).toEqual({ parts: taken.length, bytes: bytesIn(taken) });
    }),
    { numRuns: 80 },
  );
});

test('sends every part exactly once over several invocations with errors and time limits', async () => {
  await fc.assert(
    fc.asyncProperty(subset, fc.array(fc.nat(20)), fc.array(fc.boolean()), async (parts, limits, faults) => {
      const { vod, taken } = taking(async () => {
        if (faults.pop()) throw new VodUnavailable('not now');
      });
      let input = inputFor(pin, parts);
      for (;;) {
        const limit = limits.pop();
        const deadline = limit === undefined ? plenty() : saysYes(limit);
        const output: PartOutput = await send(input, vod, deadline).catch(() => input); // then retried
        const { batch, ...rest } = output;
        if (!batch) {
          expect(rest.sent).toEqual({ parts: parts.length, bytes: bytesIn(parts) });
          break;
        }
        input = { ...rest, batch };
      }
      expect(taken.sort((a, b) => a - b)).toEqual(parts);
    }),
    { numRuns: 60 },
  );
});

describe('runPart', () => {
  test('throws the first error if it sent no part', async () => {
    const error = new VodUnavailable('not now');
    await expect(send(inputFor(pin, ALL), taking(() => Promise.reject(error)).vod)).rejects.toBe(error);
  });

  test('after an error, finishes the parts in flight, starts no other, and returns the rest', async () => {
    const gate = Promise.withResolvers<void>();
    const { vod, taken, begun } = taking(async (part) => {
      if (begun.length === 32) gate.resolve();
      await gate.promise;
      if (part === 3) throw new VodUnavailable('not now');
      await turn();
    });
    const output = await send(inputFor(pin, ALL), vod);
    expect(begun).toEqual(ALL.slice(0, 32));
    expect(taken).toHaveLength(31);
    expect(left(output)).toEqual([3, ...ALL.slice(32)]);
  });

  test('sends at most 32 parts concurrently', async () => {
    const { vod, taken, flight } = taking(() => turn());
    await send(inputFor(pin, ALL), vod);
    expect(taken).toEqual(ALL);
    expect(flight).toEqual({ now: 0, most: 32 });
  });
});

describe('returns restartReason and no batch', () => {
  test('when VOD lost the upload, and counts the parts sent before', async () => {
    const { vod } = taking(async (part) => {
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
    const overwritten = await send(input, { uploadPart: notAsked });
    expect(overwritten.sent).toEqual({ parts: 0, bytes: 0, restartReason: 'ObjectChanged' });
    await store.client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: 'short-lived.mp4' }));
    const deleted = await send(input, { uploadPart: notAsked });
    expect(deleted.sent).toEqual({ parts: 0, bytes: 0, restartReason: 'ObjectDeleted' });
    expect([left(overwritten), left(deleted)]).toEqual([[], []]);
  });
});
