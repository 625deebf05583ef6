import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, expect } from 'vitest';
import { useFolder } from '../support/temp-folder.ts';
import { hostileText, words } from './values.ts';

/** Requests as bytes on a socket, and a data folder whose surroundings are watched. */

/** `headers` are sent unchanged: any bytes (Latin-1), any number of times. */
export type RawRequest = Readonly<{
  method: string;
  target: string;
  headers: readonly (readonly [string, string])[];
  body: string;
}>;

export const encodeRequest = ({ method, target, headers, body }: RawRequest): Buffer =>
  Buffer.concat([
    Buffer.from(
      `${method} ${target} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
      'latin1',
    ),
    Buffer.from(body),
  ]);

/** How long the client waits for a response to a request that may be incomplete, before it closes the connection. */
const INCOMPLETE_TIMEOUT_MS = 15;

/**
 * Returns all bytes that the server sends until the connection closes. A request with `isComplete` asks the server to close the
 * connection; otherwise the client closes it after the first bytes or the timeout.
 */
export async function exchange(port: number, bytes: Buffer, isComplete: boolean): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (!isComplete) socket.end();
  });
  socket.on('error', () => {}); // the server may reset the connection
  const timer = isComplete ? undefined : setTimeout(() => socket.end(), INCOMPLETE_TIMEOUT_MS);
  socket.write(bytes);
  await new Promise((closed) => socket.once('close', closed));
  clearTimeout(timer);
  return Buffer.concat(chunks);
}

export type RawResponse = Readonly<{ status: number; head: string; body: string }>;

/** Parses the first response on a connection. */
export function parseRawResponse(bytes: Buffer): RawResponse | undefined {
  const text = bytes.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  const status = /^HTTP\/1\.1 ([1-5]\d\d)/.exec(text)?.[1];
  if (end < 0 || status === undefined) return undefined;
  const [head, body] = [text.slice(0, end), text.slice(end + 4)];
  return {
    status: Number(status),
    head,
    body: /^transfer-encoding: chunked$/im.test(head) ? decodeChunks(body) : body,
  };
}

function decodeChunks(text: string): string {
  const end = text.indexOf('\r\n');
  const size = Number.parseInt(text.slice(0, end), 16);
  return size > 0 ? text.slice(end + 2, end + 2 + size) + decodeChunks(text.slice(end + 4 + size)) : '';
}

const segments = fc.oneof(
  fc.constantFrom(
    '',
    ...words(`
    .. . %2e%2e %2E%2e ..%2f %252e%252e ..; %00 % %ff index.json canary.txt data etc passwd __proto__
    constructor
  `),
  ),
  hostileText.map(encodeSafely),
);

export const paths: fc.Arbitrary<string> = fc
  .array(segments, { maxLength: 6 })
  .map((parts) => `/${parts.join('/')}`);

export function encodeSafely(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** Removes what would end a request line or a header. */
export const toLine = (text: string): string => text.replaceAll(/[\r\n]/g, '').slice(0, 4_000);

/** Converts text to a header value of any bytes (Latin-1). */
export const toHeaderValue = (text: string): string => toLine(Buffer.from(text).toString('latin1')).trim();

/** Removes, inserts, or replaces some bytes of a request. */
export const corruptBytes = (bytes: Buffer, cuts: readonly (readonly [number, number, string])[]): Buffer =>
  cuts.reduce((current, [at, length, inserted]) => {
    const from = at % (current.length + 1);
    return Buffer.concat([
      current.subarray(0, from),
      Buffer.from(inserted, 'latin1'),
      current.subarray(from + length),
    ]);
  }, bytes);

export const cuts = fc.array(
  fc.tuple(
    fc.nat(),
    fc.nat(20),
    fc.oneof(
      fc.constantFrom(
        '',
        '\r\n',
        '\r\n\r\n',
        '\0',
        ' ',
        ':',
        'Content-Length: 9\r\n',
        'Transfer-Encoding: chunked\r\n',
        'HTTP/9.9',
        'x'.repeat(70_000),
      ),
      hostileText,
    ),
  ),
  { minLength: 1, maxLength: 4 },
);

const CANARY = 'canary: no response may contain this file next to the data folder';

/** Creates a data folder whose surroundings must neither change nor appear in a response. */
export function useWatchedFolder() {
  const root = useFolder();
  let before: readonly string[] = [];
  beforeAll(async () => {
    await mkdir(join(root.path, 'data'));
    await writeFile(join(root.path, 'canary.txt'), CANARY);
    before = await describeSurroundings();
  });

  async function describeSurroundings(): Promise<string[]> {
    const names = (await readdir(root.path)).sort();
    const siblings = await Promise.all(
      names.map(async (name) => {
        const path = join(root.path, name);
        return `${name} ${(await stat(path)).isDirectory() ? '' : await readFile(path, 'utf8')}`;
      }),
    );
    const above = (await readdir(join(root.path, '..'))).filter((name) => name.startsWith('evil'));
    return [...siblings, `above: ${above.join()}`];
  }

  return {
    get data(): string {
      return join(root.path, 'data');
    },
    async expectUntouched(response: Buffer): Promise<void> {
      expect(response.includes(CANARY.slice(0, 20))).toBe(false);
      expect(response.includes('root:x:0:0')).toBe(false);
      expect(await describeSurroundings()).toEqual(before);
    },
  };
}
