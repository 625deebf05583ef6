import { expect, test, vi } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import type { ObjectHead } from '../../../lib/s3/head-object.ts';
import { objectCost } from '../../../lib/write-back/rewrite-costs.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { BUCKET, useStore, VERSIONED } from '../../support/fake-store.ts';
import { respondWithError, startScriptedS3 } from '../../support/scripted-s3.ts';
import type { Responder } from '../../support/scripted-server.ts';
import { headOf, never, pinOf, storedAs } from '../../support/values.ts';

/** WRITE_BACK=auto. */

const store = useStore();
const CLIP = 'the bytes of a film';
const FILE = storedAs(CLIP);
const AUTO = { ...DEFAULT_WRITE_BACK, mode: 'auto' } as const;

async function write(bucket: string, key: string, more: Parameters<typeof store.put>[3] = {}) {
  await store.put(bucket, key, CLIP, more);
  return writeBack(store.client, (await store.find(bucket, key)).pin, FILE, never, AUTO);
}

test('chooses the metadata where a copy costs nothing', async () => {
  expect(await write(BUCKET, 'plain.mp4')).toEqual({
    to: 'metadata',
    reason: 'auto chose metadata: a copy of the object costs nothing here',
  });
  const { pin, metadata } = await store.find(BUCKET, 'plain.mp4');
  expect(metadata).toMatchObject({ 'vod-file-id': FILE.fileId });
  expect(await writeBack(store.client, pin, FILE, never, AUTO)).toEqual({ to: 'unchanged' });
});

test('chooses an annotation in a bucket that keeps old versions', async () => {
  expect(await write(VERSIONED, 'versions.mp4')).toEqual({
    to: 'annotation',
    reason: expect.stringMatching(/^auto chose an annotation: each write-back leaves a second version/),
  });
});

test('chooses an annotation for an object whose class has fees', async () => {
  expect(await write(BUCKET, 'ia.mp4', { StorageClass: 'STANDARD_IA' })).toEqual({
    to: 'annotation',
    reason: expect.stringMatching(/a copy in STANDARD_IA is billed/),
  });
});

test.each<[string, Partial<ObjectHead['response']>, RegExp]>([
  ['is archived', { StorageClass: 'GLACIER' }, /archived \(GLACIER\)/],
  [
    'is restored from an archive',
    { StorageClass: 'DEEP_ARCHIVE', Restore: 'ongoing-request="false"' },
    /a copy in DEEP_ARCHIVE is billed/,
  ],
  ['is retained', { ObjectLockMode: 'GOVERNANCE' }, /a version that is locked/],
  ['has a legal hold', { ObjectLockLegalHoldStatus: 'ON' }, /a version that is locked/],
  ['has an event hold', { ObjectLockEventHold: 'ON' }, /a version that is locked/],
  ['has unreadable metadata', { MissingMeta: 1 }, /1 of its metadata entries/],
])('a rewrite costs something if the object %s', (_, response, reason) => {
  expect(objectCost(headOf(pinOf(4), { response: { $metadata: {}, ...response } }), 5)).toMatch(reason);
});

test('a rewrite costs something if the object is too large for one request, and nothing otherwise', () => {
  expect(objectCost(headOf(pinOf(6)), 5)).toMatch(/copied in parts/);
  expect(objectCost(headOf(pinOf(5)), 5)).toBe(undefined);
});

/** A service whose bucket has this configuration, by subresource. Annotations do not exist there yet. */
function startService(configuration: (subresource: string) => Responder | undefined) {
  const respond: Responder = (response, request) => {
    response.sendDate = false; // the SDK would correct a fake clock by it, and send again
    const [subresource = ''] = [...request.query.keys()];
    const configured = configuration(subresource);
    if (configured) return configured(response, request);
    if (subresource === 'annotation' && request.method === 'GET')
      return respondWithError(404, 'NoSuchAnnotation')(response, request);
    response.writeHead(200, { etag: '"e"' }).end();
  };
  return startScriptedS3(respond);
}

test('counts a configuration that it may not read as a cost, and reads it once in five minutes', async () => {
  const { s3, requests } = await startService((subresource) =>
    /versioning|object-lock|replication|notification/.test(subresource)
      ? respondWithError(403, 'AccessDenied')
      : undefined,
  );
  const count = () => requests.filter(({ query }) => query.has('versioning')).length;
  const writeAgain = () => writeBack(s3, pinOf(0), FILE, never, AUTO);
  vi.useFakeTimers({ toFake: ['Date'] });
  try {
    const { to, reason } = await writeAgain();
    expect(to).toBe('annotation');
    expect(reason).toMatch(
      /versioning is unknown \(expected the permission s3:GetBucketVersioning, .*AccessDenied/,
    );
    await writeAgain();
    expect(count()).toBe(1);
    vi.advanceTimersByTime(5 * 60_000);
    await writeAgain();
    expect(count()).toBe(2);
  } finally {
    vi.useRealTimers();
  }
});

test('gives both reasons when the object cannot have an annotation', async () => {
  const { s3 } = await startService((subresource) => {
    if (subresource === 'annotation') return respondWithError(501, 'NotImplemented');
    if (subresource === 'versioning')
      return (response) =>
        response.end('<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>');
    if (/lifecycle|object-lock|replication/.test(subresource)) return respondWithError(501, 'NotImplemented');
    if (subresource === 'notification')
      return (response) => response.end('<NotificationConfiguration></NotificationConfiguration>');
    return undefined;
  });
  expect(await writeBack(s3, pinOf(0), FILE, never, AUTO)).toEqual({
    to: 'tags',
    reason: expect.stringMatching(
      /^auto chose an annotation: each write-back .*; the fileId is in the object's tags: /,
    ),
  });
});
