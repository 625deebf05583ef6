import { createServer, type ServerResponse } from 'node:http';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FileId, Sha1 } from '../../lib/schemas.ts';
import { missingParts } from '../../lib/upload/plan.ts';
import { createVodClient, type VodClient } from '../../lib/vod/client.ts';
import { readPartList } from '../../lib/vod/part-list.ts';
import { parseResponse } from '../../lib/vod/responses.ts';
import { type ListeningServer, listen } from '../../local/http-server.ts';
import { admitted, always, DOOR_MS, SECRET } from './invariants.ts';
import { jsonText, mutated, nasty, spoilt } from './values.ts';

/** What VOD, or whoever stands in its place, answers; see `law.ts`. */

const MIB = 1_048_576;
const SIZE = 5 * MIB + 1;
const listed = (n: number) => ({ offset: n * MIB, dataSize: MIB, dataMd5: 'a'.repeat(32) });
const plain = { message: '', codeDesc: 'Success', canRetry: 0 };

const GOOD: readonly unknown[] = [
  { ...plain, code: 0 },
  { ...plain, code: 1, dataSize: MIB, listParts: [listed(0), listed(3)] },
  { ...plain, code: 1, listParts: [{ offset: 0, dataSize: 524_288, dataSha: 'b'.repeat(40) }] },
  { ...plain, code: 2, fileId: '5285890784273533167', url: 'http://vod.example/5285890784273533167.mp4' },
  { ...plain, code: 0, fileId: 5285890784, url: 'http://vod.example/a.mp4' },
  { code: -10005, message: 'no upload', codeDesc: 'read', canRetry: 0 },
  { code: 4400, message: 'slow down', codeDesc: 'quota', canRetry: 1 },
];

const texts: fc.Arbitrary<string> = fc.oneof(
  mutated(GOOD).map((reply) => JSON.stringify(reply)),
  fc.tuple(fc.constantFrom(0, 2), nasty).map(([code, url]) => JSON.stringify({ code, fileId: '1', url })),
  spoilt(fc.constantFrom(...GOOD).map((reply) => JSON.stringify(reply))),
  jsonText,
  nasty,
);

/** In pieces, and perhaps broken off. */
const replies = fc.record({
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
  breaksOff: fc.constantFrom(false, false, false, true),
});
type Reply = typeof replies extends fc.Arbitrary<infer T> ? T : never;

function answer(response: ServerResponse, { status, text, cuts, breaksOff }: Reply): void {
  const bytes = Buffer.from(text);
  response.writeHead(status, {
    location: 'http://127.0.0.1:1/elsewhere',
    ...(breaksOff && { 'content-length': bytes.length + 10 }),
  });
  let from = 0;
  for (const end of [
    ...cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b),
    bytes.length,
  ]) {
    response.write(bytes.subarray(from, end));
    from = end;
  }
  if (breaksOff) response.destroy();
  else response.end();
}

const shas = v.pipe(
  v.number(),
  v.transform((n) => String(n).padStart(40, '0')),
  Sha1,
);
let replyTo: readonly Reply[] = [];
let service: ListeningServer;

beforeAll(async () => {
  const server = createServer((request, response) => {
    request.resume();
    const reply = replyTo[Number(new URL(request.url ?? '', 'http://x').searchParams.get('fileSha'))];
    request.on('end', () => (reply ? answer(response, reply) : response.destroy()));
  });
  service = await listen(server, 0);
});
afterAll(() => service.close());

/** The client, whose first call is its last: a quota that lets nobody in twice. */
function clientFor(once: AbortController): VodClient {
  let asked = 0;
  return createVodClient(
    {
      endpoint: new URL('/v2/index.php', service.endpoint),
      host: 'vod2.qcloud.com',
      region: 'gz',
      secrets: { secretId: 'id', secretKey: SECRET, token: SECRET },
    },
    {
      take: async () => {
        if (asked++ === 0) return;
        once.abort();
        once.signal.throwIfAborted();
      },
      pause: async () => {},
      close: () => {},
    },
  );
}

test(
  'replies: what they say, or an error of the chain; nothing is held or stored that they do not say',
  async () => {
    await always(fc.array(replies, { minLength: 1, maxLength: 100, size: 'max' }), 3, async (all) => {
      replyTo = all;
      await Promise.all(all.map((_, n) => askAll(v.parse(shas, n))));
    });
  },
  DOOR_MS,
);

async function askAll(sha1: Sha1): Promise<void> {
  const file = { sha1, size: SIZE, fileName: 'n', fileType: 'mp4', options: {} };
  const asks: ((vod: VodClient, signal: AbortSignal) => Promise<unknown>)[] = [
    async (vod, signal) => {
      const opened = await vod.initUpload(file, signal);
      if (opened.state === 'stored') return expectStored(opened.file, sha1);
      expect(opened.partSize).toBeGreaterThanOrEqual(524_288);
      expect(opened.partSize).toBeLessThanOrEqual(MIB);
      const missing = missingParts(opened.held, { sha1, size: SIZE, partSize: opened.partSize });
      expect(missing.length).toBeLessThanOrEqual(Math.ceil(SIZE / opened.partSize));
    },
    (vod, signal) => vod.uploadPart(sha1, { offset: 0, size: 3 }, Buffer.from('abc'), signal),
    async (vod, signal) => expectStored(await vod.finishUpload(sha1, signal), sha1),
  ];
  const askOnce = async (ask: (typeof asks)[number]): Promise<void> => {
    const once = new AbortController();
    const vod = clientFor(once);
    try {
      await admitted(() => ask(vod, once.signal));
    } finally {
      vod.close();
    }
  };
  await Promise.all(asks.map(askOnce));
}

/** What is written onto an object has to fit there: a header's value, in 2 KB with all else. */
function expectStored(
  { fileId, url, sha1 }: { fileId: string; url: string; sha1: string },
  expected: string,
): void {
  expect(v.parse(FileId, fileId)).toBe(fileId);
  expect(url).toMatch(/^[\x21-\x7e]{0,1024}$/);
  expect(sha1).toBe(expected);
}

async function* inPieces(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const Parts = v.array(v.object({ offset: v.number(), dataSize: v.number() }));

test(
  'listParts: as JSON.parse has it, however it comes in pieces; or no reply at all',
  async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
    await always(fc.tuple(texts, sizes), 400, async ([text, pieces]) => {
      const read = await admitted(
        () => readPartList(inPieces(text, pieces)),
        (error) => error instanceof SyntaxError || error instanceof v.ValiError,
      );
      if ('refused' in read) return;
      const { parts, text: around } = read.value;
      const reply = parseResponse(around);
      if (!('response' in reply) || reply.response.code !== 1 || !text.includes('listParts')) return;
      const whole = v.safeParse(v.object({ listParts: Parts }), parsed(text));
      if (whole.success) expect([...parts]).toEqual(whole.output.listParts);
    });
  },
  DOOR_MS,
);

test(
  'a reply that is cut short is no reply',
  async () => {
    await always(fc.tuple(fc.constantFrom(...GOOD), fc.nat()), 200, async ([reply, at]) => {
      const text = JSON.stringify(reply);
      const cut = text.slice(0, at % text.length);
      const read = await admitted(
        () => readPartList(inPieces(cut, [7])),
        () => true,
      );
      if ('value' in read) expect(parseResponse(read.value.text)).toHaveProperty('problem');
    });
  },
  DOOR_MS,
);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
