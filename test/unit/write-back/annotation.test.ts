import {
  CopyObjectCommand,
  GetObjectAnnotationCommand,
  GetObjectTaggingCommand,
  PutObjectAnnotationCommand,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { DEFAULT_WRITE_BACK } from '../../../lib/config.ts';
import { headObject } from '../../../lib/s3/head-object.ts';
import type { ObjectVersion } from '../../../lib/schemas.ts';
import { readMarkers, readVerifiedFile } from '../../../lib/write-back/read-markers.ts';
import { writeBack } from '../../../lib/write-back/write-back.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { BUCKET, useStore, VERSIONED } from '../../support/fake-store.ts';
import { newS3Client } from '../../support/s3-client.ts';
import { respondWithError, startScriptedS3 } from '../../support/scripted-s3.ts';
import type { Responder } from '../../support/scripted-server.ts';
import { fileId, never, pinOf, storedAs } from '../../support/values.ts';

const store = useStore();
const CLIP = 'the bytes of a film';
const FILE = storedAs(CLIP);
const ANNOTATIONS = { ...DEFAULT_WRITE_BACK, mode: 'annotation' } as const;
const NAME = 'tencent-vod';

const write = (pin: ObjectVersion, file: Parameters<typeof writeBack>[2] = FILE, s3 = store.client) =>
  writeBack(s3, pin, file, never, ANNOTATIONS);

async function put(key: string, bucket = BUCKET, more: Parameters<typeof store.put>[3] = {}) {
  await store.put(bucket, key, CLIP, more);
  return (await store.find(bucket, key)).pin;
}

const annotate = (Key: string, AnnotationName: string, AnnotationPayload: string) =>
  store.client.send(
    new PutObjectAnnotationCommand({ Bucket: BUCKET, Key, AnnotationName, AnnotationPayload }),
  );
async function textOf(Key: string, Bucket = BUCKET): Promise<string> {
  const command = new GetObjectAnnotationCommand({ Bucket, Key, AnnotationName: NAME });
  const { AnnotationPayload } = await store.client.send(command);
  return (await AnnotationPayload?.transformToString()) ?? '';
}
const annotationOf = async (key: string, bucket = BUCKET): Promise<unknown> =>
  JSON.parse(await textOf(key, bucket));
async function tagsOf(key: string) {
  const { TagSet = [] } = await store.client.send(new GetObjectTaggingCommand({ Bucket: BUCKET, Key: key }));
  return Object.fromEntries(TagSet.map(({ Key, Value }) => [Key, Value]));
}
const verified = async (key: string, bucket = BUCKET) =>
  readVerifiedFile(
    { s3: store.client, writeBack: ANNOTATIONS },
    await headObject(store.client, { bucket, key }, never),
    never,
  );

const marker = (etag: string) => ({
  'vod-file-id': FILE.fileId,
  'vod-url': FILE.url,
  'vod-sha1': FILE.sha1,
  'vod-etag': etag,
  'vod-checksum': 'CRC32:nGoNVw==',
  'vod-uploaded-at': expect.stringMatching(/^\d{4}-.*Z$/),
});

describe('writeBack in the mode "annotation"', () => {
  test.each([BUCKET, VERSIONED])('writes one annotation and changes nothing else (%s)', async (bucket) => {
    const pin = await put('added.mp4', bucket, { Tagging: 'a=1', Metadata: { author: 'me' } });
    const { $metadata: _, ...before } = (await store.find(bucket, 'added.mp4')).response;
    const events = store.events.length;
    expect(await write(pin)).toEqual({ to: 'annotation' });
    expect(await write(pin)).toEqual({ to: 'unchanged' });
    expect(await annotationOf('added.mp4', bucket)).toEqual(marker(pin.etag));
    expect((await store.find(bucket, 'added.mp4')).response).toMatchObject(before);
    expect(store.events.length).toBe(events);
    expect(await verified('added.mp4', bucket)).toEqual(FILE);
  });

  test('names the checksum that S3 keeps, and the files that an image covers', async () => {
    const pin = await put('ep1.jpg', BUCKET, { ChecksumAlgorithm: 'CRC64NVME' });
    const file = { ...FILE, coverOf: [fileId('2'), fileId('1')] };
    await write(pin, file);
    expect(await annotationOf('ep1.jpg')).toEqual({
      ...marker(pin.etag),
      'vod-checksum': expect.stringMatching(/^CRC64NVME:/),
      'vod-cover-of': '1 2',
      'vod-covered': '1 2',
      'vod-put-at': expect.any(String),
    });
    expect(await write(pin, file)).toEqual({ to: 'annotation' }); // with a new time
  });

  test('replaces its own marker, and keeps other fields of it', async () => {
    const pin = await put('again.mp4');
    await annotate(
      'again.mp4',
      NAME,
      JSON.stringify({ ...marker('x'), 'vod-uploaded-at': 'x', 'vod-covered': '7', note: [1] }),
    );
    expect(await write(pin)).toEqual({ to: 'annotation' });
    expect(await annotationOf('again.mp4')).toEqual({ ...marker(pin.etag), note: [1] });
  });

  test('writes nothing to an object that already has the fileId in its metadata', async () => {
    await writeBack(store.client, await put('marked.mp4'), FILE, never);
    expect(await write((await store.find(BUCKET, 'marked.mp4')).pin)).toEqual({ to: 'unchanged' });
  });

  test('writes nothing to a newer object', async () => {
    const pin = await put('newer.mp4');
    const other = store.interferingClient('HeadObjectCommand', async () => {
      await store.put(BUCKET, 'newer.mp4', 'another film');
    });
    await expectFailure(
      write(pin, FILE, other),
      'ObjectChanged',
      'write-back to s3://plain-bucket/newer.mp4',
    );
    await expectFailure(annotationOf('newer.mp4'), 'NoSuchAnnotation');
  });

  test.each([
    ['is not JSON', 'notes of a user'],
    ['has no fileId', '{"vod-sha1":"x"}'],
  ])('writes tags if an annotation of that name %s', async (title, text) => {
    const key = `${title}.mp4`;
    const pin = await put(key);
    await annotate(key, NAME, text);
    const reason = "the fileId is in the object's tags: its annotation tencent-vod is not from the pipeline";
    expect(await write(pin)).toEqual({ to: 'tags', reason });
    expect(await tagsOf(key)).toMatchObject({ 'vod-file-id': FILE.fileId });
    expect(await textOf(key)).toBe(text);
    expect(await verified(key)).toEqual(FILE);
  });
});

describe('writeBack in the mode "metadata" whose copy a policy forbids', () => {
  const forbid = (...commands: string[]) => {
    const client = newS3Client(store.endpoint());
    client.middlewareStack.add((next, { commandName = '' }) => (args) => {
      if (!commands.includes(commandName)) return next(args);
      const $metadata = { httpStatusCode: 403 };
      throw new S3ServiceException({ name: 'AccessDenied', $fault: 'client', $metadata });
    });
    return client;
  };
  const COPY = 'CopyObjectCommand';

  test.each([
    [
      'has annotations',
      true,
      /^the fileId is in the object's tags: .*\(403 AccessDenied\).*it has annotations/,
      [COPY],
    ],
    [
      'may have annotations that the policy hides',
      false,
      /may have annotations/,
      [COPY, 'ListObjectAnnotationsCommand'],
    ],
  ])('writes tags to an object that %s', async (key, isAnnotated, reason, forbidden) => {
    const pin = await put(key, BUCKET, { Tagging: 'a=1' });
    if (isAnnotated) await annotate(key, 'theirs', 'text of a user');
    const { $metadata: _, TagCount: _tags, ...before } = (await store.find(BUCKET, key)).response;
    const result = await writeBack(forbid(...forbidden), pin, FILE, never);
    expect(result).toEqual({ to: 'tags', reason: expect.stringMatching(reason) });
    expect(await tagsOf(key)).toMatchObject({ a: '1', 'vod-file-id': FILE.fileId });
    expect((await store.find(BUCKET, key)).response).toMatchObject(before);
    expect(await verified(key)).toEqual(FILE);
  });

  test('throws StorageRejected for an object without annotations, and writes nothing', async () => {
    const pin = await put('plain.mp4');
    const write = writeBack(forbid(COPY), pin, FILE, never);
    await expectFailure(write, 'StorageRejected', 'COPY s3://plain-bucket/plain.mp4 onto itself: 403');
    expect(await tagsOf('plain.mp4')).toEqual({});
  });

  test('throws StorageRejected if the policy forbids tags as well', async () => {
    const pin = await put('both.mp4');
    await annotate('both.mp4', 'theirs', 'text of a user');
    const write = writeBack(forbid(COPY, 'PutObjectTaggingCommand'), pin, FILE, never);
    await expectFailure(write, 'StorageRejected', 'tags of s3://plain-bucket/both.mp4');
  });
});

describe('a marker in an annotation', () => {
  test('is gone with the bytes that it describes', async () => {
    await write(await put('over.mp4'));
    await store.put(BUCKET, 'over.mp4', 'another film');
    expect(await verified('over.mp4')).toBe(undefined);
  });

  test('is trusted on a copy with the same bytes only', async () => {
    await write(await put('source.mp4'));
    const copy = { Bucket: BUCKET, Key: 'copy.mp4', CopySource: `${BUCKET}/source.mp4` };
    await store.client.send(new CopyObjectCommand(copy));
    expect(await verified('copy.mp4')).toEqual(FILE);
    await store.put(BUCKET, 'restored.mp4', 'another film');
    await annotate('restored.mp4', NAME, JSON.stringify(await annotationOf('source.mp4')));
    expect(await verified('restored.mp4')).toBe(undefined);
  });

  test('is read after those in the metadata and in the tags, and only in the modes that write it', async () => {
    const pin = await put('places.mp4', BUCKET, { Metadata: { 'vod-file-id': '7' } });
    await writeBack(store.client, pin, FILE, never, { ...DEFAULT_WRITE_BACK, mode: 'tags' });
    await write(pin);
    const placesIn = async (mode: 'metadata' | 'annotation' | 'tags' | 'auto') => {
      const head = await store.find(BUCKET, 'places.mp4');
      const places: string[] = [];
      for await (const { place } of readMarkers({ s3: store.client, writeBack: { mode } }, head, never))
        places.push(place);
      return places;
    };
    expect(await placesIn('annotation')).toEqual(['metadata', 'tags', 'annotation']);
    expect(await placesIn('auto')).toEqual(['metadata', 'tags', 'annotation']);
    expect(await placesIn('metadata')).toEqual(['metadata', 'tags']);
    expect(await placesIn('tags')).toEqual(['metadata', 'tags']);
  });
});

describe('a service that does not support annotations gets tags', () => {
  const pin = pinOf(CLIP.length);
  const found: Responder = (response) =>
    response.writeHead(200, { etag: '"e"', 'content-length': '19' }).end();
  const none = respondWithError(404, 'NoSuchAnnotation');
  const tagging: Responder[] = [
    (response) => response.end('<Tagging><TagSet></TagSet></Tagging>'),
    (response) => response.end(),
    found,
  ];
  const object: Responder = (response) => response.writeHead(200, { etag: '"e"' }).end(CLIP);
  const large: Responder = (response) =>
    response.writeHead(200, { etag: '"x"', 'content-length': '2000000' }).write('part');

  test.each<[string, RegExp, Responder[]]>([
    [
      'a service that returns 501',
      /GetObjectAnnotation \(501 NotImplemented\)/,
      [respondWithError(501, 'NotImplemented')],
    ],
    ['a service that returns 405', /\(405 MethodNotAllowed\)/, [respondWithError(405, 'MethodNotAllowed')]],
    ['a service that finds nothing', /\(404 NoSuchThing\)/, [respondWithError(404, 'NoSuchThing')]],
    ['a service that returns the object', /does not know annotations/, [object]],
    ['a service that returns a large object', /does not know annotations/, [large]],
    [
      'a policy that forbids to read it',
      /GetObjectAnnotation \(403 AccessDenied\)/,
      [respondWithError(403, 'AccessDenied')],
    ],
    [
      'a policy that forbids to write it',
      /PutObjectAnnotation \(403 AccessDenied\)/,
      [none, respondWithError(403, 'AccessDenied')],
    ],
    [
      'an object with customer keys',
      /PutObjectAnnotation \(400 InvalidRequest\)/,
      [none, respondWithError(400, 'InvalidRequest')],
    ],
    [
      'an object with 1,000 annotations',
      /\(400 AnnotationLimitExceeded\)/,
      [none, respondWithError(400, 'AnnotationLimitExceeded')],
    ],
  ])('%s', async (_, reason, responses) => {
    const scripted = await startScriptedS3(found, ...responses, ...tagging);
    const result = await writeBack(scripted.s3, pin, FILE, never, ANNOTATIONS);
    expect(result).toEqual({ to: 'tags', reason: expect.stringMatching(reason) });
    const written = scripted.requests.filter(({ method }) => method === 'PUT');
    expect(written.map(({ query }) => [...query.keys()][0])).toEqual([
      ...(responses.length === 2 ? ['annotation'] : []),
      'tagging',
    ]);
  });

  test.each<[string, Responder]>([
    ['returns 501', respondWithError(501, 'NotImplemented')],
    ['returns the object', object],
  ])('and gets one request for them per process if it %s', async (_, response) => {
    const scripted = await startScriptedS3(found, response, ...tagging, ...[found, ...tagging]);
    for (const _ of [1, 2]) {
      expect(await writeBack(scripted.s3, pin, FILE, never, ANNOTATIONS)).toMatchObject({ to: 'tags' });
    }
    expect(scripted.requests.filter(({ query }) => query.has('annotation'))).toHaveLength(1);
  });

  test('and an object that is gone is deleted', async () => {
    const scripted = await startScriptedS3(found, respondWithError(404, 'NoSuchKey'));
    await expectFailure(writeBack(scripted.s3, pin, FILE, never, ANNOTATIONS), 'ObjectDeleted');
  });
});
