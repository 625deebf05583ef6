import { S3Error } from './errors.ts';

const MAX_LINE_BYTES = 8 * 1024;
const EMPTY = Buffer.alloc(0);

/**
 * Decodes `aws-chunked`: `size[;chunk-signature=…]`, then the bytes, repeated up to a chunk of size 0; trailers follow
 * and go into `trailers`. Chunk signatures are not verified: the signature of the request is verified, and on loopback
 * no third party can change the body. The checksum in the trailer, which is verified, protects the bytes.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
 */
export async function* decodeChunked(
  source: AsyncIterable<Buffer>,
  trailers: Map<string, string>,
): AsyncGenerator<Buffer> {
  let expect: Expected = 'size';
  let rest: Buffer = EMPTY;
  for await (const piece of source) {
    let bytes = rest.length > 0 ? Buffer.concat([rest, piece]) : piece;
    rest = EMPTY;
    while (bytes.length > 0) {
      if (typeof expect === 'number') {
        const chunk: Buffer = bytes.subarray(0, expect);
        bytes = bytes.subarray(chunk.length);
        expect = chunk.length < expect ? expect - chunk.length : 'line end';
        yield chunk;
        continue;
      }
      const end = bytes.indexOf('\r\n');
      if (end > MAX_LINE_BYTES || (end < 0 && bytes.length > MAX_LINE_BYTES))
        throw malformed('expected a line end');
      if (end < 0) {
        rest = bytes;
        break;
      }
      expect = readLine(expect, bytes.toString('latin1', 0, end), trailers);
      bytes = bytes.subarray(end + 2);
    }
  }
  // Some clients omit the line end after the last trailer.
  if (expect !== 'nothing' && !(expect === 'trailer' && rest.length === 0)) {
    throw new S3Error('IncompleteBody', 'The request body ended before its last chunk.');
  }
}

/** The next element of the body. A number: this many bytes of the current chunk. */
type Expected = 'size' | number | 'line end' | 'trailer' | 'nothing';

function readLine(expect: Exclude<Expected, number>, line: string, trailers: Map<string, string>): Expected {
  switch (expect) {
    case 'size':
      return readSize(line) || 'trailer';
    case 'line end':
      if (line !== '') throw malformed(`expected a line end after a chunk, got ${quote(line)}`);
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
  if (size === undefined) throw malformed(`expected a chunk size, got ${quote(line)}`);
  return Number.parseInt(size, 16);
}

function readTrailer(line: string, trailers: Map<string, string>): void {
  const colon = line.indexOf(':');
  if (colon < 1) throw malformed(`expected a trailer, got ${quote(line)}`);
  trailers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
}

const malformed = (problem: string): S3Error => new S3Error('InvalidRequest', `aws-chunked body: ${problem}`);

const quote = (line: string): string => JSON.stringify(line.slice(0, 40));
