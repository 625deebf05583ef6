import { expect, test } from 'vitest';
import { BUCKET, useS3 } from '../../support/local-s3.ts';
import { send, sendSigned } from '../../support/raw-http.ts';

/** What fuzzing has found; `test/fuzz/s3.test.ts` looks for more. */

const s3 = useS3();
const signed = (method: string, path: string, body = '', headers = {}) =>
  sendSigned({ port: s3.port, method, path, body, headers });

test.each([
  ['names that JavaScript reserves', '<Delete><__proto__>1</__proto__></Delete>'],
  ['a constructor', '<Delete><constructor/><Object><Key>k</Key></Object></Delete>'],
  ['elements nested without end', `${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}`],
  ['half of a surrogate pair', '<Delete><Object><Key>&#xD800;</Key></Object></Delete>'],
])('%s: malformed XML, not a fault of this server', async (_, body) => {
  expect(await signed('POST', `/${BUCKET}?delete`, body)).toMatchObject({
    status: 400,
    code: 'MalformedXML',
  });
});

test('an entity that XML does not have is left as it stands', async () => {
  const { status, body } = await signed(
    'POST',
    `/${BUCKET}?delete`,
    '<Delete><Object><Key>&constructor;</Key></Object></Delete>',
  );
  expect({ status, body }).toEqual({
    status: 200,
    body: expect.stringContaining('<Key>&amp;constructor;</Key>'),
  });
});

test('metadata may be named as JavaScript names its own, also after a restart', async () => {
  const metadata = {
    'x-amz-meta-__proto__': 'a',
    'x-amz-meta-constructor': 'b',
    'x-amz-meta-prototype': 'c',
    'x-amz-meta-tostring': 'd',
  };
  await signed('PUT', `/${BUCKET}/named`, '', metadata);
  expect((await signed('HEAD', `/${BUCKET}/named`)).headers).toMatchObject(metadata);
  await s3.restart();
  expect((await signed('HEAD', `/${BUCKET}/named`)).headers).toMatchObject(metadata);
});

test('a version that can have no name is refused', async () => {
  expect(await signed('DELETE', `/${BUCKET}/none?versionId=%E2%80%A8`)).toMatchObject({
    status: 400,
    code: 'InvalidArgument',
  });
});

test.each(['multipart/form-data', 'multipart/form-data; boundary='])(
  'a form without a boundary, %s, is malformed',
  async (type) => {
    const answer = await send({
      port: s3.port,
      method: 'POST',
      path: `/${BUCKET}`,
      headers: { 'content-type': type },
      body: 'x',
    });
    expect(answer).toMatchObject({ status: 400, code: 'MalformedPOSTRequest' });
  },
);
