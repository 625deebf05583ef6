import { describe, expect, test } from 'vitest';
import { authorizationOf } from '../../../lib/cos/signature.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import {
  AT,
  BYTES,
  confirm,
  crcsOf,
  inPieces,
  newPart,
  respondError,
  respondXml,
  startScriptedCos,
  TOKEN,
} from '../../support/cos-client.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import type { ReceivedRequest, Responder } from '../../support/scripted-server.ts';
import { hash, MIB, never } from '../../support/values.ts';

const PATH = '/a1b2/%E7%94%B5%E5%BD%B1%20%281%29/ep1.mp4';
const CRC = 'x-cos-hash-crc64ecma';

/** Checks the signature of a request with the key of the account. */
function isSigned({ method, path, query, headers }: ReceivedRequest): boolean {
  const { authorization = '' } = headers;
  const field = (name: string): string => new RegExp(`${name}=([^&]*)`).exec(authorization)?.[1] ?? '';
  const [start = 0, end = 0] = field('q-key-time').split(';').map(Number);
  const names = field('q-header-list').split(';');
  const now = Date.now() / 1000;
  const expected = authorizationOf(
    {
      method,
      path: decodeURIComponent(path),
      query: Object.fromEntries(query),
      headers: Object.fromEntries(names.map((name) => [name, String(headers[name])])),
    },
    AT.keys,
    { start, end },
  );
  return expected === authorization && names.includes('host') && start < now && now < end;
}

describe('a request', () => {
  test('goes to the endpoint, and is signed for the host of the bucket', async () => {
    const { cos, requests } = await startScriptedCos(confirm);
    await cos.uploadPart(AT, newPart(), never);
    const [request] = requests;
    expect(request).toMatchObject({
      method: 'PUT',
      path: PATH,
      headers: {
        host: 'vod-1250000000.cos.ap-chongqing.myqcloud.com',
        'x-cos-security-token': TOKEN,
        'content-length': String(BYTES.length),
      },
    });
    expect(Object.fromEntries(request?.query ?? [])).toEqual({ partNumber: '7', uploadId: 'u 1+/=' });
    expect(requests.every(isSigned)).toBe(true);
  });

  test('has no token with permanent keys', async () => {
    const { cos, requests } = await startScriptedCos(confirm);
    const { token: _, ...keys } = AT.keys;
    await cos.putObject({ ...AT, keys }, BYTES, never);
    expect(requests[0]?.headers).not.toHaveProperty('x-cos-security-token');
    expect(requests.every(isSigned)).toBe(true);
  });

  test.each([
    ['bucket', { bucket: 'evil.example/' }],
    ['region', { region: 'x@evil.example' }],
  ])('is not sent to a %s that is not part of a host name', async (_, wrong) => {
    const { cos, requests } = await startScriptedCos(confirm);
    await expectFailure(cos.headObject({ ...AT, ...wrong }, never), 'VodRejected', 'evil.example');
    expect(requests).toEqual([]);
  });
});

test('bytes in memory are sent with Content-MD5, and return their CRCs', async () => {
  const { cos, requests } = await startScriptedCos(confirm);
  expect(await cos.uploadPart(AT, newPart(), never)).toEqual(crcsOf(BYTES));
  expect(await cos.putObject(AT, BYTES, never)).toEqual(crcsOf(BYTES));
  const md5 = Buffer.from(hash('md5', BYTES), 'hex').toString('base64');
  for (const { headers, body } of requests) {
    expect(headers['content-md5']).toBe(md5);
    expect(body.equals(BYTES)).toBe(true);
  }
  expect(requests[1]?.query.size).toBe(0);
});

describe('a stream', () => {
  test.each([1, 2 * MIB, 4 * MIB])(
    'is sent with its length and without Content-MD5, in pieces of up to %i bytes',
    async (size) => {
      const bytes = size === 1 ? BYTES.subarray(0, 2_000) : BYTES;
      const { cos, requests } = await startScriptedCos(confirm);
      const part = newPart({ body: () => inPieces(bytes, size), size: bytes.length });
      expect(await cos.uploadPart(AT, part, never)).toEqual(crcsOf(bytes));
      expect(requests[0]?.headers).toMatchObject({ 'content-length': String(bytes.length) });
      expect(requests[0]?.headers).not.toHaveProperty('content-md5');
      expect(requests[0]?.body.equals(bytes)).toBe(true);
      expect(requests.every(isSigned)).toBe(true);
    },
  );

  test('keeps at most two pieces in use', async () => {
    const { cos } = await startScriptedCos(confirm);
    // Overwrites a piece when the piece two later is read.
    async function* reusing(): AsyncGenerator<Uint8Array> {
      const buffers = [Buffer.alloc(3 * MIB), Buffer.alloc(3 * MIB)];
      for (let n = 0; n < 6; n++) yield (buffers[n % 2] ?? Buffer.alloc(0)).fill(n);
    }
    const expected = Buffer.concat(Array.from({ length: 6 }, (_, n) => Buffer.alloc(3 * MIB, n)));
    const part = newPart({ body: reusing, size: 18 * MIB });
    expect(await cos.uploadPart(AT, part, never)).toEqual(crcsOf(expected));
  });
});

describe('the checksums of a response', () => {
  const md5 = hash('md5', BYTES);
  const etag = `"${md5}"`;
  const crc = crcsOf(BYTES).crc64;

  test.each([
    ['another ETag', { etag: '"0123"', [CRC]: `${crc}` }, `expected ETag ${md5}, got 0123.`],
    ['no ETag', { [CRC]: `${crc}` }, `expected ETag ${md5}, got none.`],
    ['another CRC', { etag, [CRC]: '17' }, `expected ${CRC} ${crc}, got 17.`],
    ['a CRC that a double cannot distinguish', { etag, [CRC]: `${crc + 1n}` }, `got ${crc + 1n}.`],
  ])('must be those of the bytes: %s', async (_, headers, message) => {
    for (const body of [BYTES, () => inPieces(BYTES, MIB)]) {
      const { cos, requests } = await startScriptedCos((response) => response.writeHead(200, headers).end());
      await expectFailure(cos.uploadPart(AT, newPart({ body }), never), 'PartRejected', message);
      expect(requests).toHaveLength(1);
    }
  });
});

describe('createMultipartUpload', () => {
  const created = respondXml(
    '<InitiateMultipartUploadResult><Key>k</Key><UploadId>16&amp;1</UploadId></InitiateMultipartUploadResult>',
  );
  const listing = (...uploads: [key: string, uploadId: string][]): Responder => {
    const items = uploads.map(([key, id]) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId></Upload>`);
    return respondXml(
      `<ListMultipartUploadsResult><Prefix/>${items.join('\n')}</ListMultipartUploadsResult>`,
    );
  };

  test('returns the ID of the upload', async () => {
    const { cos, requests } = await startScriptedCos(created);
    expect(await cos.createMultipartUpload(AT, never)).toBe('16&1');
    expect(requests).toMatchObject([{ method: 'POST', path: PATH, headers: { 'content-length': '0' } }]);
    expect([...(requests[0]?.query ?? [])]).toEqual([['uploads', '']]);
    expect(requests.every(isSigned)).toBe(true);
  });

  const AMBIGUOUS: [string, Responder[], string][] = [
    ['uses the upload that an ambiguous attempt opened', [listing(['other', '1'], [AT.key, '2'])], '2'],
    ['opens an upload if the ambiguous attempt opened none', [listing(), created], '16&1'],
    ['opens an upload if the keys may not list', [respondError(403, 'AccessDenied'), created], '16&1'],
  ];
  test.each(AMBIGUOUS)('%s', async (_, after, id) => {
    accelerateTimers();
    const { cos, requests } = await startScriptedCos(respondError(500, 'InternalError'), ...after);
    expect(await cos.createMultipartUpload(AT, never)).toBe(id);
    expect(requests).toHaveLength(1 + after.length);
    expect(requests[1]).toMatchObject({ method: 'GET', path: '/' });
    expect(requests[1]?.query.get('prefix')).toBe(AT.key);
    expect(requests.every(isSigned)).toBe(true);
  });

  test('is found again by its key', async () => {
    const { cos } = await startScriptedCos(listing([AT.key, '2'], [`${AT.key}.bak`, '3'], [AT.key, '4']));
    expect(await cos.listMultipartUploads(AT, never)).toEqual(['2', '4']);
  });
});

describe('listParts', () => {
  const page = (first: number, count: number, next?: string): Responder => {
    const parts = Array.from(
      { length: count },
      (_, n) =>
        `<Part><PartNumber>${first + n}</PartNumber><ETag>"e${first + n}"</ETag><Size>${n + 5}</Size></Part>`,
    );
    const marker = next === undefined ? '' : `<NextPartNumberMarker>${next}</NextPartNumberMarker>`;
    return respondXml(
      `<ListPartsResult>${parts.join('\n')}<IsTruncated>${next !== undefined}</IsTruncated>${marker}</ListPartsResult>`,
    );
  };

  test('joins all pages', async () => {
    const { cos, requests } = await startScriptedCos(
      page(1, 1000, '1000'),
      page(1001, 2, '1002'),
      page(1003, 1),
    );
    const parts = await cos.listParts(AT, 'u', never);
    expect(parts).toHaveLength(1003);
    expect(parts.at(1001)).toEqual({ number: 1002, size: 6, etag: 'e1002' });
    expect(requests.map(({ query }) => query.get('part-number-marker'))).toEqual(['0', '1000', '1002']);
    expect(requests.every(isSigned)).toBe(true);
  });

  test('returns nothing for an upload without parts', async () => {
    const { cos } = await startScriptedCos(page(1, 0));
    expect(await cos.listParts(AT, 'u', never)).toEqual([]);
  });

  test.each(['0', '', 'x'])('does not repeat a page forever: marker "%s"', async (marker) => {
    accelerateTimers();
    const { cos, requests } = await startScriptedCos(page(1, 3, marker));
    await expectFailure(cos.listParts(AT, 'u', never), 'VodUnavailable', 'NextPartNumberMarker');
    expect(requests).toHaveLength(5);
  });
});

describe('completeMultipartUpload', () => {
  const parts = [
    { number: 1, etag: 'aa' },
    { number: 2, etag: 'bb' },
  ];
  const result = '<CompleteMultipartUploadResult><ETag>"aabb-2"</ETag></CompleteMultipartUploadResult>';

  test.each([
    ['with a CRC', { [CRC]: '18446744073709551615' }, 2n ** 64n - 1n],
    ['without a CRC', {}, undefined],
  ])('returns the object %s', async (_, headers, crc64) => {
    const { cos, requests } = await startScriptedCos(respondXml(result, 200, headers));
    expect(await cos.completeMultipartUpload(AT, 'u', parts, never)).toEqual({ etag: 'aabb-2', crc64 });
    expect(requests[0]?.body.toString()).toBe(
      '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"aa"</ETag></Part>' +
        '<Part><PartNumber>2</PartNumber><ETag>"bb"</ETag></Part></CompleteMultipartUpload>',
    );
    expect(requests.every(isSigned)).toBe(true);
  });

  test('waits for a result after white space', async () => {
    const { cos } = await startScriptedCos((response) => {
      response.writeHead(200).write(' \n ');
      setImmediate(() => response.end(`<?xml version="1.0"?>${result}`));
    });
    expect(await cos.completeMultipartUpload(AT, 'u', parts, never)).toMatchObject({ etag: 'aabb-2' });
  });

  test('finds an error inside a success', async () => {
    accelerateTimers();
    const failure = respondError(200, 'InternalError');
    const { cos, requests } = await startScriptedCos(failure, respondXml(result));
    expect(await cos.completeMultipartUpload(AT, 'u', parts, never)).toMatchObject({ etag: 'aabb-2' });
    expect(requests).toHaveLength(2);
    const { cos: lacking } = await startScriptedCos(respondError(200, 'InvalidPart'));
    const call = lacking.completeMultipartUpload(AT, 'u', parts, never);
    await expectFailure(call, 'UploadNotFound', 'InvalidPart');
  });
});

const ABORTED: [string, Responder][] = [
  ['after the upload was removed', (response) => response.writeHead(204).end()],
  ['for an upload that has ended', respondError(404, 'NoSuchUpload')],
];
test.each(ABORTED)('abortMultipartUpload resolves %s', async (_, responder) => {
  const { cos, requests } = await startScriptedCos(responder);
  await cos.abortMultipartUpload(AT, 'u', never);
  expect(requests).toMatchObject([{ method: 'DELETE' }]);
  expect(requests.every(isSigned)).toBe(true);
});

describe('headObject', () => {
  const startCos = (status: number, headers: Record<string, string> = {}) =>
    startScriptedCos((response) => response.writeHead(status, headers).end());

  test('returns size, ETag, and CRC', async () => {
    const headers = { 'content-length': '48800000000000', etag: '"e-9"', [CRC]: '11051210869376104954' };
    const { cos, requests } = await startCos(200, headers);
    expect(await cos.headObject(AT, never)).toEqual({
      size: 48_800_000_000_000,
      etag: 'e-9',
      crc64: 11051210869376104954n,
    });
    expect(requests).toMatchObject([{ method: 'HEAD' }]);
  });

  test('returns undefined if there is no object', async () => {
    const { cos } = await startCos(404);
    expect(await cos.headObject(AT, never)).toBeUndefined();
  });

  test.each(['1.5', '-1', '18446744073709551616', '0x10'])('rejects the CRC %s', async (crc) => {
    accelerateTimers();
    const { cos } = await startCos(200, { 'content-length': '1', etag: '"e"', [CRC]: crc });
    await expectFailure(cos.headObject(AT, never), 'VodUnavailable', CRC);
  });
});
