import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeChunked } from '../../../local/s3/wire/chunked.ts';

async function* inPieces(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  const borders = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  for (const [at, border] of borders.entries()) yield bytes.subarray(borders[at - 1] ?? 0, border);
}

const chunk = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes));

describe('decodeChunked', () => {
  test('decodes every body, however the network splits it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(chunk), fc.array(fc.nat()), fc.boolean(), async (chunks, cuts, signed) => {
        const signature = signed ? `;chunk-signature=${'f'.repeat(64)}` : '';
        const encoded = Buffer.concat([
          ...chunks.flatMap((bytes) => [
            Buffer.from(`${bytes.length.toString(16)}${signature}\r\n`),
            bytes,
            Buffer.from('\r\n'),
          ]),
          Buffer.from(`0${signature}\r\nX-Amz-Checksum-Sha1: abc=\r\n\r\n`),
        ]);
        const trailers = new Map<string, string>();
        const decoded: Buffer[] = [];
        for await (const bytes of decodeChunked(inPieces(encoded, cuts), trailers)) decoded.push(bytes);
        expect(Buffer.concat(decoded).equals(Buffer.concat(chunks))).toBe(true);
        expect(trailers).toEqual(new Map([['x-amz-checksum-sha1', 'abc=']]));
      }),
    );
  });

  test('rejects a body that ends early, at any byte', async () => {
    const encoded = Buffer.from('5\r\nhello\r\n5\r\nworld\r\n0\r\n');
    for (let length = 0; length < encoded.length; length++) {
      const decode = async () => {
        for await (const _ of decodeChunked(inPieces(encoded.subarray(0, length), []), new Map()));
      };
      await expect(decode()).rejects.toThrow();
    }
  });
});
