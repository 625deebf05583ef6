import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect } from 'vitest';
import { nasty } from './values.ts';

/** Requests as bytes on a socket, and a folder whose surroundings are watched. */

/** `headers` are sent as they are: any bytes (Latin-1), any number of times. */
export type Request = Readonly<{
  method: string;
  target: string;
  headers: readonly (readonly [string, string])[];
  body: string;
}>;

export const bytesOf = ({ method, target, headers, body }: Request): Buffer =>
  Buffer.concat([
    Buffer.from(
      `${method} ${target} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
      'latin1',
    ),
    Buffer.from(body),
  ]);

/** How long a server may take to say something to a request that may not be whole, before the client hangs up, milliseconds. */
const PATIENCE_MS = 15;

/**
 * All that the server answers until the connection is closed. `whole`: the request asks for the connection to be closed after
 * the answer; any other is hung up on by the client, once something was answered or the patience is over.
 */
export async function exchange(port: number, bytes: Buffer, whole: boolean): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (!whole) socket.end();
  });
  socket.on('error', () => {}); // a reset is an answer too
  const patience = whole ? undefined : setTimeout(() => socket.end(), PATIENCE_MS);
  socket.write(bytes);
  await new Promise((closed) => socket.once('close', closed));
  clearTimeout(patience);
  return Buffer.concat(chunks);
}

export type Answer = Readonly<{ status: number; head: string; body: string }>;

/** The first answer on a connection. */
export function readAnswer(bytes: Buffer): Answer | undefined {
  const text = bytes.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  const status = /^HTTP\/1\.1 ([1-5]\d\d)/.exec(text)?.[1];
  if (end < 0 || status === undefined) return undefined;
  const [head, body] = [text.slice(0, end), text.slice(end + 4)];
  return {
    status: Number(status),
    head,
    body: /^transfer-encoding: chunked$/im.test(head) ? unchunked(body) : body,
  };
}

function unchunked(text: string): string {
  const end = text.indexOf('\r\n');
  const size = Number.parseInt(text.slice(0, end), 16);
  return size > 0 ? text.slice(end + 2, end + 2 + size) + unchunked(text.slice(end + 4 + size)) : '';
}

const segments = fc.oneof(
  fc.constantFrom(
    '..',
    '.',
    '',
    '%2e%2e',
    '%2E%2e',
    '..%2f',
    '%252e%252e',
    '..;',
    '%00',
    '%',
    '%ff',
    'index.json',
    'canary.txt',
    'data',
    'etc',
    'passwd',
    '__proto__',
    'constructor',
  ),
  nasty.map(encodeSafely),
);

export const paths: fc.Arbitrary<string> = fc
  .array(segments, { maxLength: 6 })
  .map((parts) => `/${parts.join('/')}`);

export function encodeSafely(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** What may stand in a request line or a header without ending it. */
export const onLine = (text: string): string => text.replaceAll(/[\r\n]/g, '').slice(0, 4_000);

/** A request's bytes with some of them cut out, put in, or flipped. */
export const spoiltBytes = (bytes: Buffer, cuts: readonly (readonly [number, number, string])[]): Buffer =>
  cuts.reduce((now, [at, length, put]) => {
    const from = at % (now.length + 1);
    return Buffer.concat([now.subarray(0, from), Buffer.from(put, 'latin1'), now.subarray(from + length)]);
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
      nasty,
    ),
  ),
  { minLength: 1, maxLength: 4 },
);

const CANARY = 'canary: what lies beside the data folder is nobody’s business';

/** A data folder with something beside it that shall stay as it is, and shall not be told. */
export function useFolder() {
  let root = '';
  let before: readonly string[] = [];
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 's3-vod-fuzz-'));
    await mkdir(join(root, 'data'));
    await writeFile(join(root, 'canary.txt'), CANARY);
    before = await surroundings();
  });
  afterAll(() => rm(root, { recursive: true, force: true, maxRetries: 3 }));

  async function surroundings(): Promise<string[]> {
    const names = (await readdir(root)).sort();
    const around = await Promise.all(
      names.map(
        async (name) =>
          `${name} ${(await stat(join(root, name))).isDirectory() ? '' : await readFile(join(root, name), 'utf8')}`,
      ),
    );
    return [
      ...around,
      `above: ${(await readdir(join(root, '..'))).filter((name) => name.startsWith('evil')).join()}`,
    ];
  }

  return {
    get data(): string {
      return join(root, 'data');
    },
    /** Nothing was told of what lies outside, and nothing changed there. */
    async expectUntouched(answer: Buffer): Promise<void> {
      expect(answer.includes(CANARY.slice(0, 20))).toBe(false);
      expect(answer.includes('root:x:0:0')).toBe(false);
      expect(await surroundings()).toEqual(before);
    },
  };
}
