import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { expect, onTestFinished, test } from 'vitest';
import { watchProgress } from '../../lib/invocation/progress.ts';
import { regardAsRadosgw } from '../support/local-s3.ts';
import { BUCKET, newStack, type TestStack } from '../support/stack.ts';
import { createBytes, MIB, sha1 } from '../support/values.ts';

/** The write-back to objects over the copy limit, and to those that are not rewritten. */

const IN_PARTS = { env: { COPY_LIMIT_BYTES: String(5 * MIB) } };

const PROPERTIES = {
  ContentType: 'video/mp4',
  CacheControl: 'max-age=60',
  ContentLanguage: 'de',
  StorageClass: 'STANDARD_IA',
  ServerSideEncryption: 'AES256',
} as const;

/** Records the ETags of the objects that are hashed from now on. */
const recordHashedETags = (): Set<string> => {
  const etags = new Set<string>();
  onTestFinished(watchProgress(({ stage, pin }) => void (stage === 'hash' && etags.add(pin.etag))));
  return etags;
};

test('a copy in parts changes only the metadata, and its own event starts no execution', async () => {
  const world = await newStack(IN_PARTS);
  const etags = recordHashedETags();
  const body = createBytes(12 * MIB + 5);
  await world.put('film.mp4', body, {
    ...PROPERTIES,
    Metadata: { mine: 'same' },
    Tagging: 'a=1&b=x%20y',
    ACL: 'public-read',
    ChecksumAlgorithm: 'CRC64NVME',
  });
  const [first, ...more] = await world.results();
  expect(first).toMatchObject({ outcome: 'uploaded', sha1: sha1(body) });
  expect(more).toEqual([]);
  const head = await world.head('film.mp4');
  expect(head).toMatchObject({
    ...PROPERTIES,
    ContentLength: body.length,
    ETag: expect.stringMatching(/-3"$/),
  });
  expect(head.Metadata).toMatchObject({ mine: 'same', 'vod-file-id': first?.fileId });
  expect(await world.tagsOf('film.mp4')).toEqual({ a: '1', b: 'x y' });
  expect([...etags]).toEqual([head.Metadata?.['vod-etag']]);
  const { Uploads = [] } = await world.s3.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
  expect(Uploads).toEqual([]);
});

/** A header value as Node reads it: one character for each byte that a client sent in UTF-8. */
const asSent = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

test.each([
  ['whole', 1_000],
  ['in parts', 6 * MIB],
])('a copy %s returns header values in any encoding byte for byte', async (_, size) => {
  const world = await newStack(IN_PARTS);
  const properties = {
    ContentDisposition: asSent('attachment; filename="片à.mp4"'),
    CacheControl: asSent('max-age=60, x="片名  à"'),
    ContentLanguage: 'd\xe9', // valid Latin-1, but not UTF-8
  };
  const Metadata = { title: asSent('片名 à la carte'), raw: '\xa0\x80\xff', encoded: '=?UTF-8?B?54mH5ZCN?=' };
  await world.put('source', createBytes(size));
  // Node changes a Content-Disposition that it sends with a body (nodejs/node#46528), so a copy sets the values.
  const source = { Bucket: BUCKET, CopySource: `${BUCKET}/source`, MetadataDirective: 'REPLACE' } as const;
  await world.s3.send(new CopyObjectCommand({ ...source, Key: 'film.mp4', ...properties, Metadata }));
  expect(await world.results()).toContainEqual(
    expect.objectContaining({ key: 'film.mp4', outcome: 'uploaded' }),
  );
  const head = await world.head('film.mp4');
  expect(head).toMatchObject(properties);
  expect(head.Metadata).toMatchObject({ ...Metadata, 'vod-file-id': expect.any(String) });
});

test.each([
  ['whole', 1_000],
  ['in parts', 6 * MIB],
])('a copy %s keeps the tags in a store that ignores conditions and tags', async (_, size) => {
  const world = await newStack({ ...IN_PARTS, regardHeaders: regardAsRadosgw });
  for (const key of ['first.mp4', 'second.mp4']) {
    await world.put(key, createBytes(size), { Tagging: 'a=1&b=x%20y%2B%C3%A9' });
    const result = (await world.results()).find((ended) => ended.key === key && ended.outcome === 'uploaded');
    expect(result).not.toHaveProperty('reason');
    expect((await world.head(key)).Metadata).toMatchObject({ 'vod-file-id': result?.fileId });
    expect(await world.tagsOf(key)).toEqual({ a: '1', b: 'x y+é' });
  }
});

/** Puts an object as boto3 does: S3 then keeps only a checksum of the checksums of the parts. */
async function putWithCompositeChecksum({ s3 }: TestStack, key: string, body: Buffer): Promise<void> {
  const object = { Bucket: BUCKET, Key: key, ChecksumAlgorithm: 'CRC32' } as const;
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand(object));
  const upload = { ...object, UploadId };
  const [Body, rest] = [body.subarray(0, 5 * MIB), body.subarray(5 * MIB)];
  const first = await s3.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body }));
  const second = await s3.send(new UploadPartCommand({ ...upload, PartNumber: 2, Body: rest }));
  const Parts = [first, second].map(({ $metadata: _, ...part }, n) => ({ ...part, PartNumber: n + 1 }));
  await s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
}

test.each([
  ['a composite checksum', putWithCompositeChecksum],
  ['no checksum', (world: TestStack, key: string, body: Buffer) => world.put(key, body)],
])('a copy in parts of an object with %s gets a CRC64NVME, so no one reads it again', async (_, put) => {
  const world = await newStack(IN_PARTS);
  const etags = recordHashedETags();
  const body = createBytes(11 * MIB);
  await put(world, 'film.mp4', body);
  expect(await world.results()).toMatchObject([{ outcome: 'uploaded' }]); // its own event starts no execution
  await world.invokeTrigger({ bucket: BUCKET, key: 'film.mp4' });
  expect(await world.results()).toMatchObject([{ outcome: 'uploaded' }, { outcome: 'unchanged' }]);
  const head = await world.head('film.mp4');
  expect(head).toMatchObject({
    ChecksumType: 'FULL_OBJECT',
    Metadata: { 'vod-sha1': sha1(body), 'vod-checksum': `CRC64NVME:${head.ChecksumCRC64NVME}` },
  });
  expect([...etags]).toEqual([head.Metadata?.['vod-etag']]);
});

test('a copy in parts continues in the next invocation when the time is over, and after a kill', async () => {
  const requests: string[] = [];
  let mayAbort = true;
  const world: TestStack = await newStack({
    ...IN_PARTS,
    timeLimitMs: 3_000,
    faults: ({ call }) => {
      if (call === 'AbortMultipartUpload' && !mayAbort) return 'early-reset'; // no wait for a timeout
      if (call !== 'ListParts' && call !== 'UploadPartCopy') return undefined;
      requests.push(call);
      const copies = requests.filter((name) => name === 'UploadPartCopy').length;
      if (call === 'UploadPartCopy' && copies > 2 && copies <= 4) return 'no-response'; // until the time is over
      if (call !== 'ListParts' || copies !== 4 || !mayAbort) return undefined;
      mayAbort = false; // a killed function does nothing
      world.lambda.kill();
      return 'no-response';
    },
  });
  const body = createBytes(16 * MIB);
  await world.put('film.mp4', body);
  expect(await world.results()).toMatchObject([{ outcome: 'uploaded', sha1: sha1(body) }]);
  const copies = Array<string>(4).fill('UploadPartCopy');
  expect(requests).toEqual([
    ...['ListParts', ...copies],
    'ListParts', // of the killed invocation
    ...['ListParts', ...copies.slice(2)],
  ]);
  expect(await world.head('film.mp4')).toMatchObject({ Metadata: { 'vod-sha1': sha1(body) } });
  const { Uploads = [] } = await world.s3.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
  expect(Uploads).toEqual([]);
});

test('other bytes with the metadata of a copy in parts are uploaded', async () => {
  const world = await newStack(IN_PARTS);
  await world.put('film.mp4', createBytes(6 * MIB));
  const [first] = await world.results();
  const { Metadata } = await world.head('film.mp4');
  const body = createBytes(6 * MIB);
  await world.put('film.mp4', body, { Metadata, ChecksumAlgorithm: 'CRC64NVME' });
  const [, second, ...more] = await world.results();
  expect(second).toMatchObject({ outcome: 'uploaded', sha1: sha1(body) });
  expect(second?.fileId).not.toBe(first?.fileId);
  expect(more).toEqual([]);
});

test('WRITE_BACK=tags writes no new version, and a second execution finds the object unchanged', async () => {
  const world = await newStack({ env: { WRITE_BACK: 'tags' } });
  await world.enableVersioning();
  const body = createBytes(1000);
  await world.put('film.mp4', body, { Tagging: 'mine=same' });
  await world.idle();
  await world.invokeTrigger({ bucket: BUCKET, key: 'film.mp4' });
  const [first, again, ...more] = await world.results();
  expect(first).toMatchObject({ outcome: 'uploaded' });
  expect(again).toMatchObject({ outcome: 'unchanged', fileId: first?.fileId });
  expect(more).toEqual([]);
  expect(await world.tagsOf('film.mp4')).toMatchObject({
    mine: 'same',
    'vod-file-id': first?.fileId,
    'vod-sha1': sha1(body),
    'vod-url': first?.url,
  });
  const { Versions = [] } = await world.s3.send(new ListObjectVersionsCommand({ Bucket: BUCKET }));
  expect(Versions).toHaveLength(1);
  expect((await world.head('film.mp4')).Metadata).toEqual({});
});

test('an archived object gets tags, and the result has the reason', async () => {
  const world = await newStack();
  const body = createBytes(1000);
  await world.put('first.mp4', body);
  await world.idle();
  // It cannot be read, but S3 has its SHA-1, and VOD has the bytes.
  await world.put('archived.mp4', body, { StorageClass: 'GLACIER', ChecksumAlgorithm: 'SHA1' });
  const result = (await world.results()).find(({ key }) => key === 'archived.mp4');
  expect(result).toMatchObject({ outcome: 'instant', reason: expect.stringContaining('archived (GLACIER)') });
  expect(await world.tagsOf('archived.mp4')).toMatchObject({ 'vod-file-id': result?.fileId });
});

test('fails with the number of tags and writes none when they would exceed the limit', async () => {
  const world = await newStack({ env: { WRITE_BACK: 'tags' } });
  const tags = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`t${n}`, 'x']));
  await world.put('film.mp4', createBytes(10), { Tagging: new URLSearchParams(tags).toString() });
  await world.idle();
  expect(world.ended).toMatchObject([
    {
      status: 'FAILED',
      error: 'UnsupportedObject',
      cause: expect.stringContaining('expected at most 10, got 12'),
    },
  ]);
  expect(await world.tagsOf('film.mp4')).toEqual(tags);
});

test('WRITE_BACK=annotation changes nothing of the object, and a second execution reads no byte of it', async () => {
  const world = await newStack({ env: { WRITE_BACK: 'annotation', COPY_LIMIT_BYTES: String(5 * MIB) } });
  await world.enableVersioning();
  const etags = recordHashedETags();
  const body = createBytes(6 * MIB);
  await putWithCompositeChecksum(world, 'film.mp4', body);
  const { ETag, LastModified } = await world.head('film.mp4');
  expect(await world.results()).toMatchObject([{ outcome: 'uploaded', sha1: sha1(body) }]);
  expect(etags.size).toBe(1);
  etags.clear();
  await world.invokeTrigger({ bucket: BUCKET, key: 'film.mp4' });
  const [first, again, ...more] = await world.results();
  expect(again).toMatchObject({ outcome: 'unchanged', fileId: first?.fileId });
  expect([more, [...etags]]).toEqual([[], []]);
  expect(await world.annotationOf('film.mp4')).toMatchObject({
    'vod-file-id': first?.fileId,
    'vod-sha1': sha1(body),
    'vod-url': first?.url,
  });
  const { Versions = [] } = await world.s3.send(new ListObjectVersionsCommand({ Bucket: BUCKET }));
  expect(Versions).toMatchObject([{ ETag, LastModified }]);
  expect(await world.tagsOf('film.mp4')).toEqual({});
});

test('WRITE_BACK=auto writes metadata or an annotation, and the result says why', async () => {
  const world = await newStack({ env: { WRITE_BACK: 'auto' } });
  await world.put('plain.mp4', createBytes(1000));
  await world.put('infrequent.mp4', createBytes(1001), { StorageClass: 'STANDARD_IA' });
  const results = await world.results();
  const resultOf = (key: string) => results.find((result) => result.key === key);
  const plain = resultOf('plain.mp4');
  expect(plain).toMatchObject({ outcome: 'uploaded', reason: expect.stringMatching(/^auto chose metadata/) });
  expect((await world.head('plain.mp4')).Metadata).toMatchObject({ 'vod-file-id': plain?.fileId });
  const infrequent = resultOf('infrequent.mp4');
  expect(infrequent).toMatchObject({ outcome: 'uploaded', reason: expect.stringContaining('STANDARD_IA') });
  expect((await world.head('infrequent.mp4')).Metadata).toEqual({});
  expect(await world.annotationOf('infrequent.mp4')).toMatchObject({ 'vod-file-id': infrequent?.fileId });
  expect(results).toHaveLength(2);
});
