import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { BUCKET, failureOf, useS3, VERSIONED } from '../../support/local-s3.ts';

const s3 = useS3();
const target = { Bucket: BUCKET, Key: 'film.mp4' };

beforeEach(async () => {
  await s3.put('film.mp4', { Body: 'the film' });
});

const put = (AnnotationName: string, AnnotationPayload: string | Buffer, more: object = {}) =>
  s3.client.putObjectAnnotation({ ...target, AnnotationName, AnnotationPayload, ...more });
const get = async (AnnotationName: string, more: object = {}) => {
  const output = await s3.client.getObjectAnnotation({ ...target, AnnotationName, ...more });
  return { ...output, text: await output.AnnotationPayload?.transformToString() };
};
const list = async (more: object = {}) => {
  const output = await s3.client.listObjectAnnotations({ ...target, ...more });
  return { ...output, names: (output.Annotations ?? []).map(({ AnnotationName }) => AnnotationName) };
};

/** Writes annotations that share one text into the data folder: a request for each would take long. */
async function putMany(key: string, names: readonly string[]): Promise<void> {
  await put('any', 'x', { Key: key });
  const objects = join(s3.dir, 'buckets', BUCKET, 'objects');
  const path = join(objects, `${createHash('sha256').update(key).digest('hex')}.json`);
  const record = JSON.parse(await readFile(path, 'utf8'));
  const [version] = record.versions;
  version.annotations = names.map((name) => ({ ...version.annotations[0], name }));
  await writeFile(path, JSON.stringify(record));
  await s3.restart();
}

describe('an annotation', () => {
  test('is added, read, replaced, and deleted without changing the object or emitting an event', async () => {
    const before = await s3.head('film.mp4');
    const events = s3.events.length;
    expect(await put('a b/ü', '{"a":1}')).toMatchObject({
      ...{ Key: 'film.mp4', AnnotationName: 'a b/ü', ServerSideEncryption: 'AES256' },
      ...{ ETag: '"bb6cb5c68df4652941caf652a366f2d8"', ChecksumType: 'FULL_OBJECT' },
    });
    expect(await get('a b/ü')).toMatchObject({
      ...{ text: '{"a":1}', ContentLength: 7, ETag: '"bb6cb5c68df4652941caf652a366f2d8"' },
      LastModified: expect.any(Date),
    });
    await put('a b/ü', 'new');
    expect((await get('a b/ü')).text).toBe('new');
    const remove = { ...target, AnnotationName: 'a b/ü' };
    await s3.client.deleteObjectAnnotation(remove);
    await s3.client.deleteObjectAnnotation(remove);
    expect(await failureOf(get('a b/ü'))).toBe('404 NoSuchAnnotation');
    const { $metadata: _, ...after } = await s3.head('film.mp4');
    expect(before).toMatchObject(after);
    expect(s3.events.length).toBe(events);
  });

  test('has a CRC64NVME, or the checksum of the request', async () => {
    expect(await put('own', 'x', { ChecksumAlgorithm: 'SHA256' })).toMatchObject({
      ChecksumSHA256: 'LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=',
    });
    const raw = await s3.sendSigned({
      ...{ method: 'PUT', path: `/${BUCKET}/film.mp4?annotation&annotationName=default`, body: 'x' },
    });
    expect(raw.status).toBe(200);
    const enabled = { ChecksumMode: 'ENABLED' };
    expect(await get('default', enabled)).toMatchObject({ ChecksumCRC64NVME: expect.any(String) });
    expect(await failureOf(put('own', 'x', { ChecksumSHA1: 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=' }))).toBe(
      '400 BadDigest',
    );
  });

  test('is written and deleted only if the object has the ETag of the condition', async () => {
    const { ETag } = await s3.head('film.mp4');
    await put('vod', 'x', { ObjectIfMatch: ETag });
    expect(await failureOf(put('vod', 'y', { ObjectIfMatch: '"other"' }))).toBe('412 PreconditionFailed');
    const remove = { ...target, AnnotationName: 'vod', ObjectIfMatch: '"other"' };
    expect(await failureOf(s3.client.deleteObjectAnnotation(remove))).toBe('412 PreconditionFailed');
    expect((await get('vod')).text).toBe('x');
  });

  test('has limits for its name and its text', async () => {
    expect(await failureOf(put('n'.repeat(513), 'x'))).toBe('400 AnnotationNameTooLong');
    expect(await failureOf(put('AWS-note', 'x'))).toBe('400 InvalidAnnotationName');
    expect(await failureOf(put('s3-note', 'x'))).toBe('400 InvalidAnnotationName');
    expect(await failureOf(put('', 'x'))).toBe('400 InvalidArgument');
    expect(await failureOf(put('n', ''))).toBe('400 EntityTooSmall');
    expect(await failureOf(put('n', Buffer.from([0xff])))).toBe('415 UnsupportedMediaType');
    expect(await failureOf(put('n', 'x'.repeat(1024 ** 2 + 1)))).toBe('400 EntityTooLarge');
    await put('n'.repeat(512), 'x'.repeat(1024 ** 2));
    expect(await failureOf(put('n', 'x', { Key: 'none.mp4' }))).toBe('404 NoSuchKey');
    expect(await failureOf(get('n', { Key: 'none.mp4' }))).toBe('404 NoSuchKey');
    expect(await failureOf(list({ Key: 'none.mp4' }))).toBe('404 NoSuchKey');
    expect(await failureOf(list({ AnnotationPrefix: 'p'.repeat(513) }))).toBe('400 InvalidPrefix');
  });

  test('is one of at most 1,000, which are listed in pages', async () => {
    const names = Array.from({ length: 1000 }, (_, n) => `note-${String(n).padStart(3, '0')}`);
    await putMany('film.mp4', names);
    expect(await failureOf(put('one-more', 'x'))).toBe('400 AnnotationLimitExceeded');
    await put('note-007', 'y');
    const first = await list({ MaxAnnotationResults: 600 });
    expect(first).toMatchObject({ names: names.slice(0, 600), AnnotationCount: 600, Bucket: BUCKET });
    expect(first.Annotations?.[7]).toMatchObject({ Size: 1, ChecksumAlgorithm: ['CRC32'] });
    const second = await list({ ContinuationToken: first.NextContinuationToken });
    expect(second).toMatchObject({ names: names.slice(600), MaxAnnotationResults: 1000 });
    expect(second.NextContinuationToken).toBeUndefined();
    expect((await list({ AnnotationPrefix: 'note-99' })).names).toHaveLength(10);
  });
});

describe('annotations', () => {
  test('belong to a version, and a new version has none', async () => {
    const object = { Bucket: VERSIONED, Key: 'film.mp4' };
    const { VersionId } = await s3.client.putObject({ ...object, Body: 'x' });
    expect(await put('vod', 'first', object)).toMatchObject({ ObjectVersionId: VersionId });
    await s3.client.putObject({ ...object, Body: 'x' });
    expect(await failureOf(get('vod', object))).toBe('404 NoSuchAnnotation');
    expect(await get('vod', { ...object, VersionId })).toMatchObject({
      text: 'first',
      ObjectVersionId: VersionId,
    });
  });

  test('are dropped when the object is overwritten or made from parts', async () => {
    await put('vod', 'x');
    await s3.put('film.mp4', { Body: 'the film' });
    expect((await list()).names).toEqual([]);
    await put('vod', 'x');
    const { UploadId } = await s3.client.createMultipartUpload(target);
    const upload = { ...target, UploadId };
    const source = { CopySource: `${BUCKET}/film.mp4`, PartNumber: 1 };
    const { CopyPartResult } = await s3.client.uploadPartCopy({ ...upload, ...source });
    const Parts = [{ PartNumber: 1, ETag: CopyPartResult?.ETag }];
    await s3.client.completeMultipartUpload({ ...upload, MultipartUpload: { Parts } });
    expect((await list()).names).toEqual([]);
  });

  test('are copied with the object unless the directive excludes them', async () => {
    await put('vod', 'x');
    const copy = { Bucket: BUCKET, Key: 'copy.mp4', CopySource: `${BUCKET}/film.mp4` };
    await s3.client.copyObject(copy);
    await put('vod', 'changed later');
    expect((await get('vod', { Key: 'copy.mp4' })).text).toBe('x');
    await s3.client.copyObject({ ...copy, AnnotationDirective: 'EXCLUDE' });
    expect((await list({ Key: 'copy.mp4' })).names).toEqual([]);
    const unknown = s3.sendSigned({
      ...{ method: 'PUT', path: `/${BUCKET}/copy.mp4` },
      headers: { 'x-amz-copy-source': `${BUCKET}/film.mp4`, 'x-amz-object-annotation-directive': 'x' },
    });
    expect((await unknown).status).toBe(400);
  });

  test('can be written to an archived object', async () => {
    await s3.put('archived.mp4', { StorageClass: 'DEEP_ARCHIVE' });
    await put('vod', 'x', { Key: 'archived.mp4' });
    expect((await get('vod', { Key: 'archived.mp4' })).text).toBe('x');
  });

  test('survive a restart, and leave no bytes behind', async () => {
    await s3.delete('film.mp4');
    await s3.waitForBlobs(await s3.countBlobs());
    const before = await s3.countBlobs();
    await s3.put('film.mp4', { Body: 'the film' });
    await put('vod', 'kept');
    await put('vod', 'kept too');
    await s3.restart();
    expect((await get('vod')).text).toBe('kept too');
    await s3.waitForBlobs(before + 2);
    await s3.delete('film.mp4');
    await s3.waitForBlobs(before);
  });
});
