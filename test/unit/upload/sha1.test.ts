import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ObjectChanged, StorageUnavailable } from '../../../lib/errors.ts';
import { type Deadline, DeadlineExceeded } from '../../../lib/invocation/deadline.ts';
import { type Progress, watchProgress } from '../../../lib/invocation/progress.ts';
import { HashCheckpoint } from '../../../lib/schemas.ts';
import { type HashResult, hashObject, type RangeReader } from '../../../lib/upload/sha1.ts';
import { ampleDeadline, deadlineWithChecks, pinOf, sha1 } from '../../support/values.ts';

const READING = { bytes: 100, concurrency: 3 };
const bytes = Buffer.from(Array.from({ length: 1050 }, (_, n) => (n * 31) % 251));
const pin = pinOf(bytes.length);

const readerOf =
  (content: Uint8Array): RangeReader =>
  async ({ offset, size }) =>
    content.subarray(offset, offset + size);

/** Hashes `bytes` in one invocation. */
const hashBytes = (deadline = ampleDeadline(), from?: HashCheckpoint, read = readerOf(bytes)) =>
  hashObject(pin, read, deadline, { from, reading: READING });
const COMPLETE = { sha1: sha1(bytes) };

/** A deadline that ends after `count` ranges. Without time left, hashObject uses hash-wasm. */
const stoppingAfter = (count: number, left = 0): Deadline => deadlineWithChecks(count - 1, { left });

/** Runs invocations until the hash is complete. Each one continues from the checkpoint of the previous one. */
async function hashInTurns(
  content: Uint8Array,
  deadlines: readonly Deadline[],
  reading: typeof READING,
  needsCrc64 = false,
): Promise<{ sha1: string; crc64?: string; checkpoints: HashCheckpoint[] }> {
  const checkpoints: HashCheckpoint[] = [];
  for (let turn = 0; ; turn++) {
    const deadline = deadlines[turn] ?? ampleDeadline();
    // The state machine stores the checkpoint as JSON.
    const from = JSON.parse(JSON.stringify(checkpoints.at(-1) ?? null)) ?? undefined;
    const pass = await hashObject(pinOf(content.length), readerOf(content), deadline, {
      ...{ from, reading, needsCrc64 },
    });
    if ('sha1' in pass) return { ...pass, checkpoints };
    checkpoints.push(pass.checkpoint);
  }
}

test('returns the same hash after any number of checkpoints', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1, maxLength: 3000 }),
      fc.record({ bytes: fc.integer({ min: 1, max: 400 }), concurrency: fc.integer({ min: 1, max: 9 }) }),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.constantFrom(0, 60_000)), { maxLength: 6 }),
      async (content, reading, turns) => {
        const deadlines = turns.map(([ranges, left]) => stoppingAfter(ranges, left));
        expect((await hashInTurns(content, deadlines, reading)).sha1).toBe(sha1(content));
      },
    ),
    { numRuns: 300 },
  );
});

describe('the CRC64NVME', () => {
  // https://reveng.sourceforge.io/crc-catalogue/17plus.htm#crc.cat.crc-64-nvme
  const digits = Buffer.from('123456789');
  const crc64 = Buffer.from('ae8b14860a799888', 'hex').toString('base64');
  const byBytes = { bytes: 2, concurrency: 2 };

  test.each([
    ['in one pass', []],
    ['over several checkpoints', [stoppingAfter(1), stoppingAfter(2)]],
    ['after node:crypto, when the time was too short after all', [stoppingAfter(1, 60_000)]],
  ])('is computed with the SHA-1, if needed, %s', async (_, deadlines) => {
    const { checkpoints, ...result } = await hashInTurns(digits, deadlines, byBytes, true);
    expect(result).toEqual({ sha1: sha1(digits), crc64 });
    expect(checkpoints).toHaveLength(deadlines.length);
  });

  test('is left out when the checkpoint has none', async () => {
    const options = { from: { offset: 0, state: '' }, reading: byBytes };
    const { checkpoint: from } = v.parse(
      v.object({ checkpoint: HashCheckpoint }),
      await hashObject(pinOf(9), readerOf(digits), stoppingAfter(1), options),
    );
    const rest = hashObject(pinOf(9), readerOf(digits), ampleDeadline(), {
      from,
      reading: byBytes,
      needsCrc64: true,
    });
    expect(await rest).toEqual({ sha1: sha1(digits) });
  });
});

test('hashes an empty object', async () => {
  expect(await hashObject(pinOf(0), readerOf(Buffer.alloc(0)), ampleDeadline())).toEqual({ sha1: sha1('') });
});

describe('a checkpoint', () => {
  test('follows the hashed bytes and is small', async () => {
    const deadlines = [3, 1, 6].map((count) => stoppingAfter(count));
    const { checkpoints } = await hashInTurns(bytes, deadlines, READING);
    expect(checkpoints.map(({ offset }) => offset)).toEqual([300, 400, 1000]);
    for (const checkpoint of checkpoints) {
      expect(JSON.stringify(checkpoint).length).toBeGreaterThan(100);
      expect(JSON.stringify(checkpoint).length).toBeLessThan(200);
    }
  });

  test('prevents a second read of the bytes before it', async () => {
    const pass = await hashBytes(stoppingAfter(4));
    const offsets: number[] = [];
    const read: RangeReader = (range, signal) => {
      offsets.push(range.offset);
      return readerOf(bytes)(range, signal);
    };
    expect(await hashBytes(ampleDeadline(), checkpointOf(pass), read)).toEqual(COMPLETE);
    expect(offsets).toEqual([400, 500, 600, 700, 800, 900, 1000]);
  });

  test('starts over after node:crypto, when the time was too short after all', async () => {
    const pass = await hashBytes(stoppingAfter(4, 60_000));
    expect(pass).toEqual({ checkpoint: { offset: 0, state: '' } });
    const next = await hashBytes(stoppingAfter(4, 60_000), checkpointOf(pass));
    expect(checkpointOf(next)).toMatchObject({ offset: 400, state: expect.stringMatching(/^.{128}$/) });
    expect(await hashBytes(ampleDeadline(), checkpointOf(next))).toEqual(COMPLETE);
  });

  test.each([
    ['of another build of hash-wasm', Buffer.alloc(96, 7).toString('base64')],
    ['that is truncated', Buffer.alloc(20).toString('base64')],
    ['that is not base64', 'ß'],
  ])('with a state %s starts over', async (_, state) => {
    expect(await hashBytes(ampleDeadline(), { offset: 500, state })).toEqual(COMPLETE);
  });
});

describe('the end of the time', () => {
  /** The read of range number `range` ends the time, and fails like all reads then. */
  function endingAt(range: number, content: Uint8Array) {
    const controller = new AbortController();
    const read: RangeReader = async ({ offset, size }, signal) => {
      if (offset >= range * READING.bytes) {
        controller.abort(new DeadlineExceeded('time limit'));
        signal.throwIfAborted();
      }
      return content.subarray(offset, offset + size);
    };
    return { read, deadline: (left = 0) => ({ ...ampleDeadline(controller.signal), remaining: () => left }) };
  }

  test('during a read returns a checkpoint of the bytes before', async () => {
    const { read, deadline } = endingAt(5, bytes);
    const pass = await hashObject(pin, read, deadline(), { reading: { ...READING, concurrency: 1 } });
    const { offset } = checkpointOf(pass);
    expect([300, 400, 500]).toContain(offset);
    expect(await hashBytes(ampleDeadline(), checkpointOf(pass))).toEqual(COMPLETE);
  });

  test.each([0, 60_000])('before any read throws DeadlineExceeded (with %i ms left)', async (left) => {
    const { read, deadline } = endingAt(0, bytes);
    await expect(hashBytes(deadline(left), undefined, read)).rejects.toThrow(DeadlineExceeded);
  });

  test('before any read after a checkpoint throws DeadlineExceeded, so that it cannot repeat forever', async () => {
    const from = checkpointOf(await hashBytes(stoppingAfter(4)));
    const { read, deadline } = endingAt(0, bytes);
    await expect(hashBytes(deadline(), from, read)).rejects.toThrow(DeadlineExceeded);
  });
});

describe('a read that fails', () => {
  const failingAt =
    (offset: number, error: Error): RangeReader =>
    async (range, signal) => {
      if (range.offset >= offset) throw error;
      return readerOf(bytes)(range, signal);
    };
  const noS3 = new StorageUnavailable('no response');
  const left = deadlineWithChecks(Number.POSITIVE_INFINITY, { left: 0 });

  test('with a temporary error returns a checkpoint of the bytes before', async () => {
    const pass = await hashBytes(left, undefined, failingAt(500, noS3));
    expect(checkpointOf(pass).offset).toBe(500);
    expect(await hashBytes(ampleDeadline(), checkpointOf(pass))).toEqual(COMPLETE);
  });

  test.each([
    ['with a temporary error before any byte', 0, noS3],
    ['with a permanent error', 500, new ObjectChanged('other bytes')],
  ])('%s throws it', async (_, offset, error) => {
    await expect(hashBytes(left, undefined, failingAt(offset, error))).rejects.toBe(error);
  });
});

test('reports progress after each range, from the start of this invocation', async () => {
  const seen: Progress[] = [];
  onTestFinished(watchProgress((step) => seen.push(step)));
  const from = checkpointOf(await hashBytes(stoppingAfter(9)));
  seen.length = 0;
  await hashBytes(ampleDeadline(), from);
  expect(seen).toEqual([900, 1000, 1050].map((done) => ({ stage: 'hash', pin, from: 900, done })));
});

function checkpointOf(pass: HashResult): HashCheckpoint {
  if ('checkpoint' in pass) return pass.checkpoint;
  throw new Error(`expected a checkpoint, got the hash ${pass.sha1}`);
}
