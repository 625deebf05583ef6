import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { signedQuery } from '../../lib/vod/v2/signature.ts';
import { startVod, type Vod } from '../../local/vod/server.ts';
import { VOD_ERRORS } from '../../local/vod/v2/vod-error.ts';
import { hash } from '../support/values.ts';
import { assertAlways, SECRET } from './invariants.ts';
import { hostileText, words } from './values.ts';
import {
  corruptBytes,
  cuts,
  encodeRequest,
  encodeSafely,
  exchange,
  parseRawResponse,
  paths,
  type RawRequest,
  type RawResponse,
  toHeaderValue,
  useWatchedFolder,
} from './wire.ts';

const HOST = 'vod2.qcloud.com';
const PATH = '/v2/index.php';
const folder = useWatchedFolder();
let vod: Vod;

beforeAll(async () => {
  const secrets = { secretId: 'id', secretKey: SECRET };
  vod = await startVod({ dir: folder.data, port: 0, secrets, signedHost: HOST, quota: false });
});
afterAll(() => vod.close());

const BODY = 'the bytes of a part';
const sha1 = hash('sha1', BODY);
const size = String(BODY.length);
const common = { Region: 'gz', SecretId: 'id', SignatureMethod: 'HmacSHA256' };
const part = { fileSha: sha1, offset: '0', dataSize: size, dataMd5: hash('md5', BODY) };

/** The calls of an upload, in order. */
const CALLS: readonly Readonly<{ method: string; params: Readonly<Record<string, string>>; body: string }>[] =
  [
    {
      method: 'GET',
      params: {
        Action: 'InitUpload',
        fileName: 'n',
        fileSha: sha1,
        fileSize: size,
        dataSize: '524288',
        fileType: 'mp4',
        'tags.1': 'a',
      },
      body: '',
    },
    { method: 'POST', params: { Action: 'UploadPart', ...part }, body: BODY },
    { method: 'GET', params: { Action: 'FinishUpload', fileSha: sha1 }, body: '' },
    {
      method: 'POST',
      params: {
        Action: 'SmallFileUpload',
        fileName: 'n',
        fileSha: sha1,
        fileSize: size,
        dataSize: size,
        fileType: 'jpg',
        'extra.usage': '1',
        'extra.fileId': '1',
      },
      body: BODY,
    },
  ];

const PARAMS = words(`
  Action Region SecretId Timestamp Nonce SignatureMethod Token fileName fileSha fileSize fileType
  dataSize dataMd5 offset classId tags.1 tags.2 tag.1 tags isTranscode extra.usage extra.fileId
  __proto__
`);
const VALUES = [
  '0',
  '1',
  '-1',
  '1e3',
  '524288',
  '9007199254740992',
  '99999999999999999999',
  '../../canary',
  'A'.repeat(40),
  'f'.repeat(40),
  'mp4',
  'MP4',
  'constructor',
  '',
];
const changes = fc.array(
  fc.tuple(
    fc.oneof(fc.constantFrom(...PARAMS), hostileText),
    fc.oneof(fc.constantFrom(...VALUES), hostileText),
  ),
  { maxLength: 3 },
);

type Variation = Readonly<{
  changed: readonly (readonly [string, string])[];
  path: string;
  body: string | undefined;
  headers: readonly (readonly [string, string])[];
  method: string | undefined;
}>;
const variations: fc.Arbitrary<Variation> = fc.record({
  changed: changes,
  path: fc.oneof(
    { arbitrary: fc.constantFrom(PATH, '/v3/index.php'), weight: 8 },
    { arbitrary: paths, weight: 1 },
  ),
  body: fc.option(fc.oneof(fc.constant(''), hostileText, fc.constant('x'.repeat(100_000))), {
    nil: undefined,
    freq: 2,
  }),
  headers: fc.array(
    fc.tuple(
      fc.constantFrom(
        'host',
        'content-type',
        'transfer-encoding',
        'expect',
        'x-forwarded-for',
        'accept-encoding',
      ),
      fc.oneof(fc.constantFrom('chunked', '100-continue', 'gzip'), hostileText.map(toHeaderValue)),
    ),
    { maxLength: 1 },
  ),
  method: fc.option(fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS'), {
    nil: undefined,
    freq: 1,
  }),
});

let nonce = 0;

function createRequest(call: (typeof CALLS)[number], variation: Variation): RawRequest {
  const method = variation.method ?? call.method;
  const body = variation.body ?? call.body;
  const plain = {
    ...common,
    ...call.params,
    Timestamp: String(Math.floor(Date.now() / 1000)),
    Nonce: String(++nonce),
  };
  const changed = variation.changed.map(([name, value]) => [name.toWellFormed(), value.toWellFormed()]);
  const params = Object.fromEntries([...Object.entries(plain), ...changed]);
  const query = signedQuery(SECRET, method, HOST, variation.path, params);
  return {
    method,
    target: `${variation.path}?${query}`,
    headers: [
      ['host', '127.0.0.1'],
      ['connection', 'close'],
      ['content-length', String(Buffer.byteLength(body))],
      ...variation.headers,
    ],
    body,
  };
}

const CODES = new Set<number>([0, 1, 2, ...Object.values(VOD_ERRORS).map(({ code }) => code)]);
const VodResponse = v.object({
  code: v.number(),
  message: v.string(),
  codeDesc: v.string(),
  canRetry: v.picklist([0, 1]),
});

/** A response has the shape that the protocol defines. Code 6000 would be a defect of the service. */
function expectDocumented({ status, body }: RawResponse): void {
  if ([400, 408, 413, 417, 431].includes(status) && body === '') return; // rejected by Node's own parser
  expect([200, 404, 405]).toContain(status);
  const parsed = v.parse(VodResponse, JSON.parse(body));
  expect(CODES).toContain(parsed.code);
  expect(parsed.code).not.toBe(VOD_ERRORS.internal.code);
  expect(body.length).toBeLessThan(32 * 1024);
}

const FOLDER = 'cos drafts files index.json index.json.new sessions tasks uploads'.split(' ');

async function expectInvariants(bytes: Buffer, isComplete: boolean): Promise<RawResponse | undefined> {
  const response = await exchange(vod.port, bytes, isComplete);
  expect(response.includes(SECRET)).toBe(false);
  await folder.expectUntouched(response);
  expect((await readdir(folder.data)).filter((name) => !FOLDER.includes(name))).toEqual([]);
  for (const name of await readdir(join(folder.data, 'uploads')))
    expect(name).toMatch(/^[0-9a-f]{40}\.(data|journal)$/);
  for (const name of await readdir(join(folder.data, 'files')))
    expect(name).toMatch(/^[0-9]+\.[A-Za-z0-9]{1,10}(\.new)?$/);
  return parseRawResponse(response);
}

test('returns the result or a documented error for any signed call', async () => {
  const calls = fc.array(fc.tuple(fc.constantFrom(...CALLS), variations), { minLength: 1, maxLength: 4 });
  await assertAlways(calls, 60, async (all) => {
    for (const [call, variation] of all) {
      const request = createRequest(call, variation);
      const response = await expectInvariants(encodeRequest(request), true);
      const isRead =
        request.method !== 'HEAD' &&
        variation.headers.every(([name]) => !['expect', 'transfer-encoding'].includes(name));
      if (isRead) expect(response).toBeDefined();
      if (response && isRead) expectDocumented(response);
    }
  });
});

test('serves no file under any name that VOD did not assign', async () => {
  const names = fc.oneof(
    paths,
    fc
      .tuple(hostileText.map(encodeSafely), fc.constantFrom('', '.mp4', '/..', '%2f..%2f..%2fcanary.txt'))
      .map((texts) => `/${texts.join('')}`),
  );
  await assertAlways(names, 100, async (name) => {
    const request = {
      method: 'GET',
      target: `/files${name}`,
      headers: [
        ['host', 'x'],
        ['connection', 'close'],
      ] as const,
      body: '',
    };
    const response = await expectInvariants(encodeRequest(request), true);
    expect(response?.status).toBeGreaterThanOrEqual(400);
  });
});

test('survives bytes that are no complete request, and serves the next one', async () => {
  const plain: Variation = { changed: [], path: PATH, body: undefined, headers: [], method: undefined };
  await assertAlways(
    fc.tuple(fc.constantFrom(...CALLS), variations, cuts),
    100,
    async ([call, variation, edits]) => {
      const response = await expectInvariants(
        corruptBytes(encodeRequest(createRequest(call, variation)), edits),
        false,
      );
      if (response) expect(response.body).not.toContain('"code":6000');
      const [init] = CALLS;
      const next =
        init && parseRawResponse(await exchange(vod.port, encodeRequest(createRequest(init, plain)), true));
      expect(v.parse(VodResponse, JSON.parse(next?.body ?? '')).code).toBeGreaterThanOrEqual(0);
    },
  );
});
