import { PutObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { readRange } from '../../../local/s3/wire/range.ts';
import { BUCKET, useS3 } from '../../support/local-s3.ts';
import { presign, send, sendSigned } from '../../support/raw-http.ts';

const s3 = useS3();
const bytes = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 251));

beforeAll(async () => {
  await s3.client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'empty', Body: new Uint8Array() }));
  await s3.client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'one', Body: 'x' }));
  await s3.client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'letters', Body: 'abcdefghij' }));
  await s3.client.send(new PutObjectCommand({ Bucket: BUCKET, Key: 'bytes', Body: bytes }));
});

const read = (key: string, range: string, method = 'GET') =>
  sendSigned({ port: s3.port, method, path: `/${BUCKET}/${key}`, headers: { range } });

test.each([
  ['bytes=0-0', 'a', 'bytes 0-0/10'],
  ['bytes=9-9', 'j', 'bytes 9-9/10'],
  ['bytes=2-4', 'cde', 'bytes 2-4/10'],
  ['bytes=7-', 'hij', 'bytes 7-9/10'],
  ['bytes=7-99', 'hij', 'bytes 7-9/10'],
  ['bytes=-3', 'hij', 'bytes 7-9/10'],
  ['bytes=-99', 'abcdefghij', 'bytes 0-9/10'],
])('%s of ten letters is %s', async (range, body, contentRange) => {
  const headers = { 'content-range': contentRange, 'content-length': String(body.length) };
  expect(await read('letters', range)).toMatchObject({ status: 206, body, headers });
  expect(await read('letters', range, 'HEAD')).toMatchObject({ status: 206, body: '', headers });
});

test.each(['bytes=5-2', 'bytes=a-b', 'bytes=-', 'items=0-1', 'bytes=0-1,3-4', '0-1'])(
  '%s is no range that S3 serves: all is sent',
  async (range) => {
    const answer = await read('letters', range);
    expect(answer).toMatchObject({ status: 200, body: 'abcdefghij' });
    expect(Object.keys(answer.headers)).not.toContain('content-range');
  },
);

test.each([
  ['letters', 'bytes=10-', 10],
  ['letters', 'bytes=10-20', 10],
  ['letters', 'bytes=-0', 10],
  ['empty', 'bytes=0-0', 0],
  ['empty', 'bytes=0-', 0],
  ['empty', 'bytes=-1', 0],
])('%s cannot satisfy %s', async (key, range, size) => {
  const answer = await read(key, range);
  expect(answer).toMatchObject({
    status: 416,
    code: 'InvalidRange',
    headers: { 'content-range': `bytes */${size}` },
  });
  expect(answer.body).toContain(`<ActualObjectSize>${size}</ActualObjectSize>`);
  expect(await read(key, range, 'HEAD')).toMatchObject({ status: 416, body: '' });
});

const bound = fc.integer({ min: 0, max: 1100 });
const header = fc.oneof(
  fc.tuple(bound, bound).map(([first, last]) => `bytes=${first}-${last}`),
  bound.map((first) => `bytes=${first}-`),
  bound.map((length) => `bytes=-${length}`),
);

test('a range equals a slice, whatever the size', () => {
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

test('so it does over the wire', async () => {
  const path = presign({ port: s3.port, path: `/${BUCKET}/bytes`, expires: 60 });
  await fc.assert(
    fc.asyncProperty(header, async (range) => {
      const answer = await send({ port: s3.port, path, headers: { range } });
      const wanted = readRange(range, bytes.length);
      if (wanted === 'unsatisfiable') {
        expect(answer.status).toBe(416);
        return;
      }
      const { first, last } = wanted === 'whole' ? { first: 0, last: bytes.length - 1 } : wanted;
      const body = bytes.subarray(first, last + 1).toString();
      expect(answer).toMatchObject({ status: wanted === 'whole' ? 200 : 206, body });
    }),
    { numRuns: 60 },
  );
});
