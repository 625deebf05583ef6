import { waitUnlessAborted } from '../invocation/deadline.ts';

/**
 * Reusable buffers for ranged reads. New buffers would cost a page fault for every 4 KiB, and would stay in memory until
 * the garbage collector runs. When all buffers of the process are in use, callers wait. This bounds the memory, even when
 * the local engine runs many invocations concurrently.
 */

/** Bytes of one ranged read. Each read costs about 4 ms of CPU time, whatever its size. */
export const READ_BYTES = 8 * 1024 * 1024;

/** 64 MiB. A hash pass has seven reads in flight. Sending 170 MiB/s at 100 ms per part needs about five. */
const MAX_BUFFERS = 8;

/** A single part does not take a pooled buffer. Up to 32 of them are in flight. */
const MAX_UNPOOLED_BYTES = 2 * 1024 * 1024;

const pooled = new WeakSet<ArrayBufferLike>();
let created = 0;
const idle: Uint8Array[] = [];
const waiting = new Set<PromiseWithResolvers<Uint8Array>>();

/** Reads `size` bytes into a buffer, which the caller releases. When `read` fails, the buffer is already released. */
export async function readBuffer(
  size: number,
  signal: AbortSignal,
  read: (into: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  if (size <= MAX_UNPOOLED_BYTES) return read(Buffer.allocUnsafeSlow(size));
  const buffer = await acquireBuffer(signal);
  try {
    return await read(buffer);
  } catch (error) {
    releaseBuffer(buffer);
    throw error;
  }
}

async function acquireBuffer(signal: AbortSignal): Promise<Uint8Array> {
  signal.throwIfAborted();
  const buffer = idle.pop();
  if (buffer) return buffer;
  if (created < MAX_BUFFERS) {
    created++;
    const added = Buffer.allocUnsafeSlow(READ_BYTES);
    pooled.add(added.buffer);
    return added;
  }
  const waiter = Promise.withResolvers<Uint8Array>();
  waiting.add(waiter);
  return waitUnlessAborted(waiter, signal, () => waiting.delete(waiter));
}

/** Returns a buffer to the pool. Accepts any view of it, and ignores buffers that are not pooled. */
export function releaseBuffer({ buffer }: Uint8Array): void {
  if (!pooled.has(buffer)) return;
  const whole = new Uint8Array(buffer);
  const [first] = waiting;
  if (!first) return void idle.push(whole);
  waiting.delete(first);
  first.resolve(whole);
}
