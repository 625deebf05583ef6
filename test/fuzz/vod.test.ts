import { randomInt } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { signedQuery } from '../../lib/vod/signature.ts';
import { startVod, type Vod } from '../../local/vod/server.ts';
import { VOD_ERRORS } from '../../local/vod/vod-error.ts';
import { hash } from '../support/values.ts';
import { always, DOOR_MS, SECRET } from './invariants.ts';
import { nasty } from './values.ts';
import {
  type Answer,
  bytesOf,
  cuts,
  encodeSafely,
  exchange,
  onLine,
  paths,
  type Request,
  readAnswer,
  spoiltBytes,
  useFolder,
} from './wire.ts';

/** The local VOD service, by whatever request; see `law.ts`. */

const HOST = 'vod2.qcloud.com';
const PATH = '/v2/index.php';
const folder = useFolder();
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

/** In an order in which they work. */
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

const PARAMS = [
  'Action',
  'Region',
  'SecretId',
  'Timestamp',
  'Nonce',
  'SignatureMethod',
  'Token',
  'fileName',
  'fileSha',
  'fileSize',
  'fileType',
  'dataSize',
  'dataMd5',
  'offset',
  'classId',
  'tags.1',
  'tags.2',
  'tag.1',
  'tags',
  'isTranscode',
  'extra.usage',
  'extra.fileId',
  '__proto__',
];
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
  fc.tuple(fc.oneof(fc.constantFrom(...PARAMS), nasty), fc.oneof(fc.constantFrom(...VALUES), nasty)),
  { maxLength: 3 },
);

type Way = Readonly<{
  changed: readonly (readonly [string, string])[];
  path: string;
  body: string | undefined;
  headers: readonly (readonly [string, string])[];
  method: string | undefined;
}>;
const ways: fc.Arbitrary<Way> = fc.record({
  changed: changes,
  path: fc.oneof(
    { arbitrary: fc.constantFrom(PATH, '/v3/index.php'), weight: 8 },
    { arbitrary: paths, weight: 1 },
  ),
  body: fc.option(fc.oneof(fc.constant(''), nasty, fc.constant('x'.repeat(100_000))), {
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
      fc.oneof(
        fc.constantFrom('chunked', '100-continue', 'gzip'),
        nasty.map(onLine).map((text) => Buffer.from(text).toString('latin1').trim()),
      ),
    ),
    { maxLength: 1 },
  ),
  method: fc.option(fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS'), {
    nil: undefined,
    freq: 1,
  }),
});

function requestOf(call: (typeof CALLS)[number], way: Way): Request {
  const method = way.method ?? call.method;
  const body = way.body ?? call.body;
  const plain = {
    ...common,
    ...call.params,
    Timestamp: String(Math.floor(Date.now() / 1000)),
    Nonce: String(randomInt(1, 2 ** 47)),
  };
  const changed = way.changed.map(([name, value]) => [name.toWellFormed(), value.toWellFormed()]);
  const params = Object.fromEntries([...Object.entries(plain), ...changed]);
  const query = signedQuery(SECRET, method, HOST, way.path, params);
  return {
    method,
    target: `${way.path}?${query}`,
    headers: [
      ['host', '127.0.0.1'],
      ['connection', 'close'],
      ['content-length', String(Buffer.byteLength(body))],
      ...way.headers,
    ],
    body,
  };
}

const KNOWN = new Set<number>([0, 1, 2, ...Object.values(VOD_ERRORS).map(({ code }) => code)]);
const Reply = v.object({
  code: v.number(),
  message: v.string(),
  codeDesc: v.string(),
  canRetry: v.picklist([0, 1]),
});

/** A reply in the shape that the protocol gives it; code 6000 would be a fault of the service. */
function expectDocumented({ status, body }: Answer): void {
  if ([400, 408, 413, 417, 431].includes(status) && body === '') return; // what Node's own parser refuses
  expect([200, 404, 405]).toContain(status);
  const reply = v.parse(Reply, JSON.parse(body));
  expect(KNOWN).toContain(reply.code);
  expect(reply.code).not.toBe(VOD_ERRORS.internal.code);
  expect(body.length).toBeLessThan(32 * 1024);
}

async function expectLawful(bytes: Buffer, whole: boolean): Promise<Answer | undefined> {
  const said = await exchange(vod.port, bytes, whole);
  expect(said.includes(SECRET)).toBe(false);
  await folder.expectUntouched(said);
  expect(
    (await readdir(folder.data)).filter(
      (name) => !['files', 'uploads', 'index.json', 'index.json.new'].includes(name),
    ),
  ).toEqual([]);
  for (const name of await readdir(join(folder.data, 'uploads')))
    expect(name).toMatch(/^[0-9a-f]{40}\.(data|journal)$/);
  for (const name of await readdir(join(folder.data, 'files')))
    expect(name).toMatch(/^[0-9]+\.[A-Za-z0-9]{1,10}(\.new)?$/);
  return readAnswer(said);
}

test(
  'signed calls of every kind, some of it wrong: the result, or a refusal by the rules of the protocol',
  async () => {
    const calls = fc.array(fc.tuple(fc.constantFrom(...CALLS), ways), { minLength: 1, maxLength: 4 });
    await always(calls, 60, async (all) => {
      for (const [call, way] of all) {
        const request = requestOf(call, way);
        const answer = await expectLawful(bytesOf(request), true);
        const isRead =
          request.method !== 'HEAD' &&
          way.headers.every(([name]) => !['expect', 'transfer-encoding'].includes(name));
        if (isRead) expect(answer).toBeDefined();
        if (answer && isRead) expectDocumented(answer);
      }
    });
  },
  DOOR_MS,
);

test(
  'files by whatever name: the file, or none',
  async () => {
    const names = fc.oneof(
      paths,
      fc
        .tuple(nasty.map(encodeSafely), fc.constantFrom('', '.mp4', '/..', '%2f..%2f..%2fcanary.txt'))
        .map((texts) => `/${texts.join('')}`),
    );
    await always(names, 100, async (name) => {
      const request = {
        method: 'GET',
        target: `/files${name}`,
        headers: [
          ['host', 'x'],
          ['connection', 'close'],
        ] as const,
        body: '',
      };
      const answer = await expectLawful(bytesOf(request), true);
      expect(answer?.status).toBeGreaterThanOrEqual(400);
    });
  },
  DOOR_MS,
);

test(
  'bytes that are no request, or not a whole one: refused, or hung up on; and it goes on',
  async () => {
    const plain: Way = { changed: [], path: PATH, body: undefined, headers: [], method: undefined };
    await always(fc.tuple(fc.constantFrom(...CALLS), ways, cuts), 100, async ([call, way, spoils]) => {
      const answer = await expectLawful(spoiltBytes(bytesOf(requestOf(call, way)), spoils), false);
      if (answer) expect(answer.body).not.toContain('"code":6000');
      const [init] = CALLS;
      const well = init && readAnswer(await exchange(vod.port, bytesOf(requestOf(init, plain)), true));
      expect(v.parse(Reply, JSON.parse(well?.body ?? '')).code).toBeGreaterThanOrEqual(0);
    });
  },
  DOOR_MS,
);
