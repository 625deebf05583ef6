import { createHash } from 'node:crypto';

/** What is read and thrown away of a body nobody wants, so that the client is done sending and sees the reply. */
const DISCARDED_AT_MOST = 16 * 1024 * 1024;

/** `chunks` is empty when the body is longer than what was to be kept. */
export type Body = Readonly<{ chunks: readonly Buffer[]; length: number }>;

/** Reads a body and keeps it when it has at most `keep` bytes. Throws when the connection breaks in mid-body. */
export async function receive(bytes: AsyncIterable<Buffer>, keep: number): Promise<Body> {
  let chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    length += chunk.length;
    if (length <= keep) chunks.push(chunk);
    else chunks = [];
    if (length > keep + DISCARDED_AT_MOST) break;
  }
  return { chunks, length };
}

export function digest(algorithm: 'md5' | 'sha1', chunks: readonly Buffer[]): string {
  const hash = createHash(algorithm);
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}
