import { createHash } from 'node:crypto';

/** How much of an unwanted body is read before the response is sent. Many clients read it only after they sent the body. */
const MAX_DISCARDED_BYTES = 16 * 1024 * 1024;

/** The size of pooled buffers: that of a part. Without the pool, concurrent parts leave hundreds of dead buffers. */
const POOLED_BYTES = 1024 * 1024;
const idle: Buffer[] = [];

/** `bytes` is empty if the body is longer than the limit, and invalid after disposal. */
export type Body = Disposable & Readonly<{ bytes: Buffer; length: number }>;

/** Reads a body and keeps it if it has at most `max` bytes. Throws if the connection breaks. */
export async function receiveBody(chunks: AsyncIterable<Buffer>, max: number): Promise<Body> {
  const isPooled = max > 0 && max <= POOLED_BYTES;
  const buffer = (isPooled && idle.pop()) || Buffer.allocUnsafeSlow(isPooled ? POOLED_BYTES : max);
  const release = (): void => {
    if (isPooled) idle.push(buffer);
  };
  let length = 0;
  try {
    for await (const chunk of chunks) {
      if (length + chunk.length <= max) buffer.set(chunk, length);
      length += chunk.length;
      if (length > max + MAX_DISCARDED_BYTES) break;
    }
  } catch (error) {
    release();
    throw error;
  }
  return { bytes: buffer.subarray(0, length <= max ? length : 0), length, [Symbol.dispose]: release };
}

export const hashHex = (algorithm: 'md5' | 'sha1', bytes: Buffer): string =>
  createHash(algorithm).update(bytes).digest('hex');
