import { describe, expect, test } from 'vitest';
import { BUCKET, useS3 } from '../../support/local-s3.ts';

/** Inputs that once broke the server. `test/fuzz/s3.test.ts` searches for more. */

const s3 = useS3();
const signed = (method: string, path: string, body = '', headers = {}) =>
  s3.sendSigned({ method, path, body, headers });

describe('inputs that fuzzing found', () => {
  test.each([
    ['reserved JavaScript names', '<Delete><__proto__>1</__proto__></Delete>'],
    ['a constructor', '<Delete><constructor/><Object><Key>k</Key></Object></Delete>'],
    ['deeply nested elements', `${'<a>'.repeat(5000)}${'</a>'.repeat(5000)}`],
    ['half of a surrogate pair', '<Delete><Object><Key>&#xD800;</Key></Object></Delete>'],
  ])('return MalformedXML for %s', async (_, body) => {
    expect(await signed('POST', `/${BUCKET}?delete`, body)).toMatchObject({
      status: 400,
      code: 'MalformedXML',
    });
  });

  test('leave an unknown XML entity unchanged', async () => {
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

  test('store metadata with names of JavaScript properties across a restart', async () => {
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

  test('reject a version ID that no header can carry', async () => {
    expect(await signed('DELETE', `/${BUCKET}/none?versionId=%E2%80%A8`)).toMatchObject({
      status: 400,
      code: 'InvalidArgument',
    });
  });

  test.each(['multipart/form-data', 'multipart/form-data; boundary='])(
    'reject a form without a boundary: %s',
    async (type) => {
      const response = await s3.send({
        method: 'POST',
        path: `/${BUCKET}`,
        headers: { 'content-type': type },
        body: 'x',
      });
      expect(response).toMatchObject({ status: 400, code: 'MalformedPOSTRequest' });
    },
  );
});
