import { CopyObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { headObject } from '../../lib/s3/head-object.ts';
import { writeBack } from '../../lib/write-back/write-back.ts';
import { BUCKET, useStore } from '../support/fake-store.ts';
import { never, storedAs } from '../support/values.ts';
import { assertAlways } from './invariants.ts';

const store = useStore();

/** A header value as Node sees it: one character per byte, without control characters or spaces at its ends. */
const headerBytes = fc
  .array(fc.oneof(fc.integer({ min: 0x20, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff })), {
    minLength: 1,
    maxLength: 60,
  })
  .map((bytes) => String.fromCharCode(...bytes).replace(/^ +| +$/g, ''))
  .filter((value) => value !== '');

test('a write-back returns header values byte for byte, whatever S3 accepted', async () => {
  await store.put(BUCKET, 'source', 'a film');
  await assertAlways(
    fc.tuple(headerBytes, headerBytes, headerBytes),
    60,
    async ([title, disposition, language]) => {
      const properties = { ContentDisposition: disposition, ContentLanguage: language };
      const source = { CopySource: `${BUCKET}/source`, MetadataDirective: 'REPLACE' } as const;
      const object = { Bucket: BUCKET, Key: 'film.mp4' };
      await store.client.send(
        new CopyObjectCommand({ ...source, ...object, ...properties, Metadata: { title } }),
      );
      const { pin } = await headObject(store.client, { bucket: BUCKET, key: 'film.mp4' }, never);
      expect(await writeBack(store.client, pin, storedAs('a film'), never)).toEqual({ to: 'metadata' });
      const head = await store.client.send(new HeadObjectCommand(object));
      expect(head).toMatchObject({ ...properties, Metadata: { title } });
    },
  );
});
