import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ListeningServer } from '../../local/http-server.ts';
import { startS3 } from '../../local/s3/server.ts';
import { encode } from '../../local/s3/wire/target.ts';
import { CREDENTIALS } from '../support/credentials.ts';
import { sign } from '../support/raw-http.ts';
import { assertAlways, SECRET } from './invariants.ts';
import { corrupt, hostileText, words } from './values.ts';
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

const folder = useWatchedFolder();
const credentials = { ...CREDENTIALS, secretAccessKey: SECRET };
let s3: ListeningServer;

beforeAll(async () => {
  s3 = await startS3({ dir: folder.data, port: 0, credentials, onObjectCreated: async () => {} });
  for (const method of ['PUT /bucket', 'PUT /bucket/key', 'PUT /bucket/%F0%9F%92%A5']) {
    const [verb = '', target = ''] = method.split(' ');
    await exchange(
      s3.port,
      encodeRequest(signRequest({ method: verb, target, headers: [], body: '' })),
      true,
    );
  }
});
afterAll(() => s3.close());

function signRequest(
  { method, target, headers, body }: RawRequest,
  payload = 'UNSIGNED-PAYLOAD',
): RawRequest {
  const fields = {
    connection: 'close',
    'content-length': String(Buffer.byteLength(body)),
    ...Object.fromEntries(headers),
  };
  const [path = '', ...query] = target.split('?');
  const all = sign({
    port: s3.port,
    method,
    path: target,
    signedPath: [canonicalizePath(path), ...query].join('?'),
    headers: fields,
    payload,
    secret: SECRET,
  });
  return { method, target, headers: Object.entries(all), body };
}

/** Returns the path as the signature contains it: decoded once, and encoded like S3 does. */
function canonicalizePath(path: string): string {
  try {
    return encode(decodeURIComponent(path)).replaceAll('%2F', '/');
  } catch {
    return path;
  }
}

const keys = fc.oneof(
  fc.constantFrom(
    '/',
    '/bucket',
    '/bucket/key',
    '/bucket/key',
    '/bucket/%F0%9F%92%A5',
    '/bucket/..%2f..%2fcanary.txt',
    '/%2e%2e/canary.txt',
  ),
  paths,
  paths.map((path) => `/bucket${path}`),
);

const NAMES = words(`
  acl tagging uploads uploadId partNumber delete versioning versions location list-type prefix
  delimiter marker max-keys continuation-token start-after key-marker version-id-marker versionId
  encoding-type response-content-type response-expires fetch-owner max-parts part-number-marker
`);
const VALID_VALUES = ['', '2', '1', '1000', '-1', 'null', 'url', '/', 'k', '0x1', '99999999999999999999'];
const queries = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom(...NAMES), hostileText.map(encodeSafely)),
      fc.oneof(fc.constantFrom(...VALID_VALUES), hostileText.map(encodeSafely)),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => pairs.map(([name, value]) => (value ? `${name}=${value}` : name)).join('&'));

const HEADERS: Readonly<Record<string, readonly string[]>> = {
  range: ['bytes=0-', 'bytes=-1', 'bytes=5-1', 'bytes=0-0,2-3', 'bytes=99999999999999999999-', 'lines=1-2'],
  'if-match': ['*', '"x"', 'W/"x"', '"'],
  'if-none-match': ['*', '"x"'],
  'if-modified-since': ['Sun, 06 Nov 1994 08:49:37 GMT', 'yesterday'],
  'x-amz-copy-source': [
    '/bucket/key',
    'bucket/key?versionId=null',
    'bucket/../../canary.txt',
    '%2e%2e/canary.txt',
    '/',
    'bucket%2fkey',
  ],
  'x-amz-copy-source-range': ['bytes=0-0', 'bytes=9-', 'x'],
  'x-amz-metadata-directive': ['REPLACE', 'COPY', 'x'],
  'x-amz-tagging': ['a=b', 'a=%ff', 'a=b&a=c', '__proto__=1', '='],
  'x-amz-tagging-directive': ['REPLACE', 'COPY'],
  'x-amz-acl': ['private', 'constructor', 'public-read'],
  'x-amz-grant-read': ['id="x"', 'uri="', 'id=x, uri=y'],
  'x-amz-storage-class': ['STANDARD', 'GLACIER', 'x'],
  'x-amz-server-side-encryption': ['AES256', 'aws:kms', 'x'],
  'x-amz-meta-a': ['b'],
  'x-amz-meta-__proto__': ['p'],
  'x-amz-checksum-sha1': ['2jmj7l5rSw0yVb/vlWAYkK/YBwk=', 'x'],
  'x-amz-checksum-algorithm': ['SHA1', 'CRC64NVME', 'x'],
  'x-amz-checksum-type': ['FULL_OBJECT', 'COMPOSITE'],
  'x-amz-sdk-checksum-algorithm': ['SHA1', 'x'],
  'x-amz-mp-object-size': ['0', '1e9', 'x'],
  'x-amz-object-lock-mode': ['GOVERNANCE'],
  'x-amz-object-lock-retain-until-date': ['2100-01-01T00:00:00Z', 'x'],
  'x-amz-object-lock-event-hold': ['ON', 'OFF', 'x'],
  'x-amz-object-lock-event-hold-duration-days': ['30', '0', 'x'],
  'x-amz-object-lock-event-hold-duration-years': ['7', '-1'],
  'x-amz-website-redirect-location': ['/x', 'http://x'],
  'x-amz-decoded-content-length': ['0', '5', '-1', '1e3'],
  'x-amz-trailer': ['x-amz-checksum-crc32', 'x'],
  'content-type': [
    'multipart/form-data',
    'multipart/form-data; boundary=xyz',
    'multipart/form-data; boundary=',
    'text/plain; charset="',
  ],
  'content-md5': ['1B2M2Y8AsgTpgAmY7PhCfg==', 'x'],
  'content-encoding': ['aws-chunked', 'gzip, aws-chunked', 'gzip'],
  expect: ['100-continue', 'x'],
};
const headers = fc.array(
  fc
    .constantFrom(...Object.entries(HEADERS))
    .chain(([name, values]) =>
      fc
        .oneof(fc.constantFrom(...values), corrupt(fc.constantFrom(...values)), hostileText)
        .map((value): [string, string] => [name, toHeaderValue(value)]),
    ),
  { maxLength: 4 },
);

const XML = [
  '<CreateBucketConfiguration><LocationConstraint>eu</LocationConstraint></CreateBucketConfiguration>',
  '<Delete><Quiet>true</Quiet><Object><Key>k</Key><VersionId>null</VersionId></Object></Delete>',
  '<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>',
  '<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>',
  '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag></Part></CompleteMultipartUpload>',
  '<AccessControlPolicy><AccessControlList><Grant><Grantee xmlns:xsi="x" xsi:type="Group"><URI>u</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>',
];
const BOMBS = [
  '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><Delete><Object><Key>&c;</Key></Object></Delete>',
  '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&f;</Key></Object></Delete>',
  `${'<Delete>'.repeat(5_000)}${'</Delete>'.repeat(5_000)}`,
  '<Delete><__proto__><polluted>1</polluted></__proto__><Object><Key>&constructor;&#xD800;&#99999999;</Key></Object></Delete>',
  '<Delete><constructor><prototype>1</prototype></constructor></Delete>',
];
const CHUNKED = [
  '5;chunk-signature=00\r\nhello\r\n0;chunk-signature=00\r\n\r\n',
  '5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n',
  'ffffffffffff\r\nx',
  '-1\r\n',
];
const FORM = [
  'policy',
  'key',
  'tagging',
  'acl',
  'x-amz-meta-a b',
  'x-amz-meta-c',
  'content-type',
  'success_action_redirect',
  'success_action_status',
  'file',
]
  .map((name) => `--xyz\r\ncontent-disposition: form-data; name="${name}"; filename="f"\r\n\r\nv\r\n`)
  .join('');
const bodies = fc.oneof(
  { arbitrary: fc.constant(''), weight: 2 },
  { arbitrary: corrupt(fc.constantFrom(...XML)), weight: 4 },
  { arbitrary: corrupt(fc.constantFrom(...BOMBS)), weight: 2 },
  { arbitrary: corrupt(fc.constantFrom(...CHUNKED)), weight: 2 },
  { arbitrary: corrupt(fc.constant(`${FORM}--xyz--\r\n`)), weight: 1 },
  { arbitrary: hostileText, weight: 1 },
);

/** One request per operation, so that each operation is tried often. */
const OPERATIONS = [
  'GET /',
  'GET /bucket?list-type=2',
  'GET /bucket?versions',
  'GET /bucket?uploads',
  'PUT /bucket-2',
  'PUT /bucket?versioning',
  'POST /bucket?delete',
  'POST /bucket',
  'GET /bucket/key',
  'HEAD /bucket/key',
  'PUT /bucket/key',
  'PUT /bucket/key?tagging',
  'PUT /bucket/key?acl',
  'GET /bucket/key?acl',
  'POST /bucket/key?uploads',
  'POST /bucket/key?uploadId=x',
  'PUT /bucket/key?partNumber=1&uploadId=x',
  'DELETE /bucket/key',
];
const requests: fc.Arbitrary<RawRequest> = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(...OPERATIONS),
      fc
        .tuple(
          fc.constantFrom('GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'TRACE'),
          keys,
          queries,
        )
        .map(([method, path, query]) => `${method} ${path}${query && `?${query}`}`),
    ),
    fc.oneof(fc.constant(''), queries),
    headers,
    bodies,
  )
  .map(([operation, more, fields, body]) => {
    const [method = '', target = ''] = operation.split(' ');
    return {
      method,
      target: more ? `${target}${target.includes('?') ? '&' : '?'}${more}` : target,
      headers: fields,
      body,
    };
  });

const payloads = fc.constantFrom(
  'UNSIGNED-PAYLOAD',
  'UNSIGNED-PAYLOAD',
  'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
  'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
  'STREAMING-X',
  'x',
  'e'.repeat(64),
);

/** A response follows S3's documentation. `InternalError` would be a defect of the server. */
function expectDocumented(response: RawResponse | undefined): void {
  expect(response).toBeDefined();
  if (!response) return;
  expect(response.body).not.toContain('InternalError');
  expect([200, 204, 206, 303, 304, 400, 403, 404, 405, 409, 411, 412, 416, 417, 431, 501]).toContain(
    response.status,
  );
  if (response.body.startsWith('<?xml'))
    expect(response.body).toMatch(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n<\w+/);
}

async function expectInvariants(bytes: Buffer, isComplete: boolean): Promise<RawResponse | undefined> {
  const response = await exchange(s3.port, bytes, isComplete);
  expect(response.includes(SECRET)).toBe(false);
  await folder.expectUntouched(response);
  for (const name of await readdir(join(folder.data, 'buckets')))
    expect(name).toMatch(/^[a-z0-9][a-z0-9.-]+$/);
  return parseRawResponse(response);
}

test('returns the result or a documented error for any signed request', async () => {
  await assertAlways(fc.tuple(requests, payloads), 200, async ([request, payload]) => {
    const expects100 = request.headers.some(([name]) => name === 'expect');
    const response = await expectInvariants(encodeRequest(signRequest(request, payload)), true);
    if (!expects100) expectDocumented(response);
  });
});

test('survives bytes that are no complete request, and serves the next one', async () => {
  await assertAlways(fc.tuple(requests, cuts, fc.boolean()), 100, async ([request, edits, isSigned]) => {
    const start = encodeRequest(isSigned ? signRequest(request) : request);
    const response = await expectInvariants(corruptBytes(start, edits), false);
    if (response) expect(response.body).not.toContain('InternalError');
    const next = { method: 'GET', target: '/bucket/%F0%9F%92%A5', headers: [], body: '' };
    expect(
      parseRawResponse(await exchange(s3.port, encodeRequest(signRequest(next)), true))?.status,
    ).toBeLessThan(405);
  });
});
