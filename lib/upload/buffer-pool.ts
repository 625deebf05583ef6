import { tuneGarbageCollector } from './gc-tuning.ts';

/**
 * What ranged reads are read into: at most so many buffers in a process, used again and again. Fresh ones would cost a
 * page fault for every 4 KiB, and would stay until the garbage collector comes. Whoever finds none waits: this is what
 * bounds the memory, however many invocations the local engine runs side by side.
 */

/** Bytes of one ranged read. A read costs the processor some 4 ms, whatever its size. */
export const READ_BYTES = 8 * 1024 * 1024;

/** 64 MiB. A hash pass has seven in flight; sending 170 MiB/s at 100 ms a part needs about five. */
const MAX_BUFFERS = 8;

const pooled = new WeakSet<ArrayBufferLike>();
let created = 0;
const idle: Uint8Array[] = [];
const waiting = new Set<(buffer: Uint8Array) => void>();

/** A part by itself, between parts that are held, takes no whole buffer: 32 of those may be on their way. */
const SMALL_BYTES = 2 * 1024 * 1024;

/** Reads `size` bytes into a buffer that the caller gives back; if the reading fails, it is given back already. */
export async function readBuffer(
  size: number,
  signal: AbortSignal,
  read: (into: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  if (size <= SMALL_BYTES) return read(Buffer.allocUnsafeSlow(size));
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
  const known = idle.pop();
  if (known) return known;
  if (created < MAX_BUFFERS) {
    if (created++ === 0) tuneGarbageCollector();
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    pooled.add(buffer.buffer);
    return buffer;
  }
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const leave = (): void => {
    waiting.delete(resolve);
    reject(signal.reason);
  };
  signal.addEventListener('abort', leave, { once: true });
  waiting.add(resolve);
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** A buffer, or any view of it, that nobody reads or fills any more. What is not one of these is left to the collector. */
export function releaseBuffer({ buffer }: Uint8Array): void {
  if (!pooled.has(buffer)) return;
  const whole = new Uint8Array(buffer);
  const [first] = waiting;
  if (!first) return void idle.push(whole);
  waiting.delete(first);
  first(whole);
}
