import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { BUCKET, CREDENTIALS, failureOf, readText, useS3 } from '../../support/local-s3.ts';
import { basic, type RawResponse, signingKey } from '../../support/raw-http.ts';

const s3 = useS3();

type Form = {
  fields?: Record<string, string>;
  conditions?: unknown[];
  expires?: number;
  secret?: string;
  expiration?: string;
  file?: string;
  cutOff?: boolean;
};

/** Sends a form as a browser does: the fields, the signed policy, and the file last. */
function post({
  fields = {},
  conditions = [],
  expires = 60,
  secret,
  expiration = new Date(Date.now() + expires * 1000).toISOString(),
  file = 'the file',
  cutOff,
}: Form): Promise<RawResponse> {
  const date = basic(new Date());
  const day = date.slice(0, 8);
  const signed = {
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': `${CREDENTIALS.accessKeyId}/${day}/us-east-1/s3/aws4_request`,
    'x-amz-date': date,
  };
  const policy = Buffer.from(
    JSON.stringify({
      expiration,
      conditions: [
        { bucket: BUCKET },
        ...Object.entries(signed).map(([name, value]) => ({ [name]: value })),
        ...conditions,
      ],
    }),
  ).toString('base64');
  const all = {
    ...fields,
    ...signed,
    policy,
    'X-Amz-Signature': createHmac('sha256', signingKey(day, secret)).update(policy).digest('hex'),
  };
  const parts = Object.entries(all).map(
    ([name, value]) => `--xyz\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const filePart = `--xyz\r\nContent-Disposition: form-data; name="file"; filename="my video.mp4"\r\nContent-Type: video/mp4\r\n\r\n${file}`;
  const body = `${parts.join('')}${filePart}${cutOff ? '' : '\r\n--xyz--\r\n'}`;
  return s3.send({
    method: 'POST',
    path: `/${BUCKET}`,
    headers: {
      'content-type': 'multipart/form-data; boundary=xyz',
      'content-length': String(Buffer.byteLength(body) + (cutOff ? 1000 : 0)),
    },
    body,
    cutOff: cutOff ?? false,
  });
}

const anyKey = ['starts-with', '$key', ''];

describe('PostObject', () => {
  test('stores the file with the attributes in its fields', async () => {
    s3.events.length = 0;
    const response = await post({
      fields: {
        // biome-ignore lint/suspicious/noTemplateCurlyInString: S3's own placeholder
        key: 'form/${filename}',
        'Content-Type': 'video/mp4',
        'x-amz-meta-by': 'browser',
        acl: 'public-read',
        tagging: '<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>',
      },
      conditions: [
        anyKey,
        { 'Content-Type': 'video/mp4' },
        ['eq', '$x-amz-meta-by', 'browser'],
        { acl: 'public-read' },
        ['starts-with', '$tagging', ''],
      ],
    });
    expect(response).toMatchObject({
      status: 204,
      body: '',
      headers: { location: expect.stringContaining('/form/my%20video.mp4') },
    });
    const object = await s3.get('form/my video.mp4');
    expect(object).toMatchObject({ ContentType: 'video/mp4', Metadata: { by: 'browser' } });
    expect(await readText(object)).toBe('the file');
    expect((await s3.client.getObjectTagging({ Bucket: BUCKET, Key: 'form/my video.mp4' })).TagSet).toEqual([
      { Key: 'a', Value: '1' },
    ]);
    expect(s3.events[0]?.Records[0]).toMatchObject({
      eventName: 'ObjectCreated:Post',
      s3: { object: { key: 'form/my+video.mp4', size: 8 } },
    });
  });

  test('compares the key with the policy after it inserted the file name', async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: S3's own placeholder
    const fields = { key: '${filename}' };
    expect(await post({ fields, conditions: [['starts-with', '$key', 'my video']] })).toMatchObject({
      status: 204,
    });
    expect(await post({ fields, conditions: [['starts-with', '$key', '$']] })).toMatchObject({ status: 403 });
  });

  test.each([
    ['200', 200, ''],
    ['201', 201, '<Key>status</Key>'],
    ['404', 204, ''],
  ])('responds to success_action_status %s with %i', async (wanted, status, text) => {
    const fields = { key: 'status', success_action_status: wanted };
    const response = await post({ fields, conditions: [anyKey, { success_action_status: wanted }] });
    expect(response.status).toBe(status);
    expect(response.body).toContain(text);
  });

  test('redirects the browser to success_action_redirect', async () => {
    const redirect = 'http://localhost/done';
    const fields = { key: 'redirected', success_action_redirect: redirect };
    const response = await post({ fields, conditions: [anyKey, { success_action_redirect: redirect }] });
    expect(response).toMatchObject({
      status: 303,
      headers: {
        location: expect.stringMatching(
          /^http:\/\/localhost\/done\?bucket=plain-bucket&key=redirected&etag=/,
        ),
      },
    });
  });

  test.each<[string, Form, string]>([
    ['with the wrong secret', { secret: 'guess' }, '403 SignatureDoesNotMatch'],
    ['after its policy expired', { expires: -1 }, '403 AccessDenied'],
    ['with a field outside the policy', { fields: { key: 'no', acl: 'public-read' } }, '403 AccessDenied'],
    [
      'with a field that differs',
      { conditions: [anyKey, { 'content-type': 'video/mp4' }] },
      '403 AccessDenied',
    ],
    ['with a key of another prefix', { conditions: [['starts-with', '$key', 'mine/']] }, '403 AccessDenied'],
    [
      'with a file that is too long',
      { conditions: [anyKey, ['content-length-range', 0, 7]] },
      '400 EntityTooLarge',
    ],
    [
      'with a file that is too short',
      { conditions: [anyKey, ['content-length-range', 9, 20]] },
      '400 EntityTooSmall',
    ],
    [
      'with an unknown condition',
      { conditions: [anyKey, ['like', '$key', 'x']] },
      '400 InvalidPolicyDocument',
    ],
    [
      'with a value that no header can carry back',
      {
        fields: { key: 'no', 'x-amz-meta-a': 'b\r\nc: d' },
        conditions: [anyKey, ['starts-with', '$x-amz-meta-a', '']],
      },
      '400 InvalidArgument',
    ],
    [
      'with a name that no header can have',
      {
        fields: { key: 'no', 'x-amz-meta-a b': 'c' },
        conditions: [anyKey, ['starts-with', '$x-amz-meta-a b', '']],
      },
      '400 InvalidArgument',
    ],
    ['without a key', { fields: {} }, '400 InvalidArgument'],
    [
      'with a field that is not implemented',
      {
        fields: { key: 'no', 'x-amz-checksum-sha512': 'x' },
        conditions: [anyKey, { 'x-amz-checksum-sha512': 'x' }],
      },
      '501 NotImplemented',
    ],
    ['of Signature Version 2', { fields: { key: 'no', AWSAccessKeyId: 'AKID' } }, '400 InvalidRequest'],
    ...[
      '2044-01-01 00:00:00+00:00',
      '2044-01-01',
      'Fri, 01 Jan 2044 00:00:00 GMT',
      '2044-13-01T00:00:00Z',
      '',
    ].map((expiration): [string, Form, string] => [
      `with the expiration "${expiration}"`,
      { expiration },
      '400 InvalidPolicyDocument',
    ]),
  ])('rejects a form %s', async (_name, form, error) => {
    const { status, code } = await post({ fields: { key: 'no' }, conditions: [anyKey], ...form });
    expect(`${status} ${code}`).toBe(error);
    expect(await failureOf(s3.head('no'))).toBe('404 NotFound');
  });

  test('stores nothing when the connection breaks', async () => {
    const before = await s3.countBlobs();
    await expect(
      post({ fields: { key: 'no' }, conditions: [anyKey], file: 'x'.repeat(100_000), cutOff: true }),
    ).rejects.toThrow();
    await s3.waitForBlobs(before);
    expect(await failureOf(s3.head('no'))).toBe('404 NotFound');
  });

  test('rejects a form without a file and a body that is not a form', async () => {
    const headers = { 'content-type': 'multipart/form-data; boundary=xyz' };
    const bare = (body: string) => s3.send({ method: 'POST', path: `/${BUCKET}`, headers, body });
    expect(await bare('--xyz--\r\n')).toMatchObject({ status: 400, code: 'InvalidArgument' });
    expect(await bare('no form at all')).toMatchObject({ status: 400, code: 'MalformedPOSTRequest' });
  });
});
