import { CopyObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../lib/config.ts';
import { preserveExpires } from '../../lib/s3/copy-fields.ts';
import { writeBack } from '../../lib/write-back/write-back.ts';
import { writeBackInParts } from '../../lib/write-back/write-back-in-parts.ts';
import { BUCKET, useStore } from '../support/fake-store.ts';
import { ampleDeadline, createBytes, MIB, never, storedAs } from '../support/values.ts';
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

const properties = fc.record({
  CacheControl: headerBytes,
  ContentDisposition: headerBytes,
  ContentEncoding: headerBytes,
  ContentLanguage: headerBytes,
  ContentType: headerBytes,
  WebsiteRedirectLocation: headerBytes.map((value) => `/${value}`),
  Metadata: fc.record({ title: headerBytes, note: headerBytes }),
});

const FILM = createBytes(5 * MIB + 1);

test.each([
  ['in one request', DEFAULT_WRITE_BACK],
  ['in parts', { ...DEFAULT_WRITE_BACK, maxCopyBytes: 5 * MIB }],
])('a write-back %s returns header values byte for byte, whatever S3 accepted', async (_, settings) => {
  const [Key, file] = ['film.mp4', storedAs(FILM)];
  await store.put(BUCKET, 'source', FILM);
  const source = await store.find(BUCKET, 'source');
  await assertAlways(fc.tuple(properties, headerBytes), 40, async ([headers, ExpiresString]) => {
    // Node changes a Content-Disposition that it sends with a body (nodejs/node#46528), so a copy sets the values.
    const copy = { CopySource: `${BUCKET}/source`, MetadataDirective: 'REPLACE' } as const;
    const command = new CopyObjectCommand({ ...copy, ...headers, Bucket: BUCKET, Key });
    preserveExpires(command.middlewareStack, { ...source, response: { ...source.response, ExpiresString } });
    await store.client.send(command);
    const { pin } = await store.find(BUCKET, Key);
    if (settings === DEFAULT_WRITE_BACK) {
      expect(await writeBack(store.client, pin, file, never, settings)).toEqual({ to: 'metadata' });
    } else {
      const run = (from?: Parameters<typeof writeBackInParts>[5]) =>
        writeBackInParts(store.client, pin, file, settings, ampleDeadline(), from);
      const opened = await run();
      expect('copy' in opened && (await run(opened.copy))).toEqual({ to: 'metadata' });
    }
    const { response } = await store.find(BUCKET, Key);
    expect(response).toMatchObject({ ...headers, ExpiresString });
    expect(response.Metadata).toHaveProperty('vod-file-id');
  });
});
