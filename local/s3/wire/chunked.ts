import { S3Error } from './errors.ts';

const MAX_LINE = 8 * 1024;
const NOTHING = Buffer.alloc(0);

/**
 * Undoes `aws-chunked`: `size[;chunk-signature=…]`, the bytes, and so on to a chunk of size 0, then trailers into
 * `trailers`. Chunk signatures are not verified: the request's own signature is, on loopback nobody sits between, and
 * what guards the bytes is the checksum in the trailer, which is verified.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
 */
export async function* decodeChunked(
  source: AsyncIterable<Buffer>,
  trailers: Map<string, string>,
): AsyncGenerator<Buffer> {
  let expect: Expected = 'size';
  let rest: Buffer = NOTHING;
  for await (const piece of source) {
    let bytes = rest.length > 0 ? Buffer.concat([rest, piece]) : piece;
    rest = NOTHING;
    while (bytes.length > 0) {
      if (typeof expect === 'number') {
        const chunk: Buffer = bytes.subarray(0, expect);
        bytes = bytes.subarray(chunk.length);
        expect = chunk.length < expect ? expect - chunk.length : 'line end';
        yield chunk;
        continue;
      }
      const end = bytes.indexOf('\r\n');
      if (end > MAX_LINE || (end < 0 && bytes.length > MAX_LINE)) throw malformed('expected a line end');
      if (end < 0) {
        rest = bytes;
        break;
      }
      expect = readLine(expect, bytes.toString('latin1', 0, end), trailers);
      bytes = bytes.subarray(end + 2);
    }
  }
  // The line end after the last trailer is left out by some clients.
  if (expect !== 'nothing' && !(expect === 'trailer' && rest.length === 0)) {
    throw new S3Error('IncompleteBody', 'The request body ended before its last chunk.');
  }
}

/** What comes next; a number: so many bytes of the present chunk. */
type Expected = 'size' | number | 'line end' | 'trailer' | 'nothing';

function readLine(expect: Exclude<Expected, number>, line: string, trailers: Map<string, string>): Expected {
  switch (expect) {
    case 'size':
      return readSize(line) || 'trailer';
    case 'line end':
      if (line !== '')
        throw malformed(`expected a line end after a chunk, got ${JSON.stringify(line.slice(0, 40))}`);
      return 'size';
    case 'trailer':
      if (line === '') return 'nothing';
      readTrailer(line, trailers);
      return 'trailer';
    case 'nothing':
      throw malformed('expected nothing after the last chunk');
  }
}

function readSize(line: string): number {
  const size = /^([0-9a-f]{1,12})(?:;.*)?$/i.exec(line)?.[1];
  if (size === undefined) throw malformed(`expected a chunk size, got ${JSON.stringify(line.slice(0, 40))}`);
  return Number.parseInt(size, 16);
}

function readTrailer(line: string, trailers: Map<string, string>): void {
  const colon = line.indexOf(':');
  if (colon < 1) throw malformed(`expected a trailer, got ${JSON.stringify(line.slice(0, 40))}`);
  trailers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
}

const malformed = (what: string): S3Error => new S3Error('InvalidRequest', `aws-chunked body: ${what}`);
