import * as sdk from '@aws-sdk/client-s3';
import { NormalizedSchema } from '@smithy/core/schema';
import type { StaticOperationSchema } from '@smithy/types';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { PARAMETERS } from '../../../local/s3/parameters.ts';
import { BUCKET, failureOf, useS3 } from '../../support/local-s3.ts';
import { presign } from '../../support/raw-http.ts';

const s3 = useS3();

type Call = Readonly<{
  name: string;
  method: string;
  /** With its subresources. */
  path: string;
  /** `?name` of a query parameter, or the name of a header in lower case. */
  parameters: readonly string[];
}>;

const isOperation = (exported: unknown): exported is StaticOperationSchema =>
  Array.isArray(exported) && exported[0] === 9;

function describeCall([, , name, traits, input]: StaticOperationSchema): Call {
  const { http: [method = '', uri = ''] = [] } = v.parse(v.object({ http: v.array(v.any()) }), traits);
  const query = uri.split('?')[1]?.replace(/&?x-id=\w+/, '') ?? '';
  const parameters = [...NormalizedSchema.of(input).structIterator()].flatMap(([, member]) => {
    const { httpQuery, httpHeader, httpPrefixHeaders } = member.getMergedTraits();
    if (httpQuery) return [`?${httpQuery}`];
    return httpHeader || httpPrefixHeaders ? [`${httpHeader ?? httpPrefixHeaders}`.toLowerCase()] : [];
  });
  const path = `/${BUCKET}${uri.includes('{Key+}') ? '/key' : ''}${query && `?${query}`}`;
  return { name, method, path, parameters };
}

/** The calls of the SDK's model. */
const CALLS = Object.values(sdk)
  .filter(isOperation)
  .map(describeCall)
  // It has another host.
  .filter(({ name }) => name !== 'WriteGetObjectResponse');

const isImplemented = ({ name }: Call): boolean => name in PARAMETERS;

/** Headers that every operation accepts. */
const COMMON = ['x-amz-expected-bucket-owner', 'x-amz-request-payer'];

/** Parameters that belong to the path of the operation, or that the SDK sends itself. */
const IN_PATH = ['?uploadId', '?annotationName'];

describe('the model of the SDK', () => {
  test('contains every implemented operation except the form', () => {
    const names = Object.keys(PARAMETERS).filter((name) => name !== 'PostObject');
    expect(
      CALLS.filter(isImplemented)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(names.sort());
  });

  test.each(CALLS.filter((call) => !isImplemented(call)))('$name returns 501', async (call) => {
    const parameters = call.parameters.filter((name) => name.startsWith('?'));
    const query = parameters.map((name) => `${name.slice(1)}=x`).join('&');
    const path = `${call.path}${call.path.includes('?') ? '&' : '?'}${query}`;
    const { status } = await s3.sendSigned({ method: call.method, path: path.replace(/[?&]$/, '') });
    expect(status).toBe(501);
  });

  const unsupported = CALLS.filter(isImplemented).flatMap((call) => {
    const supported = new Set<string>(PARAMETERS[call.name as keyof typeof PARAMETERS]);
    return call.parameters
      .filter((name) => !supported.has(name) && !COMMON.includes(name) && !IN_PATH.includes(name))
      .map((parameter) => ({ ...call, parameter }));
  });

  test.each(unsupported)('$name returns 501 for $parameter', async ({ method, path, parameter }) => {
    const isQuery = parameter.startsWith('?');
    const join = path.includes('?') ? '&' : '?';
    const { status } = await s3.sendSigned({
      method,
      path: isQuery ? `${path}${join}${parameter.slice(1)}=x` : path,
      headers: isQuery ? {} : { [parameter]: 'x' },
    });
    expect(status).toBe(501);
  });
});

test('a header or a parameter that the model does not contain returns 501', async () => {
  const path = `/${BUCKET}/key`;
  const header = await s3.sendSigned({ path, headers: { 'x-amz-unheard-of': '1' } });
  expect(header).toMatchObject({
    status: 501,
    body: expect.stringContaining('<Header>x-amz-unheard-of</Header>'),
  });
  const parameter = await s3.sendSigned({ path: `${path}?unheard-of=1` });
  expect(parameter).toMatchObject({ status: 501, code: 'NotImplemented' });
});

test('another expected owner of the bucket is denied, the account of the server is not', async () => {
  await s3.put('owned');
  const read = (ExpectedBucketOwner: string) => failureOf(s3.getText('owned', { ExpectedBucketOwner }));
  expect(await read('000000000000')).toBe('succeeded');
  expect(await read('111122223333')).toBe('403 AccessDenied');
  const copy = (ExpectedSourceBucketOwner: string) =>
    failureOf(
      s3.client.copyObject({
        ...{ Bucket: BUCKET, Key: 'copy', CopySource: `${BUCKET}/owned` },
        ExpectedSourceBucketOwner,
      }),
    );
  expect(await copy('000000000000')).toBe('succeeded');
  expect(await copy('111122223333')).toBe('403 AccessDenied');
});

test('headers that the signer of a URL moved into the query apply', async () => {
  const path = `/${BUCKET}/hoisted?x-amz-meta-title=%E7%89%87&x-amz-storage-class=STANDARD_IA`;
  const url = presign({ port: s3.server.port, method: 'PUT', path, expires: 60 });
  expect(await s3.send({ method: 'PUT', path: url, body: 'x' })).toMatchObject({ status: 200 });
  const { headers } = await s3.sendSigned({ method: 'HEAD', path: `/${BUCKET}/hoisted` });
  expect(headers['x-amz-storage-class']).toBe('STANDARD_IA');
  expect(Buffer.from(String(headers['x-amz-meta-title']), 'latin1').toString()).toBe('片');
});
