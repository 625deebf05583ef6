import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { newFolder } from '../../support/temp-folder.ts';
import { createBytes, hash, MIB } from '../../support/values.ts';
import {
  type Applied,
  apply,
  cosFailureOf,
  createApiClient,
  createCosClient,
  targetOf,
  uploadFile,
} from '../../support/vod-2018.ts';
import { SECRETS } from '../../support/vod-client.ts';
import { startService } from '../../support/vod-service.ts';

/** The vendor's SDKs judge the service. */

const FACTS = {
  MediaType: 'mp4',
  MediaName: 'Größe',
  ClassId: 7,
  SourceContext: 'job',
  Procedure: 'LongVideoPreset',
};

async function applyWithSdk(endpoint: string, params: object = {}): Promise<Applied> {
  const client = createApiClient(endpoint);
  const applied = await client.ApplyUpload({ ...FACTS, ...params });
  const { TempCertificate: keys = {} } = applied;
  return {
    StorageBucket: applied.StorageBucket ?? '',
    StorageRegion: applied.StorageRegion ?? '',
    VodSessionKey: applied.VodSessionKey ?? '',
    MediaStoragePath: applied.MediaStoragePath ?? '',
    CoverStoragePath: applied.CoverStoragePath ?? null,
    TempCertificate: {
      SecretId: keys.SecretId ?? '',
      SecretKey: keys.SecretKey ?? '',
      Token: keys.Token ?? '',
      ExpiredTime: keys.ExpiredTime ?? 0,
    },
  };
}

const errorOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'succeeded',
    ({ code }) => code,
  );

describe('the vendor’s SDKs', () => {
  test('upload a file in one request and read back what they stated', async () => {
    const { vod, dir } = await startService();
    const bytes = createBytes(300_000);
    const client = createApiClient(vod.endpoint);
    const applied = await applyWithSdk(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied, { UploadCheckContentMd5: true });
    const put = await cos.putObject({ ...targetOf(applied), Body: bytes });
    expect(put.ETag).toBe(`"${hash('md5', bytes)}"`);
    const { FileId = '', MediaUrl } = await client.CommitUpload({ VodSessionKey: applied.VodSessionKey });
    expect(FileId).toMatch(/^\d{18}[13579]$/);
    expect(applied.MediaStoragePath).toMatch(
      new RegExp(`^/[0-9a-f]{10}vodlocal1250000000/[0-9a-f]{8}${FileId}/f0\\.mp4$`),
    );
    expect(await readFile(join(dir, 'files', `${FileId}.mp4`))).toEqual(bytes);
    const sha1 = hash('sha1', bytes);
    expect(vod.files()).toMatchObject([
      {
        fileId: FileId,
        url: MediaUrl,
        sha1,
        size: bytes.length,
        fileName: 'Größe',
        classId: 7,
        procedure: 'LongVideoPreset',
      },
    ]);
    await client.ModifyMediaInfo({ FileId, AddTags: ['a', 'b'] });
    const described = await client.DescribeMediaInfos({
      FileIds: [FileId, '5'],
      Filters: ['basicInfo', 'metaData'],
    });
    expect(described).toMatchObject({
      MediaInfoSet: [
        {
          FileId,
          BasicInfo: {
            Name: 'Größe',
            ClassId: 7,
            TagSet: ['a', 'b'],
            MediaUrl,
            SourceInfo: { SourceContext: 'job' },
          },
          MetaData: { Size: bytes.length },
        },
      ],
      NotExistFileIdSet: ['5'],
    });
    const { TaskId = '' } = await client.DescribeFileAttributes({ FileId });
    await vi.waitFor(async () => {
      const task = await client.DescribeTaskDetail({ TaskId });
      expect(task.Status).toBe('FINISH');
      expect(task.DescribeFileAttributesTask).toMatchObject({
        FileId,
        Output: { Sha1: sha1, Md5: hash('md5', bytes) },
      });
    }, 5_000);
  });

  test.each([
    ['to the address of the service', () => ({})],
    ['to the host of the bucket', (host: string) => ({ Domain: '', Ip: host })],
  ])('upload a file in parts, %s', async (_, style: (host: string) => object) => {
    const { vod, dir } = await startService();
    const bytes = createBytes(5 * MIB + 77);
    const FilePath = join(await newFolder(), 'video.mp4');
    await writeFile(FilePath, bytes);
    const applied = await applyWithSdk(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied, style(new URL(vod.cosEndpoint).host));
    const uploaded = await cos.sliceUploadFile({ ...targetOf(applied), FilePath, ChunkSize: MIB });
    expect(uploaded.ETag).toMatch(/^"[0-9a-f]{32}-6"$/);
    const client = createApiClient(vod.endpoint);
    const { FileId = '' } = await client.CommitUpload({ VodSessionKey: applied.VodSessionKey });
    expect(await readFile(join(dir, 'files', `${FileId}.mp4`))).toEqual(bytes);
  });

  test('continue an upload in parts after a restart of the service and send only missing parts', async () => {
    const { vod, dir } = await startService();
    const bytes = createBytes(4 * MIB);
    const FilePath = join(await newFolder(), 'video.mp4');
    await writeFile(FilePath, bytes);
    const applied = await applyWithSdk(vod.endpoint);
    const target = targetOf(applied);
    const first = await createCosClient(vod.cosEndpoint, applied);
    const { UploadId } = await first.multipartInit(target);
    for (const PartNumber of [1, 3]) {
      const Body = bytes.subarray((PartNumber - 1) * MIB, PartNumber * MIB);
      await first.multipartUpload({ ...target, UploadId, PartNumber, Body });
    }
    await vod.close();

    const { vod: again } = await startService({ dir });
    const cos = await createCosClient(again.cosEndpoint, applied);
    const sent: number[] = [];
    cos.on('before-send', ({ method, qs }: { method: string; qs: { partNumber?: number } }) => {
      if (method === 'PUT') sent.push(Number(qs.partNumber));
    });
    await cos.sliceUploadFile({ ...target, FilePath, ChunkSize: MIB });
    expect(sent.sort()).toEqual([2, 4]);
    const client = createApiClient(again.endpoint);
    const { FileId = '' } = await client.CommitUpload({ VodSessionKey: applied.VodSessionKey });
    expect(await readFile(join(dir, 'files', `${FileId}.mp4`))).toEqual(bytes);
    expect(again.openUploads()).toEqual([]);
  });

  test('attach a cover, with a call or with the upload', async () => {
    const { vod, dir } = await startService();
    const image = await readFile('sample/clip.jpg');
    const FileId = await uploadFile(vod, createBytes(1000));
    const client = createApiClient(vod.endpoint);
    const { CoverUrl = '' } = await client.ModifyMediaInfo({ FileId, CoverData: image.toString('base64') });
    expect(Buffer.from(await (await fetch(CoverUrl)).arrayBuffer())).toEqual(image);

    const applied = await applyWithSdk(vod.endpoint, { CoverType: 'jpg' });
    const cos = await createCosClient(vod.cosEndpoint, applied);
    await cos.putObject({ ...targetOf(applied), Body: createBytes(500) });
    await cos.putObject({ ...targetOf(applied), Key: applied.CoverStoragePath?.slice(1) ?? '', Body: image });
    const committed = await client.CommitUpload({ VodSessionKey: applied.VodSessionKey });
    expect(committed.CoverUrl).toBe(CoverUrl);
    const { BasicInfo } = (await client.DescribeMediaInfos({ FileIds: [FileId] })).MediaInfoSet?.[0] ?? {};
    expect(BasicInfo?.CoverUrl).toBe(CoverUrl);
    expect(await readFile(join(dir, new URL(CoverUrl).pathname))).toEqual(image);
  });

  test('are rejected with wrong keys', async () => {
    const { vod } = await startService();
    const wrong = createApiClient(vod.endpoint, { ...SECRETS, secretKey: 'wrong' });
    expect(await errorOf(wrong.ApplyUpload(FACTS))).toBe('AuthFailure.SignatureFailure');
    const unknown = createApiClient(vod.endpoint, { ...SECRETS, secretId: 'unknown' });
    expect(await errorOf(unknown.ApplyUpload(FACTS))).toBe('AuthFailure.SecretIdNotFound');

    const applied = await apply(vod.endpoint);
    const { TempCertificate: keys } = applied;
    if (!keys) throw new Error('no keys');
    const put = async (changes: Partial<typeof keys>) => {
      const cos = await createCosClient(vod.cosEndpoint, { TempCertificate: { ...keys, ...changes } });
      return cosFailureOf(cos.putObject({ ...targetOf(applied), Body: 'x' }));
    };
    expect(await put({ SecretKey: 'wrong' })).toBe('403 SignatureDoesNotMatch');
    expect(await put({ SecretId: 'unknown' })).toBe('403 InvalidAccessKeyId');
    expect(await put({ Token: 'wrong' })).toBe('403 AccessDenied');
    expect(await put({})).toBe('succeeded');
  });

  test('are rejected with expired keys', async () => {
    const { vod } = await startService({ keysLiveMs: 0 });
    const applied = await applyWithSdk(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied);
    expect(await cosFailureOf(cos.putObject({ ...targetOf(applied), Body: 'x' }))).toBe('403 ExpiredToken');
  });

  test('sign with the keys of the account when there are no temporary keys', async () => {
    const { vod } = await startService({ keysLiveMs: null });
    const applied = await apply(vod.endpoint);
    expect(applied.TempCertificate).toBeNull();
    const keys = { SecretId: SECRETS.secretId, SecretKey: SECRETS.secretKey };
    const cos = await createCosClient(vod.cosEndpoint, applied, keys);
    expect(await cosFailureOf(cos.putObject({ ...targetOf(applied), Body: 'x' }))).toBe('succeeded');
  });

  test('find the checksum of the whole object after a completion', async () => {
    const { vod } = await startService();
    const bytes = Buffer.from('123456789');
    const applied = await apply(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied);
    await cos.putObject({ ...targetOf(applied), Body: bytes });
    const { headers } = await cos.headObject(targetOf(applied));
    expect(headers).toMatchObject({ 'x-cos-hash-crc64ecma': '11051210869376104954', 'content-length': '9' });
    const { Body } = await cos.getObject({ ...targetOf(applied), Range: 'bytes=2-4' });
    expect(Body.toString()).toBe('345');
    expect(createHash('md5').update(bytes).digest('hex')).toBe(headers?.etag?.replaceAll('"', ''));
  });
});
