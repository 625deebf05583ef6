import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startVod, type Vod } from '../../local/vod/server.ts';
import { createRawCos } from '../support/raw-cos.ts';
import { type Applied, apply, callApi, targetOf } from '../support/vod-2018.ts';
import { assertAlways, SECRET } from './invariants.ts';
import { hostileText, jsonText, words } from './values.ts';
import { toHeaderValue, useWatchedFolder } from './wire.ts';

const KEYS = { secretId: 'id', secretKey: SECRET };
const folder = useWatchedFolder();
let vod: Vod;
let applied: Applied;

beforeAll(async () => {
  vod = await startVod({ dir: folder.data, port: 0, secrets: KEYS, signedHost: 'x', quota: false });
  applied = await apply(vod.endpoint, {}, { key: KEYS });
});
afterAll(() => vod.close());

const ACTIONS = words(`
  ApplyUpload CommitUpload ModifyMediaInfo DescribeMediaInfos DescribeFileAttributes DescribeTaskDetail PullUpload
`);
const PARAMS = words(`
  MediaType MediaName CoverType Procedure ExpireTime StorageRegion ClassId SourceContext SessionContext SubAppId
  VodSessionKey FileId FileIds Filters Name Description CoverData AddTags DeleteTags TaskId MediaUrl SessionId __proto__
`);
const CODE =
  /^(InvalidAction|InvalidParameter(Value\.\w+)?|MissingParameter|UnknownParameter|UnsupportedOperation|ResourceNotFound)$/;

/** The text of a JSON object. */
const bodies = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom(...PARAMS), hostileText),
      fc.oneof(
        fc.constantFrom('"mp4"', '"1"', '["1"]', '0', '"http://["', '"2999-01-01T00:00:00Z"'),
        jsonText,
      ),
    ),
    { maxLength: 5 },
  )
  .map((pairs) => `{${pairs.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join()}}`);

async function expectInvariants(text: string): Promise<void> {
  expect(text).not.toContain(SECRET);
  await folder.expectUntouched(Buffer.from(text));
  for (const name of await readdir(join(folder.data, 'files'))) expect(name).toMatch(/^\d{19}\.[a-z0-9]+$/i);
}

test('returns the result or a documented error for any signed call of API 2018-07-17', async () => {
  const calls = fc.tuple(fc.oneof(fc.constantFrom(...ACTIONS), fc.constant('toString')), bodies);
  await assertAlways(calls, 300, async ([action, body]) => {
    const response = await callApi(vod.endpoint, action, {}, { key: KEYS, body });
    if (response.Error) expect(response.Error.Code).toMatch(CODE);
    await expectInvariants(JSON.stringify(response));
  });
});

test('returns the result or a typed error for any signed request to COS', async () => {
  const { Key } = targetOf(applied);
  const names = words(
    'uploads uploadId partNumber prefix max-parts part-number-marker acl delimiter key-marker',
  );
  const requests = fc.record({
    method: fc.constantFrom('GET', 'PUT', 'POST', 'HEAD', 'DELETE', 'OPTIONS'),
    key: fc.oneof(
      fc.constantFrom(Key, '', `${Key}/../canary.txt`),
      hostileText.map((text) => text.toWellFormed()),
    ),
    query: fc.dictionary(
      fc.constantFrom(...names),
      fc.oneof(
        fc.constantFrom('', '0', '1', '10001', '-1'),
        hostileText.map((text) => text.toWellFormed()),
      ),
      { maxKeys: 3 },
    ),
    headers: fc.dictionary(
      fc.constantFrom(
        'range',
        'content-md5',
        'x-cos-forbid-overwrite',
        'x-cos-acl',
        'content-encoding',
        'if-match',
      ),
      hostileText.map((text) => toHeaderValue(text).replaceAll(/[^\x20-\x7e]/g, '')),
      { maxKeys: 2 },
    ),
    body: fc.oneof(fc.constantFrom('', '<CompleteMultipartUpload/>', '<a>'), hostileText),
  });
  const send = createRawCos(vod.cosEndpoint, applied);
  await assertAlways(requests, 300, async (request) => {
    const { status, code, text, headers } = await send(request);
    expect(status).not.toBe(500);
    if (status >= 400 && request.method !== 'HEAD' && headers['content-type'] === 'application/xml') {
      expect(code).toMatch(/^[A-Z]\w+$/);
    }
    await expectInvariants(text);
  });
});
