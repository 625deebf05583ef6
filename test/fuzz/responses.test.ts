import { createServer, type ServerResponse } from 'node:http';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FileId, Sha1 } from '../../lib/schemas.ts';
import { missingParts } from '../../lib/upload/plan.ts';
import { createVodClient, type VodClient } from '../../lib/vod/v2/client.ts';
import { readPartList } from '../../lib/vod/v2/part-list.ts';
import { parseResponse } from '../../lib/vod/v2/responses.ts';
import { type ListeningServer, listen } from '../../local/http-server.ts';
import { MIB } from '../support/values.ts';
import { assertAlways, attempt, SECRET } from './invariants.ts';
import { corrupt, hostileText, jsonText, mutate } from './values.ts';

const SIZE = 5 * MIB + 1;
const listed = (n: number) => ({ offset: n * MIB, dataSize: MIB, dataMd5: 'a'.repeat(32) });
const plain = { message: '', codeDesc: 'Success', canRetry: 0 };

const VALID: readonly unknown[] = [
  { ...plain, code: 0 },
  { ...plain, code: 1, dataSize: MIB, listParts: [listed(0), listed(3)] },
  { ...plain, code: 1, listParts: [{ offset: 0, dataSize: 524_288, dataSha: 'b'.repeat(40) }] },
  { ...plain, code: 2, fileId: '5285890784273533167', url: 'http://vod.example/5285890784273533167.mp4' },
  { ...plain, code: 0, fileId: 5285890784, url: 'http://vod.example/a.mp4' },
  { code: -10005, message: 'no upload', codeDesc: 'read', canRetry: 0 },
  { code: 4400, message: 'slow down', codeDesc: 'quota', canRetry: 1 },
];

const texts: fc.Arbitrary<string> = fc.oneof(
  mutate(VALID).map((response) => JSON.stringify(response)),
  fc
    .tuple(fc.constantFrom(0, 2), hostileText)
    .map(([code, url]) => JSON.stringify({ code, fileId: '1', url })),
  corrupt(fc.constantFrom(...VALID).map((response) => JSON.stringify(response))),
  jsonText,
  hostileText,
);

/** A response that arrives in pieces, and may be cut off. */
const responses = fc.record({
  status: fc.constantFrom(
    200,
    200,
    200,
    200,
    200,
    204,
    301,
    302,
    400,
    401,
    403,
    404,
    418,
    429,
    500,
    502,
    503,
  ),
  text: texts,
  cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
  isCutOff: fc.constantFrom(false, false, false, true),
});
type VodResponse = typeof responses extends fc.Arbitrary<infer T> ? T : never;

function respond(response: ServerResponse, { status, text, cuts, isCutOff }: VodResponse): void {
  const bytes = Buffer.from(text);
  response.writeHead(status, {
    location: 'http://127.0.0.1:1/elsewhere',
    ...(isCutOff && { 'content-length': bytes.length + 10 }),
  });
  let from = 0;
  for (const end of [
    ...cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b),
    bytes.length,
  ]) {
    response.write(bytes.subarray(from, end));
    from = end;
  }
  if (isCutOff) response.destroy();
  else response.end();
}

const NumberedSha1 = v.pipe(
  v.number(),
  v.transform((n) => String(n).padStart(40, '0')),
  Sha1,
);
let responseTo: readonly VodResponse[] = [];
let service: ListeningServer;

beforeAll(async () => {
  const server = createServer((request, response) => {
    request.resume();
    const vodResponse =
      responseTo[Number(new URL(request.url ?? '', 'http://x').searchParams.get('fileSha'))];
    request.on('end', () => (vodResponse ? respond(response, vodResponse) : response.destroy()));
  });
  service = await listen(server, 0);
});
afterAll(() => service.close());

/** Creates a client that makes one call: its quota aborts the second. */
function clientFor(once: AbortController): VodClient {
  let requests = 0;
  return createVodClient(
    {
      endpoint: new URL('/v2/index.php', service.endpoint),
      host: 'vod2.qcloud.com',
      region: 'gz',
      secrets: { secretId: 'id', secretKey: SECRET, token: SECRET },
    },
    {
      take: async () => {
        if (requests++ === 0) return;
        once.abort();
        once.signal.throwIfAborted();
      },
      pause: async () => {},
    },
  );
}

test('returns what a response says or a typed error', async () => {
  await assertAlways(fc.array(responses, { minLength: 1, maxLength: 100, size: 'max' }), 3, async (all) => {
    responseTo = all;
    await Promise.all(all.map((_, n) => callAll(v.parse(NumberedSha1, n))));
  });
});

async function callAll(sha1: Sha1): Promise<void> {
  const file = { sha1, size: SIZE, fileName: 'n', fileType: 'mp4', options: {} };
  const calls: ((vod: VodClient, signal: AbortSignal) => Promise<unknown>)[] = [
    async (vod, signal) => {
      const upload = await vod.initUpload(file, signal);
      if (upload.state === 'stored') return expectStored(upload.file, sha1);
      expect(upload.partSize).toBeGreaterThanOrEqual(524_288);
      expect(upload.partSize).toBeLessThanOrEqual(MIB);
      const missing = missingParts(upload.held, { size: SIZE, partSize: upload.partSize });
      expect(missing.length).toBeLessThanOrEqual(Math.ceil(SIZE / upload.partSize));
    },
    (vod, signal) => vod.uploadPart(sha1, { offset: 0, size: 3 }, Buffer.from('abc'), signal),
    async (vod, signal) => expectStored(await vod.finishUpload(sha1, signal), sha1),
  ];
  const callOnce = async (call: (typeof calls)[number]): Promise<void> => {
    const once = new AbortController();
    const vod = clientFor(once);
    try {
      await attempt(() => call(vod, once.signal));
    } finally {
      vod.close();
    }
  };
  await Promise.all(calls.map(callOnce));
}

/** The write-back stores these values in headers, which may have 2 KB in total. */
function expectStored(
  { fileId, url, sha1 }: { fileId: string; url: string; sha1: string },
  expected: string,
): void {
  expect(v.parse(FileId, fileId)).toBe(fileId);
  expect(url).toMatch(/^[\x21-\x7e]{0,1024}$/);
  expect(sha1).toBe(expected);
}

async function* splitText(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const Parts = v.array(v.object({ offset: v.number(), dataSize: v.number() }));

test('reads listParts like JSON.parse, whatever the pieces', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
  await assertAlways(fc.tuple(texts, sizes), 400, async ([text, pieces]) => {
    const read = await attempt(
      () => readPartList(splitText(text, pieces)),
      (error) => error instanceof SyntaxError || error instanceof v.ValiError,
    );
    if ('error' in read) return;
    const { parts, text: around } = read.value;
    const response = parseResponse(around);
    if (!('response' in response) || response.response.code !== 1 || !text.includes('listParts')) return;
    const whole = v.safeParse(v.object({ listParts: Parts }), parsed(text));
    if (whole.success) expect([...parts]).toEqual(whole.output.listParts);
  });
});

test('accepts no response that is cut off', async () => {
  await assertAlways(fc.tuple(fc.constantFrom(...VALID), fc.nat()), 200, async ([response, at]) => {
    const text = JSON.stringify(response);
    const cut = text.slice(0, at % text.length);
    const read = await attempt(
      () => readPartList(splitText(cut, [7])),
      () => true,
    );
    if ('value' in read) expect(parseResponse(read.value.text)).toHaveProperty('problem');
  });
});

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
