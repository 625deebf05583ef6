import { createHash } from 'node:crypto';

/** What is read and thrown away of a body nobody wants, so that the client is done sending and sees the reply. */
const DISCARDED_AT_MOST = 16 * 1024 * 1024;

/** Of a part, the most common body. Their buffers are used again: a hundred at once would soon be many hundreds of dead ones. */
const USUAL_BYTES = 1024 * 1024;
const idle: Buffer[] = [];

/** `bytes` is empty when the body is longer than what was to be kept, and anybody's once it is disposed of. */
export type Body = Disposable & Readonly<{ bytes: Buffer; length: number }>;

/** Reads a body and keeps it when it has at most `keep` bytes. Throws when the connection breaks in mid-body. */
export async function receive(chunks: AsyncIterable<Buffer>, keep: number): Promise<Body> {
  const isUsual = keep > 0 && keep <= USUAL_BYTES;
  const buffer = (isUsual && idle.pop()) || Buffer.allocUnsafeSlow(isUsual ? USUAL_BYTES : keep);
  const giveBack = (): void => {
    if (isUsual) idle.push(buffer);
  };
  let length = 0;
  try {
    for await (const chunk of chunks) {
      if (length + chunk.length <= keep) buffer.set(chunk, length);
      length += chunk.length;
      if (length > keep + DISCARDED_AT_MOST) break;
    }
  } catch (error) {
    giveBack();
    throw error;
  }
  return { bytes: buffer.subarray(0, length <= keep ? length : 0), length, [Symbol.dispose]: giveBack };
}

export const digest = (algorithm: 'md5' | 'sha1', bytes: Buffer): string =>
  createHash(algorithm).update(bytes).digest('hex');
