import pMap from 'p-map';
import { type Deadline, OutOfTime } from '../deadline.ts';
import { ObjectChanged, ObjectGone, PartRejected, TimeLimitTooShort, UploadLost } from '../errors.ts';
import { report, reportRetries } from '../progress.ts';
import { readRange } from '../s3/head-object.ts';
import type { PartInput, PartOutput } from '../schemas.ts';
import { giveBack, READ_BYTES, readBuffer } from '../upload/buffer-pool.ts';
import { batchOf, groupForReading, partsOf, type Range, rangeOf } from '../upload/plan.ts';
import { prefetch } from '../upload/prefetch.ts';
import type { Services } from './services.ts';

/** How many ranged reads (of several parts each) are ahead of the parts being sent. */
const READS_AHEAD = 2;

/** Parts on their way at once: a service that takes 200 ms a part still gets 160 MiB/s from one function. */
const PARTS_IN_FLIGHT = 32;

/** How often a part is read and sent again when the service did not get the bytes that were announced. */
const RESENDS = 2;

/**
 * What one Part does: send the parts of its batch side by side until all are sent or the time runs low, and hand on the
 * rest. A part counts as sent only when its own reply said so.
 *
 * Whatever goes wrong, an invocation that sent anything hands on what is left, so that nothing is sent twice; only one that
 * sent nothing fails. A part that cannot be sent at all is thus soon alone, and its error ends or repeats the step.
 * @throws {TimeLimitTooShort} and what S3 and VOD may throw
 */
export async function sendBatch(
  input: PartInput,
  { s3, vod }: Services,
  deadline: Deadline,
): Promise<PartOutput> {
  const { pin, upload, batch, sent, ...rest } = input;
  const parts = partsOf(batch);
  const done = new Set<number>();
  let bytesSent = 0;
  let slowest = 0;
  const stop = new AbortController();
  const reading = AbortSignal.any([deadline.signal, stop.signal]);
  let fault: { error: unknown } | undefined;
  const fail = (error: unknown): void => {
    fault ??= { error }; // the others finish what they began; no new part is begun
    stop.abort();
  };

  const read = (range: Range, signal: AbortSignal, into?: Uint8Array) =>
    readRange(s3, pin, range, signal, into);

  async function* readParts(): AsyncGenerator<PartToSend> {
    const groups = groupForReading(parts, upload, READ_BYTES);
    const readGroup = (group: number[], signal: AbortSignal) => {
      const span = spanOf(group.map((part) => rangeOf(part, upload)));
      return readBuffer(span.size, signal, (into) => read(span, signal, into));
    };
    try {
      for await (const { item, result } of prefetch(groups, READS_AHEAD, readGroup, reading, giveBack)) {
        const start = rangeOf(item[0] ?? 0, upload).offset;
        let users = 1; // this loop, and the parts that it has handed out
        const release = (): void => {
          if (--users === 0) giveBack(result);
        };
        try {
          for (const part of item) {
            if (fault || !deadline.allows(slowest)) return;
            const { offset, size } = rangeOf(part, upload);
            users++;
            yield { part, bytes: result.subarray(offset - start, offset - start + size), release };
          }
        } finally {
          release();
        }
      }
    } catch (error) {
      fail(error);
    }
  }

  async function sendPart({ part, bytes, release }: PartToSend): Promise<void> {
    const range = rangeOf(part, upload);
    const began = performance.now();
    try {
      for (let resends = 0, body = bytes; ; resends++, body = await read(range, deadline.signal)) {
        try {
          await vod.sendPart(upload.sha1, range, body, deadline.signal);
          break;
        } catch (error) {
          if (!(error instanceof PartRejected) || resends === RESENDS) throw error;
          reportRetries({ of: 'VOD', count: 1 });
        }
      }
      done.add(part);
      bytesSent += range.size;
      slowest = Math.max(slowest, performance.now() - began);
      report({ stage: 'part', pin, bytes: range.size });
    } catch (error) {
      fail(error);
    } finally {
      release();
    }
  }

  await pMap(readParts(), sendPart, { concurrency: PARTS_IN_FLIGHT });

  const total = { parts: sent.parts + done.size, bytes: sent.bytes + bytesSent };
  const left = parts.filter((part) => !done.has(part));
  if (left.length === 0) return { ...rest, pin, upload, sent: total };
  const lost = reasonToBeginAgain(fault?.error);
  if (lost) return { ...rest, pin, upload, sent: { ...total, lost } };
  if (done.size > 0) return { ...rest, pin, upload, sent: total, batch: batchOf(left) };
  if (fault && !(fault.error instanceof OutOfTime)) throw fault.error;
  throw new TimeLimitTooShort(
    `sending s3://${pin.bucket}/${pin.key}: not one part of ${upload.partSize} bytes was sent within the time limit of ` +
      `${deadline.limit} ms: give the function more time, or redrive if S3 or VOD was slow`,
  );
}

/** `release`: its bytes are not read any more. */
type PartToSend = Readonly<{ part: number; bytes: Uint8Array; release: () => void }>;

/** From the first byte of the first range to the last of the last; the ranges are consecutive. */
const spanOf = (ranges: readonly Range[]): Range => ({
  offset: ranges[0]?.offset ?? 0,
  size: ranges.reduce((sum, { size }) => sum + size, 0),
});

/** Faults that only Init can clear up: it looks at the object and asks the service again. */
const reasonToBeginAgain = (error: unknown): string | undefined =>
  error instanceof UploadLost || error instanceof ObjectChanged || error instanceof ObjectGone
    ? error.name // no message: hundreds of batches may say it, in one state
    : undefined;
