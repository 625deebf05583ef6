import { PutObjectCommand, type PutObjectCommandInput } from '@aws-sdk/client-s3';
import { HttpRequest } from '@smithy/core/protocols';
import { describe, expect, onTestFinished, test } from 'vitest';
import { abortCopy, continueCopy, openCopy } from '../../../lib/s3/copy-in-parts.ts';
import { copyInPlace } from '../../../lib/s3/copy-in-place.ts';
import type { ObjectHead } from '../../../lib/s3/head-object.ts';
import { readRange } from '../../../lib/s3/read-range.ts';
import { readTags } from '../../../lib/s3/tags.ts';
import { OWNER } from '../../../local/s3/wire/grants.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, RICH, useStore, VERSIONED } from '../../support/fake-store.ts';
import { newS3Client } from '../../support/s3-client.ts';
import { ampleDeadline, MIB, never, sha1 } from '../../support/values.ts';

const store = useStore();
const METADATA = { 'vod-file-id': '123', note: 'ascii only' };
const copyWhole = (head: ObjectHead) => copyInPlace(store.client, head, METADATA, never);

async function copyInParts(head: ObjectHead): Promise<void> {
  const copy = { head, checksum: head.checksum, maxPartBytes: 5 * MIB };
  const checkpoint = await openCopy(store.client, copy, METADATA, never);
  onTestFinished(() => abortCopy(store.client, head.pin, checkpoint.uploadId));
  expect(await continueCopy(store.client, copy, checkpoint, ampleDeadline())).toBe('complete');
}

const METHODS = [
  { method: 'one request', body: Buffer.from('the bytes of a film'), copy: copyWhole },
  { method: 'parts', body: Buffer.alloc(5 * MIB + 7, 'the bytes of a film'), copy: copyInParts },
] as const;

const group = (name: string) => `uri="http://acs.amazonaws.com/groups/global/${name}"`;
const user = (letter: string) => `id="${letter.repeat(64)}"`;

const KMS_KEY = 'arn:aws:kms:eu-central-1:1:key/2';
const OBJECTS: [string, Partial<PutObjectCommandInput>][] = [
  ['a plain object', {}],
  ['an object with every header, tags, and a storage class', RICH],
  ['an object with a canned ACL', { ACL: 'public-read' }],
  [
    'an object with several grantees for each permission',
    {
      GrantFullControl: `id="${OWNER.id}"`,
      GrantRead: `${user('a')}, ${group('AllUsers')}`,
      GrantReadACP: user('b'),
      GrantWriteACP: user('c'),
    },
  ],
  // A group has no ID. An earlier version took it for the owner and lost its grant.
  ['an object under full control of a group', { GrantFullControl: group('AuthenticatedUsers') }],
  [
    'an object that a group and a user control',
    { GrantFullControl: `${group('AuthenticatedUsers')}, id="abc"` },
  ],
  ['an object under KMS', { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: KMS_KEY, BucketKeyEnabled: true }],
  ['an object under a legal hold', { ObjectLockLegalHoldStatus: 'ON' }],
  [
    'an object under an event hold of days',
    { ObjectLockEventHold: 'ON', ObjectLockEventHoldDurationDays: 30 },
  ],
  [
    'an object whose event hold of years is over',
    { ObjectLockEventHold: 'OFF', ObjectLockEventHoldDurationYears: 7 },
  ],
  [
    'an object locked until a date',
    { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: new Date('2040-01-01T00:00:00Z') },
  ],
  ['an object with a checksum', { ChecksumAlgorithm: 'CRC32' }],
];

describe.each(METHODS)('a copy in $method', ({ method, body, copy }) => {
  const isWhole = method === 'one request';

  test.each(OBJECTS)('changes only the metadata of %s', async (object, fields) => {
    const key = `same/${method}, ${object} +é.mp4`;
    for (const bucket of isWhole ? [BUCKET, VERSIONED] : [VERSIONED]) {
      await store.put(bucket, key, body, fields);
      const before = await store.all(bucket, key);
      const grants = Object.entries(fields).filter(([name]) => name.startsWith('Grant'));
      if (grants.length > 0) expect(before.grants).toHaveLength(grants.join().match(/=/g)?.length ?? 0);
      await copy(await store.find(bucket, key));
      expect(await store.all(bucket, key)).toEqual({
        ...before,
        ETag: expect.any(String),
        Metadata: METADATA,
      });
      const { pin } = await store.find(bucket, key);
      const read = await readRange(store.client, pin, { offset: 0, size: body.length }, never);
      expect(body.equals(read)).toBe(true);
    }
  });

  test('throws ObjectChanged for an overwritten object and leaves it as it is', async () => {
    const Key = `over ${method}.mp4`;
    await store.put(BUCKET, Key, body);
    const found = await store.find(BUCKET, Key);
    await store.put(BUCKET, Key, 'another film', RICH);
    const before = await store.all(BUCKET, Key);
    await expectFailure(copy(found), 'ObjectChanged', `COPY s3://${BUCKET}/${Key} onto itself`);
    expect(await store.all(BUCKET, Key)).toEqual(before);
  });
});

test('a copy in one request returns the SHA-1 that S3 computed', async () => {
  await store.put(BUCKET, 'sha1.mp4', 'film');
  expect(await copyWhole(await store.find(BUCKET, 'sha1.mp4'))).toMatchObject({ sha1: sha1('film') });
});

// JavaScript's `Date` reads "0" as the year 2000. It is the most frequent Expires value that is no date.
test.each(['0', '-1', 'Thu, 01 Dec 1994 16:00:00 GMT'])('keeps the Expires header %s', async (expires) => {
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
  await copyWhole(await store.find(BUCKET, Key));
  expect((await store.head(BUCKET, Key)).ExpiresString).toBe(expires);
});

describe('a store that ignores what it does not know', () => {
  /** Changes the headers of each copy. */
  function createIgnorantClient(ignore: (headers: Record<string, string>) => void) {
    const s3 = newS3Client(store.endpoint());
    s3.middlewareStack.add(
      (next) => (args) => {
        const { request } = args;
        if (HttpRequest.isInstance(request) && request.headers['x-amz-copy-source']) ignore(request.headers);
        return next(args);
      },
      { step: 'build', priority: 'low' },
    );
    return s3;
  }
  /** Drops the condition on the destination, and the tags, as radosgw does. */
  const asRadosgw = (headers: Record<string, string>): void => {
    delete headers['if-match'];
    headers['x-amz-tagging-directive'] = 'REPLACE';
  };

  test('keeps its tags', async () => {
    const s3 = createIgnorantClient(asRadosgw);
    for (const key of ['first.mp4', 'second.mp4']) {
      await store.put(BUCKET, key, 'film', { Tagging: 'a=1&b=2%203' });
      const copied = await copyInPlace(s3, await store.find(BUCKET, key), METADATA, never);
      expect(copied).not.toHaveProperty('lost');
      const { pin } = await store.find(BUCKET, key);
      expect(await readTags(s3, pin, never)).toEqual({ a: '1', b: '2 3' });
    }
  });

  test('returns the tags that it does not accept again', async () => {
    const s3 = createIgnorantClient(asRadosgw);
    s3.middlewareStack.add((next, { commandName }) => (args) => {
      if (commandName === 'PutObjectTaggingCommand') throw new Error('not now');
      return next(args);
    });
    await store.put(BUCKET, 'tagged.mp4', 'film', { Tagging: 'a=1' });
    const head = await store.find(BUCKET, 'tagged.mp4');
    const lost = 'the store did not keep the tags {"a":"1"}';
    expect(await copyInPlace(s3, head, METADATA, never)).toMatchObject({ lost });
  });

  test('returns the names of the properties that it did not keep', async () => {
    const s3 = createIgnorantClient((headers) => {
      for (const name of ['cache-control', 'expires', 'x-amz-storage-class', 'x-amz-meta-note'])
        delete headers[name];
    });
    await store.put(BUCKET, 'rich.mp4', 'film', RICH);
    const head = await store.find(BUCKET, 'rich.mp4');
    const lost = 'the store did not keep CacheControl, StorageClass, x-amz-meta-note, Expires';
    expect(await copyInPlace(s3, head, METADATA, never)).toMatchObject({ lost, hasOtherBytes: false });
  });

  test('never gives the metadata to the bytes of another writer', async () => {
    const s3 = createIgnorantClient(asRadosgw);
    for (const key of ['first.mp4', 'second.mp4']) {
      await store.put(BUCKET, key, 'film');
      const head = await store.find(BUCKET, key);
      await store.put(BUCKET, key, 'newer');
      await expectFailure(copyInPlace(s3, head, METADATA, never), 'ObjectChanged');
      expect((await store.find(BUCKET, key)).metadata).toEqual({});
      // From here on, the client knows the store.
      await copyInPlace(s3, await store.find(BUCKET, key), METADATA, never);
    }
  });

  test('reports the bytes of another writer if it checks no condition at all', async () => {
    const s3 = createIgnorantClient((headers) => {
      for (const name of Object.keys(headers)) if (name.includes('if-')) delete headers[name];
    });
    await store.put(BUCKET, 'over.mp4', 'film');
    const head = await store.find(BUCKET, 'over.mp4');
    await store.put(BUCKET, 'over.mp4', 'mlif');
    expect(await copyInPlace(s3, head, METADATA, never)).toMatchObject({ hasOtherBytes: true });
  });
});
