import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readPartList } from '../../../../lib/vod/v2/part-list.ts';

async function* splitAt(text: string, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  for (let n = 1; n < at.length; n++) yield bytes.subarray(at[n - 1], at[n]);
}

const read = async (text: string, cuts: readonly number[] = []) => {
  const { text: around, parts } = await readPartList(splitAt(text, cuts));
  return { around, parts: [...parts] };
};

const anyPart = fc.record({
  offset: fc.nat(2 ** 31).map((n) => n * 1024),
  dataSize: fc.nat(1_048_576),
  dataMd5: fc.stringMatching(/^[0-9a-f]{0,32}$/),
});
const anyMessage = fc.oneof(fc.string(), fc.constantFrom('"listParts":[{', ']}', '中文 "fileId": 1'));

test('reads the same as JSON.parse, whatever the chunks, spaces, and texts', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyPart, { maxLength: 30 }),
      anyMessage,
      anyMessage,
      fc.option(fc.constantFrom(1, 2, '\t'), { nil: undefined }),
      fc.array(fc.nat(), { maxLength: 12 }),
      async (listParts, before, after, space, cuts) => {
        const response = { message: before, code: 1, listParts, codeDesc: after };
        const { around, parts } = await read(JSON.stringify(response, null, space), cuts);
        expect(JSON.parse(around)).toEqual({ ...response, listParts: [] });
        expect(parts).toEqual(listParts.map(({ offset, dataSize }) => ({ offset, dataSize })));
      },
    ),
  );
});

test('returns the text of a response without a list', async () => {
  expect(await read('{"code":0}', [3])).toEqual({ around: '{"code":0}', parts: [] });
  expect(await read('<html>busy</html>')).toEqual({ around: '<html>busy</html>', parts: [] });
  expect(await read('')).toEqual({ around: '', parts: [] });
});

test.each([
  ['a negative offset', '{"listParts":[{"offset":-1,"dataSize":1}]}'],
  ['a part without a size', '{"listParts":[{"offset":1}]}'],
  ['an offset that is text', '{"listParts":[{"offset":"1","dataSize":1}]}'],
  ['malformed JSON', '{"listParts":[{"offset":1,"dataSize"}]}'],
  ['a list that does not end', `{"listParts":[${' '.repeat(2 ** 20 + 1)}`],
  ['too much text', 'x'.repeat(2 ** 20 + 1)],
])('throws for %s', async (_, text) => {
  await expect(read(text)).rejects.toThrow();
});

test('reads a million parts', async () => {
  async function* listing(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('{"code":1,"listParts":[');
    for (let n = 0; n < 1_000_000; n += 1000) {
      const item = (part: number) => `{"offset":${part * 1_048_576},"dataSize":1048576}`;
      const items = Array.from({ length: 1000 }, (_, m) => item(n + m));
      yield Buffer.from(`${n ? ',' : ''}${items.join(',')}`);
    }
    yield Buffer.from(']}');
  }
  const { text, parts } = await readPartList(listing());
  expect([text, parts.length]).toEqual(['{"code":1,"listParts":[]}', 1_000_000]);
});

const BEGINNINGS = ['"listParts"', '"listParts":[{"offset":'];
test.each(BEGINNINGS)('rejects endless spaces after %s quickly, even byte by byte', async (begin) => {
  async function* byteByByte(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(`{${begin}`);
    const space = Buffer.from(' ');
    for (let n = 0; n < 2 ** 20; n++) yield space; // a search per byte took hours
  }
  const parsing = readPartList(byteByByte()).then(({ text }) => JSON.parse(text));
  await expect(parsing).rejects.toThrow(SyntaxError);
});
