import pMap from 'p-map';
import { type Deadline, DeadlineExceeded } from '../deadline.ts';
import { NoProgress, ObjectChanged, ObjectDeleted, PartRejected, UploadNotFound } from '../errors.ts';
import { reportProgress, reportRetries } from '../progress.ts';
import { readRange } from '../s3/read-range.ts';
import type { PartInput, PartOutput } from '../schemas.ts';
import { READ_BYTES, readBuffer, releaseBuffer } from '../upload/buffer-pool.ts';
import { type ByteRange, decodeBatch, encodeBatch, groupForReading, partRange } from '../upload/plan.ts';
import { prefetch } from '../upload/prefetch.ts';
import type { Services } from './services.ts';

/** How many ranged reads (of several parts each) are ahead of the parts being sent. */
const READS_AHEAD = 2;

/** Parts on their way at once: a service that takes 200 ms a part still gets 160 MiB/s from one function. */
const PARTS_IN_FLIGHT = 32;

/** How often a part is read and sent again when the service did not get the bytes that were announced. */
const MAX_RESENDS = 2;

/**
 * What one Part does: send the parts of its batch side by side until all are sent or the time runs low, and hand on the
 * rest. A part counts as sent only when its own reply said so.
 *
 * Whatever goes wrong, an invocation that sent anything hands on what is left, so that nothing is sent twice; only one that
 * sent nothing fails. A part that cannot be sent at all is thus soon alone, and its error ends or repeats the step.
 * @throws {NoProgress} and what S3 and VOD may throw
 */
export async function runPart(
  input: PartInput,
  { s3, vod }: Services,
  deadline: Deadline,
): Promise<PartOutput> {
  const { pin, upload, batch, sent, ...rest } = input;
  const parts = decodeBatch(batch);
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

  const read = (range: ByteRange, signal: AbortSignal, into?: Uint8Array) =>
    readRange(s3, pin, range, signal, into);

  async function* readParts(): AsyncGenerator<PartToSend> {
    const groups = groupForReading(parts, upload, READ_BYTES);
    const readGroup = (group: number[], signal: AbortSignal) => {
      const span = spanOf(group.map((part) => partRange(part, upload)));
      return readBuffer(span.size, signal, (into) => read(span, signal, into));
    };
    try {
      for await (const { item, result } of prefetch(groups, READS_AHEAD, readGroup, reading, releaseBuffer)) {
        const start = partRange(item[0] ?? 0, upload).offset;
        let users = 1; // this loop, and the parts that it has handed out
        const release = (): void => {
          if (--users === 0) releaseBuffer(result);
        };
        try {
          for (const part of item) {
            if (fault || !deadline.hasTimeFor(slowest)) return;
            const { offset, size } = partRange(part, upload);
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
    const range = partRange(part, upload);
    const began = performance.now();
    try {
      for (let resends = 0, body = bytes; ; resends++, body = await read(range, deadline.signal)) {
        try {
          await vod.uploadPart(upload.sha1, range, body, deadline.signal);
          break;
        } catch (error) {
          if (!(error instanceof PartRejected) || resends === MAX_RESENDS) throw error;
          reportRetries({ of: 'VOD', count: 1 });
        }
      }
      done.add(part);
      bytesSent += range.size;
      slowest = Math.max(slowest, performance.now() - began);
      reportProgress({ stage: 'part', pin, bytes: range.size });
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
  const restartReason = restartReasonOf(fault?.error);
  if (restartReason) return { ...rest, pin, upload, sent: { ...total, restartReason } };
  if (done.size > 0) return { ...rest, pin, upload, sent: total, batch: encodeBatch(left) };
  if (fault && !(fault.error instanceof DeadlineExceeded)) throw fault.error;
  throw new NoProgress(
    `sending s3://${pin.bucket}/${pin.key}: not one part of ${upload.partSize} bytes was sent within the time limit of ` +
      `${deadline.limit} ms: give the function more time, or redrive if S3 or VOD was slow`,
  );
}

/** `release`: its bytes are not read any more. */
type PartToSend = Readonly<{ part: number; bytes: Uint8Array; release: () => void }>;

/** From the first byte of the first range to the last of the last; the ranges are consecutive. */
const spanOf = (ranges: readonly ByteRange[]): ByteRange => ({
  offset: ranges[0]?.offset ?? 0,
  size: ranges.reduce((sum, { size }) => sum + size, 0),
});

/** Faults that only Init can clear up: it looks at the object and asks the service again. */
const restartReasonOf = (error: unknown): string | undefined =>
  error instanceof UploadNotFound || error instanceof ObjectChanged || error instanceof ObjectDeleted
    ? error.name // no message: hundreds of batches may say it, in one state
    : undefined;
