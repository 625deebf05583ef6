import {
  GetObjectAclCommand,
  ListMultipartUploadsCommand,
  PutObjectAclCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { MAX_COPY_BYTES } from '../../../lib/config.ts';
import { copyInPlace } from '../../../lib/s3/copy-in-place.ts';
import { readRange } from '../../../lib/s3/read-range.ts';
import { BUCKET, RICH, useStore, VERSIONED } from '../../support/fake-store.ts';
import { failureOf, MIB, never, sha1 } from '../../support/values.ts';

const store = useStore();
const METADATA = { 'vod-file-id': '123', note: 'ascii only' };

/** The two ways of a copy: in one request, and in parts of 5 MiB. */
const WAYS = [
  { way: 'whole', body: Buffer.from('the bytes of a film'), most: MAX_COPY_BYTES },
  { way: 'in parts', body: Buffer.alloc(5 * MIB + 7, 'the bytes of a film'), most: 5 * MIB },
] as const;

const KINDS: [string, Partial<PutObjectCommandInput>][] = [
  ['a plain object', {}],
  ['with every header, tags, and a storage class', RICH],
  ['with a canned ACL', { ACL: 'public-read' }],
  [
    'under KMS',
    {
      ServerSideEncryption: 'aws:kms',
      SSEKMSKeyId: 'arn:aws:kms:eu-central-1:1:key/2',
      BucketKeyEnabled: true,
    },
  ],
  ['under a legal hold', { ObjectLockLegalHoldStatus: 'ON' }],
  [
    'locked until',
    { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: new Date('2040-01-01T00:00:00Z') },
  ],
  ['with a checksum', { ChecksumAlgorithm: 'CRC32' }],
];

describe.each(WAYS)('a copy $way changes the metadata and nothing else', ({ way, body, most }) => {
  test.each(KINDS)('%s', async (what, fields) => {
    const key = `kept/${way}, ${what} +é.mp4`;
    for (const bucket of way === 'whole' ? [BUCKET, VERSIONED] : [VERSIONED]) {
      await store.put(bucket, key, body, fields);
      const before = await store.all(bucket, key);
      const found = await store.find(bucket, key);
      const held = await copyInPlace(store.client, found, METADATA, never, most);
      expect(held.sha1).toBe(way === 'whole' ? sha1(body) : undefined);
      expect(await store.all(bucket, key)).toEqual({
        ...before,
        ETag: expect.any(String),
        Metadata: METADATA,
      });
      const { pin } = await store.find(bucket, key);
      expect(body.equals(await readRange(store.client, pin, { offset: 0, size: body.length }, never))).toBe(
        true,
      );
    }
  });

  test('grants to several, one by one', async () => {
    const Key = `granted ${way}.mp4`;
    await store.put(BUCKET, Key, body);
    const { Owner } = await store.client.send(new GetObjectAclCommand({ Bucket: BUCKET, Key }));
    const user = (ID: string) => ({ Type: 'CanonicalUser', ID }) as const;
    const all = { Type: 'Group', URI: 'http://acs.amazonaws.com/groups/global/AllUsers' } as const;
    const Grants = [
      { Grantee: user(Owner?.ID ?? ''), Permission: 'FULL_CONTROL' },
      { Grantee: user('a'.repeat(64)), Permission: 'READ' },
      { Grantee: user('b'.repeat(64)), Permission: 'READ_ACP' },
      { Grantee: user('c'.repeat(64)), Permission: 'WRITE_ACP' },
      { Grantee: all, Permission: 'READ' },
    ] as const;
    const AccessControlPolicy = { Owner, Grants: [...Grants] };
    await store.client.send(new PutObjectAclCommand({ Bucket: BUCKET, Key, AccessControlPolicy }));
    const before = await store.all(BUCKET, Key);
    expect(before.grants).toHaveLength(5);
    await copyInPlace(store.client, await store.find(BUCKET, Key), METADATA, never, most);
    expect((await store.all(BUCKET, Key)).grants).toEqual(before.grants);
  });

  test('an object that was overwritten since: ObjectChanged, it stays as it is, and no upload is left', async () => {
    const Key = `over ${way}.mp4`;
    await store.put(BUCKET, Key, body);
    const found = await store.find(BUCKET, Key);
    await store.put(BUCKET, Key, 'another film', RICH);
    const before = await store.all(BUCKET, Key);
    expect(await failureOf(copyInPlace(store.client, found, METADATA, never, most))).toMatchObject({
      name: 'ObjectChanged',
      message: expect.stringContaining(`COPY s3://${BUCKET}/${Key} onto itself`),
    });
    expect(await store.all(BUCKET, Key)).toEqual(before);
    expect(
      (await store.client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }))).Uploads ?? [],
    ).toEqual([]);
  });
});

// To `Date` "0" is the year 2000; it is the commonest Expires that is no date.
test.each(['0', '-1', 'Thu, 01 Dec 1994 16:00:00 GMT'])(
  'an Expires header of %s stays that',
  async (expires) => {
    const Key = `expires ${expires}.mp4`;
    const put = new PutObjectCommand({ Bucket: BUCKET, Key, Body: 'film', Expires: new Date() });
    put.middlewareStack.add(
      (next) => async (args) => {
        const { request } = args as { request: { headers: Record<string, string> } };
        request.headers.expires = expires;
        return next(args);
      },
      { step: 'build' },
    );
    await store.client.send(put);
    await copyInPlace(store.client, await store.find(BUCKET, Key), METADATA, never, MAX_COPY_BYTES);
    expect((await store.head(BUCKET, Key)).ExpiresString).toBe(expires);
  },
);
