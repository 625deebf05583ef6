import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { readRange } from '../../../local/s3/wire/range.ts';
import { BUCKET, useS3 } from '../../support/local-s3.ts';
import { presign } from '../../support/raw-http.ts';

const s3 = useS3();
const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251));

beforeAll(async () => {
  await s3.put('empty', { Body: new Uint8Array() });
  await s3.put('one');
  await s3.put('letters', { Body: 'abcdefghij' });
  await s3.put('bytes', { Body: bytes });
});

const read = (key: string, range: string, method = 'GET') =>
  s3.sendSigned({ method, path: `/${BUCKET}/${key}`, headers: { range } });

describe('Range', () => {
  test.each([
    ['bytes=0-0', 'a', 'bytes 0-0/10'],
    ['bytes=9-9', 'j', 'bytes 9-9/10'],
    ['bytes=2-4', 'cde', 'bytes 2-4/10'],
    ['bytes=7-', 'hij', 'bytes 7-9/10'],
    ['bytes=7-99', 'hij', 'bytes 7-9/10'],
    ['bytes=-3', 'hij', 'bytes 7-9/10'],
    ['bytes=-99', 'abcdefghij', 'bytes 0-9/10'],
  ])('%s of ten letters returns %s', async (range, body, contentRange) => {
    const headers = { 'content-range': contentRange, 'content-length': String(body.length) };
    expect(await read('letters', range)).toMatchObject({ status: 206, body, headers });
    expect(await read('letters', range, 'HEAD')).toMatchObject({ status: 206, body: '', headers });
  });

  test.each(['bytes=5-2', 'bytes=a-b', 'bytes=-', 'items=0-1', 'bytes=0-1,3-4', '0-1'])(
    '%s is ignored and returns the whole object',
    async (range) => {
      const response = await read('letters', range);
      expect(response).toMatchObject({ status: 200, body: 'abcdefghij' });
      expect(Object.keys(response.headers)).not.toContain('content-range');
    },
  );

  test.each([
    ['letters', 'bytes=10-', 10],
    ['letters', 'bytes=10-20', 10],
    ['letters', 'bytes=-0', 10],
    ['empty', 'bytes=0-0', 0],
    ['empty', 'bytes=0-', 0],
    ['empty', 'bytes=-1', 0],
  ])('%s rejects %s as unsatisfiable', async (key, range, size) => {
    const response = await read(key, range);
    expect(response).toMatchObject({
      status: 416,
      code: 'InvalidRange',
      headers: { 'content-range': `bytes */${size}` },
    });
    expect(response.body).toContain(`<ActualObjectSize>${size}</ActualObjectSize>`);
    expect(await read(key, range, 'HEAD')).toMatchObject({ status: 416, body: '' });
  });

  const bound = fc.integer({ min: 0, max: 1100 });
  const header = fc.oneof(
    fc.tuple(bound, bound).map(([first, last]) => `bytes=${first}-${last}`),
    bound.map((first) => `bytes=${first}-`),
    bound.map((length) => `bytes=-${length}`),
  );

  test('returns the same bytes as a slice, for any size', () => {
    fc.assert(
      fc.property(header, fc.integer({ min: 0, max: 1000 }), (range, size) => {
        const all = [...bytes.subarray(0, size).keys()];
        const [first = '', last = ''] = range.slice('bytes='.length).split('-');
        const expected =
          first === ''
            ? last === '0'
              ? []
              : all.slice(-Number(last))
            : all.slice(Number(first), last === '' ? size : Number(last) + 1);
        const got = readRange(range, size);
        if (got === 'whole') expect(Number(last)).toBeLessThan(Number(first));
        else expect(got === 'unsatisfiable' ? [] : all.slice(got.first, got.last + 1)).toEqual(expected);
      }),
    );
  });

  test('returns the same bytes over HTTP', async () => {
    const path = presign({ port: s3.server.port, path: `/${BUCKET}/bytes`, expires: 60 });
    await fc.assert(
      fc.asyncProperty(header, async (range) => {
        const response = await s3.send({ path, headers: { range } });
        const wanted = readRange(range, bytes.length);
        if (wanted === 'unsatisfiable') {
          expect(response.status).toBe(416);
          return;
        }
        const { first, last } = wanted === 'whole' ? { first: 0, last: bytes.length - 1 } : wanted;
        const body = bytes.subarray(first, last + 1).toString();
        expect(response).toMatchObject({ status: wanted === 'whole' ? 200 : 206, body });
      }),
      { numRuns: 60 },
    );
  });
});
