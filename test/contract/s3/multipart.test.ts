import type { CompletedPart, CreateMultipartUploadCommandInput } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { describe, expect, test } from 'vitest';
import { BUCKET, failureOf, useS3 } from '../../support/local-s3.ts';
import { hash } from '../../support/values.ts';

let behindMs = 0;
const s3 = useS3({ now: () => new Date(Date.now() - behindMs) });
const MIB = 1024 ** 2;
const LARGE = Buffer.alloc(5 * MIB, 'large ');
const SUM_OF_LARGE = hash('sha256', LARGE, 'base64');

async function begin(Key: string, more: Partial<CreateMultipartUploadCommandInput> = {}) {
  const target = { Bucket: BUCKET, Key };
  const { UploadId = '' } = await s3.client.createMultipartUpload({ ...target, ...more });
  return {
    UploadId,
    /** For a part without the checksum that the SDK adds. */
    partRequest: (number: number) => ({
      path: `/${BUCKET}/${Key}?partNumber=${number}&uploadId=${UploadId}`,
      headers: {},
    }),
    send: async (PartNumber: number, Body: string | Buffer, sums = {}): Promise<CompletedPart> => {
      const part = { ...target, UploadId, PartNumber, Body, ...sums };
      const { ETag } = await s3.client.uploadPart(part);
      return { PartNumber, ETag, ...sums };
    },
    copy: async (PartNumber: number, CopySource: string, CopySourceRange?: string) => {
      const part = { ...target, UploadId, PartNumber, CopySource, CopySourceRange };
      const { CopyPartResult } = await s3.client.uploadPartCopy(part);
      return { PartNumber, ETag: CopyPartResult?.ETag };
    },
    complete: (Parts: CompletedPart[], conditions = {}) =>
      s3.client.completeMultipartUpload({
        ...target,
        UploadId,
        MultipartUpload: { Parts },
        ...conditions,
      }),
    abort: () => s3.client.abortMultipartUpload({ ...target, UploadId }),
    parts: (more = {}) => s3.client.listParts({ ...target, UploadId, ...more }),
  };
}

const md5 = (body: string | Buffer) => Buffer.from(hash('md5', body), 'hex');
const read = async (Key: string, Range?: string) => {
  const { Body } = await s3.client.getObject({ Bucket: BUCKET, Key, Range });
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
};

describe('multipart uploads', () => {
  test('combine concurrent and repeated parts into one object', async () => {
    const upload = await begin('joined', { ContentType: 'video/mp4', Metadata: { a: 'b' }, Tagging: 'x=y' });
    await upload.send(3, 'overwritten');
    const parts = await Promise.all([upload.send(3, 'last'), upload.send(1, LARGE), upload.send(2, LARGE)]);
    parts.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    s3.events.length = 0;
    const { ETag, Location } = await upload.complete(parts);
    const digests = [LARGE, LARGE, 'last'].map(md5);
    expect(ETag).toBe(`"${md5(Buffer.concat(digests)).toString('hex')}-3"`);
    expect(Location).toBe(`${s3.server.endpoint}/${BUCKET}/joined`);
    expect(s3.events.map(({ Records: [record] }) => [record?.eventName, record?.s3.object.eTag])).toEqual([
      ['ObjectCreated:CompleteMultipartUpload', ETag?.replaceAll('"', '')],
    ]);
    const response = await s3.head('joined');
    expect(response).toMatchObject({ ETag, ContentType: 'video/mp4', Metadata: { a: 'b' }, TagCount: 1 });
    const whole = Buffer.concat([LARGE, LARGE, Buffer.from('last')]);
    expect((await read('joined')).equals(whole)).toBe(true);
    const border = 5 * MIB;
    expect((await read('joined', `bytes=${border - 2}-${border + 1}`)).toString()).toBe(
      whole.toString('utf8', border - 2, border + 2),
    );
    expect(
      (await read('joined', `bytes=${border - 1}-${2 * border}`)).equals(
        whole.subarray(border - 1, 2 * border + 1),
      ),
    ).toBe(true);
  });

  test('return the same response and emit the event again when completed twice', async () => {
    const upload = await begin('again');
    const parts = [await upload.send(1, 'x')];
    const first = await upload.complete(parts);
    s3.events.length = 0;
    expect(await upload.complete(parts)).toMatchObject({ ETag: first.ETag });
    expect(s3.events).toHaveLength(1);
    expect(await failureOf(upload.send(1, 'y'))).toBe('404 NoSuchUpload');
  });

  test('reject a wrong list of parts and accept a corrected one', async () => {
    const upload = await begin('strict');
    const one = await upload.send(1, 'small');
    const two = await upload.send(2, 'last');
    expect(await failureOf(upload.complete([two, one]))).toBe('400 InvalidPartOrder');
    expect(await failureOf(upload.complete([one, one]))).toBe('400 InvalidPartOrder');
    expect(await failureOf(upload.complete([one, { PartNumber: 3, ETag: one.ETag }]))).toBe(
      '400 InvalidPart',
    );
    expect(await failureOf(upload.complete([{ PartNumber: 1, ETag: two.ETag }]))).toBe('400 InvalidPart');
    expect(await failureOf(upload.complete([one, two]))).toBe('400 EntityTooSmall');
    expect(await failureOf(upload.complete([]))).toBe('400 MalformedXML');
    expect(await failureOf(upload.complete([two], { MpuObjectSize: 5 }))).toBe('400 InvalidRequest');
    expect(await failureOf(upload.complete([two], { MpuObjectSize: 4 }))).toBe('succeeded');
    expect((await read('strict')).toString()).toBe('last');
  });

  test('evaluate conditions at completion', async () => {
    const { ETag } = await s3.put('there');
    const upload = await begin('there');
    const parts = [await upload.send(1, 'new')];
    expect(await failureOf(upload.complete(parts, { IfNoneMatch: '*' }))).toBe('412 PreconditionFailed');
    expect(await failureOf(upload.complete(parts, { IfMatch: '"other"' }))).toBe('412 PreconditionFailed');
    expect(await failureOf(upload.complete(parts, { IfMatch: ETag }))).toBe('succeeded');
  });

  test.each([0, 10_001])('reject part number %i', async (number) => {
    const upload = await begin('numbers');
    expect(await failureOf(upload.send(number, 'x'))).toBe('400 InvalidArgument');
  });

  test('delete their bytes when they are aborted', async () => {
    const before = await s3.countBlobs();
    const upload = await begin('aborted');
    await upload.send(1, 'x');
    await upload.abort();
    expect(await failureOf(upload.send(2, 'x'))).toBe('404 NoSuchUpload');
    expect(await failureOf(upload.complete([{ PartNumber: 1, ETag: '"x"' }]))).toBe('404 NoSuchUpload');
    expect(await failureOf(upload.abort())).toBe('404 NoSuchUpload');
    await expect.poll(s3.countBlobs, { interval: 5 }).toBe(before);
  });

  test('survive a restart with their parts', async () => {
    const upload = await begin('survivor', { Metadata: { still: 'here' } });
    const first = await upload.send(1, LARGE);
    await s3.restart();
    const second = await upload.send(2, 'end');
    expect((await upload.parts()).Parts?.map(({ PartNumber, Size }) => [PartNumber, Size])).toEqual([
      [1, 5 * MIB],
      [2, 3],
    ]);
    await upload.complete([first, second]);
    await s3.restart();
    expect((await read('survivor')).equals(Buffer.concat([LARGE, Buffer.from('end')]))).toBe(true);
    const { Metadata } = await s3.head('survivor');
    expect(Metadata).toEqual({ still: 'here' });
  });

  test('copy parts from whole objects and from ranges, also across part boundaries', async () => {
    const source = await begin('source');
    const text = Buffer.from(LARGE.map((byte, at) => byte ^ (at & 0xff)));
    await source.complete([await source.send(1, text), await source.send(2, 'tail')]);
    const whole = Buffer.concat([text, Buffer.from('tail')]);
    const upload = await begin('target');
    const from = `${BUCKET}/source`;
    const parts = [
      await upload.copy(1, from),
      await upload.copy(2, from, `bytes=${5 * MIB - 10}-${5 * MIB + 1}`),
    ];
    expect(parts[1]?.ETag).toBe(`"${md5(whole.subarray(-14, -2)).toString('hex')}"`);
    await upload.complete(parts);
    expect((await read('target')).equals(Buffer.concat([whole, whole.subarray(-14, -2)]))).toBe(true);

    const other = await begin('rejected');
    expect(await failureOf(other.copy(1, from, `bytes=0-${whole.length}`))).toBe('400 InvalidArgument');
    expect(await failureOf(other.copy(1, from, 'bytes=0-'))).toBe('400 InvalidArgument');
    expect(await failureOf(other.copy(1, `${BUCKET}/none`))).toBe('404 NoSuchKey');
  });

  const sum = (algorithm: string, body: string | Buffer) => hash(algorithm, body, 'base64');

  test.each(['SHA1', 'SHA256'] as const)(
    'have a composite %s: the digest of the digests of their parts',
    async (algorithm) => {
      const name = `Checksum${algorithm}`;
      const upload = await begin('composite', { ChecksumAlgorithm: algorithm });
      const sums = [LARGE, 'end'].map((body) => sum(algorithm.toLowerCase(), body));
      const parts = [
        await upload.send(1, LARGE, { [name]: sums[0] }),
        await upload.send(2, 'end', { [name]: sums[1] }),
      ];
      expect(await failureOf(upload.complete([{ ...parts[0], [name]: sums[1] }, parts[1] ?? {}]))).toBe(
        '400 InvalidPart',
      );
      const expected = sum(
        algorithm.toLowerCase(),
        Buffer.concat(sums.map((text) => Buffer.from(text, 'base64'))),
      );
      expect(await upload.complete(parts)).toMatchObject({
        [name]: `${expected}-2`,
        ChecksumType: 'COMPOSITE',
      });
      const response = await s3.client.headObject({
        Bucket: BUCKET,
        Key: 'composite',
        ChecksumMode: 'ENABLED',
      });
      expect(response).toMatchObject({ [name]: `${expected}-2`, ChecksumType: 'COMPOSITE' });
    },
  );

  describe('with a checksum', () => {
    const SUMS = { ChecksumSHA256: sum('sha256', LARGE) };
    const COMPOSITE = sum('sha256', Buffer.from(SUMS.ChecksumSHA256, 'base64'));
    const wrong = sum('sha256', 'wrong');

    test.each([
      [{ ChecksumSHA256: COMPOSITE }, 'succeeded'],
      [{ ChecksumSHA256: `${COMPOSITE}-1` }, 'succeeded'],
      [{ ChecksumSHA256: `${COMPOSITE}-1`, ChecksumType: 'COMPOSITE' }, 'succeeded'],
      [{ ChecksumType: 'COMPOSITE' }, 'succeeded'],
      [{ ChecksumSHA256: wrong }, '400 BadDigest'],
      [{ ChecksumSHA256: `${wrong}-1` }, '400 BadDigest'],
      [{ ChecksumSHA256: COMPOSITE, ChecksumType: 'FULL_OBJECT' }, '400 InvalidRequest'],
      [{ ChecksumSHA1: sum('sha1', LARGE) }, '400 InvalidRequest'],
    ] as const)('that is composite, a completion with %j is %s', async (input, expected) => {
      const upload = await begin('sum/composite', { ChecksumAlgorithm: 'SHA256' });
      const part = await upload.send(1, LARGE, SUMS);
      expect(await failureOf(upload.complete([part], input))).toBe(expected);
      if (expected !== 'succeeded') expect(await failureOf(upload.complete([part]))).toBe('succeeded');
    });

    test('that is composite, a completion needs the checksum of each part', async () => {
      const upload = await begin('sum/parts', { ChecksumAlgorithm: 'SHA256' });
      const { ETag } = await upload.send(1, LARGE, SUMS);
      expect(await failureOf(upload.complete([{ PartNumber: 1, ETag }]))).toBe('400 InvalidRequest');
    });

    test.each([
      ['CRC32', { ChecksumCRC32: 'y/Q5Jg==' }, 'succeeded'],
      ['CRC32', { ChecksumCRC32: 'y/Q5Jg==', ChecksumType: 'FULL_OBJECT' }, 'succeeded'],
      ['CRC32', { ChecksumCRC32: 'AAAAAA==' }, '400 BadDigest'],
      ['CRC32', { ChecksumType: 'COMPOSITE' }, '400 InvalidRequest'],
      ['CRC32C', { ChecksumCRC32C: '4waSgw==' }, 'succeeded'],
      ['CRC64NVME', { ChecksumCRC64NVME: 'rosUhgp5mIg=' }, 'succeeded'],
      // Without an algorithm at the beginning, the sent checksum is the one of the whole object.
      [undefined, { ChecksumCRC32: 'y/Q5Jg==' }, 'succeeded'],
      [undefined, { ChecksumCRC32: 'AAAAAA==' }, '400 BadDigest'],
    ] as const)(
      'that is %s of the whole object, a completion with %j is %s',
      async (algorithm, input, expected) => {
        const plan = algorithm && ({ ChecksumAlgorithm: algorithm, ChecksumType: 'FULL_OBJECT' } as const);
        const upload = await begin('sum/whole', plan);
        const { path, headers } = upload.partRequest(1);
        const { headers: sent } = await s3.sendSigned({ method: 'PUT', path, headers, body: '123456789' });
        const part = { PartNumber: 1, ETag: String(sent.etag) };
        expect(await failureOf(upload.complete([part], input))).toBe(expected);
      },
    );
  });

  test('are read part by part', async () => {
    const upload = await begin('by-part', { ChecksumAlgorithm: 'SHA256' });
    const bodies = [LARGE, Buffer.alloc(5 * MIB, 'middle'), Buffer.from('end')];
    const parts = [];
    for (const [at, body] of bodies.entries()) {
      parts.push(await upload.send(at + 1, body, { ChecksumSHA256: sum('sha256', body) }));
    }
    const { ETag } = await upload.complete(parts);
    let first = 0;
    for (const [at, body] of bodies.entries()) {
      const input = { PartNumber: at + 1, ChecksumMode: 'ENABLED' } as const;
      const expected = {
        ETag,
        PartsCount: 3,
        ContentLength: body.length,
        ContentRange: `bytes ${first}-${first + body.length - 1}/${10 * MIB + 3}`,
        ChecksumSHA256: sum('sha256', body),
        ChecksumType: 'COMPOSITE',
      };
      expect(await s3.head('by-part', input)).toMatchObject(expected);
      const { Body, ...found } = await s3.get('by-part', { PartNumber: at + 1 });
      expect(found).toMatchObject({ ETag, ContentLength: body.length });
      expect(Buffer.from((await Body?.transformToByteArray()) ?? []).equals(body)).toBe(true);
      first += body.length;
    }
    expect(await failureOf(s3.get('by-part', { PartNumber: 4 }))).toBe('416 InvalidPartNumber');
    expect(await failureOf(s3.get('by-part', { PartNumber: 0 }))).toBe('400 InvalidArgument');
    expect(await failureOf(s3.get('by-part', { PartNumber: 1, Range: 'bytes=0-1' }))).toBe(
      '400 InvalidRequest',
    );
  });

  test('are described by GetObjectAttributes, page by page', async () => {
    const upload = await begin('described', { ChecksumAlgorithm: 'SHA256' });
    const parts = [];
    for (const body of [LARGE, LARGE, Buffer.from('end')]) {
      parts.push(await upload.send(parts.length + 1, body, { ChecksumSHA256: sum('sha256', body) }));
    }
    const { ETag = '', ChecksumSHA256 } = await upload.complete(parts);
    const attributes = (more = {}) =>
      s3.client.getObjectAttributes({
        ...{ Bucket: BUCKET, Key: 'described' },
        ObjectAttributes: ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'],
        ...more,
      });
    expect(await attributes({ MaxParts: 2 })).toMatchObject({
      ETag: ETag.replaceAll('"', ''),
      Checksum: { ChecksumSHA256, ChecksumType: 'COMPOSITE' },
      StorageClass: 'STANDARD',
      ObjectSize: 10 * MIB + 3,
      ObjectParts: {
        TotalPartsCount: 3,
        IsTruncated: true,
        NextPartNumberMarker: '2',
        Parts: [
          { PartNumber: 1, Size: 5 * MIB, ChecksumSHA256: SUM_OF_LARGE },
          { PartNumber: 2, Size: 5 * MIB, ChecksumSHA256: SUM_OF_LARGE },
        ],
      },
    });
    const { ObjectParts } = await attributes({ PartNumberMarker: '2' });
    expect(ObjectParts).toMatchObject({ IsTruncated: false, Parts: [{ PartNumber: 3, Size: 3 }] });
    const {
      $metadata: _,
      LastModified: __,
      ...size
    } = await attributes({ ObjectAttributes: ['ObjectSize'] });
    expect(size).toEqual({ ObjectSize: 10 * MIB + 3 });
    expect(await failureOf(attributes({ ObjectAttributes: ['Color'] }))).toBe('400 InvalidArgument');
  });

  test('name the encryption of a copied part', async () => {
    await s3.put('plain');
    const target = { Bucket: BUCKET, Key: 'encrypted' };
    const SSEKMSKeyId = 'arn:aws:kms:eu-central-1:111122223333:key/k';
    const { UploadId } = await s3.client.createMultipartUpload({
      ...target,
      ...{ ServerSideEncryption: 'aws:kms', SSEKMSKeyId },
    });
    const part = { ...target, UploadId, PartNumber: 1, CopySource: `${BUCKET}/plain` };
    const response = await s3.client.uploadPartCopy(part);
    expect(response).toMatchObject({ ServerSideEncryption: 'aws:kms', SSEKMSKeyId });
  });

  test('reject a part with another checksum algorithm than the upload', async () => {
    const upload = await begin('mixed', { ChecksumAlgorithm: 'SHA1' });
    // By default, the SDK sends CRC32.
    expect(await failureOf(upload.send(1, 'x'))).toBe('400 InvalidRequest');
  });

  test('accept a CRC of the full object, but no other full checksum', async () => {
    const upload = await begin('full', { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' });
    const done = await upload.complete([await upload.send(1, '123456789')]);
    expect(done).toMatchObject({ ChecksumCRC32: 'y/Q5Jg==', ChecksumType: 'FULL_OBJECT' });
    const odd = begin('odd', { ChecksumAlgorithm: 'SHA1', ChecksumType: 'FULL_OBJECT' });
    expect(await failureOf(odd)).toBe('400 InvalidRequest');
  });

  test('have the time of their begin', async () => {
    behindMs = 600_000;
    const upload = await begin('timed');
    behindMs = 0;
    await upload.complete([await upload.send(1, 'x')]);
    const { LastModified } = await s3.head('timed');
    expect(LastModified?.getTime()).toBeLessThan(Date.now() - 500_000);
  });

  test('complete only with the expected checksum of the full object', async () => {
    const upload = await begin('expected', { ChecksumAlgorithm: 'CRC64NVME' });
    const part = await upload.send(1, '123456789', { ChecksumAlgorithm: 'CRC64NVME' });
    const complete = (ChecksumCRC64NVME: string) =>
      upload.complete([part], { ChecksumCRC64NVME, ChecksumType: 'FULL_OBJECT' });
    expect(await failureOf(complete('AAAAAAAAAAA='))).toBe('400 BadDigest');
    expect(await complete('rosUhgp5mIg=')).toMatchObject({ ChecksumCRC64NVME: 'rosUhgp5mIg=' });
  });

  test('work with the uploader of the SDK', async () => {
    const Body = Buffer.alloc(12 * MIB, 'streamed');
    await new Upload({
      client: s3.client,
      params: { Bucket: BUCKET, Key: 'uploader', Body },
      queueSize: 3,
    }).done();
    expect((await read('uploader')).equals(Body)).toBe(true);
  });

  test('list their parts page by page', async () => {
    const upload = await begin('paged');
    for (const number of [1, 3, 5, 10]) await upload.send(number, 'x');
    const first = await upload.parts({ MaxParts: 3 });
    expect(first).toMatchObject({ IsTruncated: true, NextPartNumberMarker: '5' });
    const second = await upload.parts({ MaxParts: 3, PartNumberMarker: first.NextPartNumberMarker });
    expect(second.IsTruncated).toBe(false);
    expect([...(first.Parts ?? []), ...(second.Parts ?? [])].map((part) => part.PartNumber)).toEqual([
      1, 3, 5, 10,
    ]);
  });

  test('are listed page by page and grouped by prefix', async () => {
    for (const Key of ['list/a', 'list/a', 'list/b/1', 'list/b/2', 'list/c']) await begin(Key);
    const list = (more = {}) => s3.client.listMultipartUploads({ Bucket: BUCKET, Prefix: 'list/', ...more });
    const keys: (string | undefined)[] = [];
    let page = await list({ MaxUploads: 1 });
    for (;;) {
      keys.push(...(page.Uploads ?? []).map(({ Key }) => Key));
      if (!page.IsTruncated) break;
      page = await list({
        MaxUploads: 1,
        KeyMarker: page.NextKeyMarker,
        UploadIdMarker: page.NextUploadIdMarker,
      });
    }
    expect(keys).toEqual(['list/a', 'list/a', 'list/b/1', 'list/b/2', 'list/c']);
    const grouped = await list({ Delimiter: '/' });
    expect(grouped.CommonPrefixes).toEqual([{ Prefix: 'list/b/' }]);
  });
});
