import { describe, expect, test, vi } from 'vitest';
import { createS3Client } from '../../../lib/s3/client.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { isWrittenBack } from '../../../lib/write-back/written-back.ts';
import { BUCKET, RICH, useStore, VERSIONED } from '../../support/fake-store.ts';
import { failureOf, never, storedAs } from '../../support/values.ts';

const store = useStore();
const CLIP = 'the bytes of a film';

/** Puts an object and writes its fileId back. Returns the request of the copy's event. */
async function writeBackTo(bucket: string, key: string, more: object = {}) {
  await store.put(bucket, key, CLIP, more);
  await writeBack(store.client, (await store.find(bucket, key)).pin, storedAs(CLIP), never);
  return requestFor(bucket, key);
}

async function requestFor(bucket: string, key: string) {
  const { etag, versionId } = (await store.find(bucket, key)).pin;
  return { bucket, key, etag, ...(versionId && { versionId }) };
}

const check = (request: Parameters<typeof isWrittenBack>[1]) => isWrittenBack(store.client, request, never);

test.each([BUCKET, VERSIONED])('recognizes the copy of a write-back (%s)', async (bucket) => {
  expect(await check(await writeBackTo(bucket, 'film.mp4'))).toBe(true);
  expect(await check(await writeBackTo(bucket, 'rich.mp4', RICH))).toBe(true);
});

describe('starts an execution', () => {
  test('for an object without a fileId', async () => {
    await store.put(BUCKET, 'plain.mp4', CLIP);
    expect(await check(await requestFor(BUCKET, 'plain.mp4'))).toBe(false);
  });

  test('for an image, because videos may wait for it', async () => {
    expect(await check(await writeBackTo(BUCKET, 'film.jpg'))).toBe(false);
  });

  test('for a copy that a user made later, because its new name may have a cover', async () => {
    const request = await writeBackTo(BUCKET, 'old.mp4');
    const { metadata } = await store.find(BUCKET, 'old.mp4');
    const earlier = new Date(Date.now() - 60_000).toISOString();
    await store.put(BUCKET, 'new.mp4', CLIP, { Metadata: { ...metadata, 'vod-uploaded-at': earlier } });
    expect(await check({ ...request, key: 'new.mp4' })).toBe(false);
  });

  test('for other bytes with the metadata of the old ones', async () => {
    await writeBackTo(BUCKET, 'bytes.mp4');
    const { metadata } = await store.find(BUCKET, 'bytes.mp4');
    await store.put(BUCKET, 'bytes.mp4', 'other bytes', { Metadata: metadata });
    expect(await check(await requestFor(BUCKET, 'bytes.mp4'))).toBe(false);
  });

  test('for an event without ETag, or of another version', async () => {
    const request = await writeBackTo(VERSIONED, 'versions.mp4');
    const { etag: _, ...withoutEtag } = request;
    expect(await check(withoutEtag)).toBe(false);
    expect(await check({ ...request, versionId: 'another' })).toBe(false);
    expect(await check({ ...request, etag: 'another' })).toBe(false);
  });

  test('for an object that was deleted', async () => {
    expect(await check({ bucket: BUCKET, key: 'deleted.mp4', etag: 'e' })).toBe(false);
  });

  test('when S3 denies access', async () => {
    const request = await writeBackTo(BUCKET, 'denied.mp4');
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wrong');
    const other = createS3Client({ endpoint: store.endpoint() });
    expect(await isWrittenBack(other, request, never)).toBe(false);
    other.destroy();
    vi.unstubAllEnvs();
  });
});

test('ends with the reason of the signal', async () => {
  const reason = new Error('over');
  const request = { bucket: BUCKET, key: 'film.mp4', etag: 'e' };
  expect(await failureOf(isWrittenBack(store.client, request, AbortSignal.abort(reason)))).toBe(reason);
});
