import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { listen } from '../../../local/http-server.ts';
import { createBytes, hash } from '../../support/values.ts';
import { apiErrorOf, apply, callApi, createCosClient, targetOf, uploadFile } from '../../support/vod-2018.ts';
import { startService } from '../../support/vod-service.ts';

const TYPE = { MediaType: 'mp4' };
const DAY = 24 * 3_600_000;

/** A clock that moves only when the test moves it. */
function clock(time = Date.UTC(2026, 0, 1)) {
  return { now: () => time, move: (ms: number) => (time += ms) };
}

/** The code of the error of each of these parameters. */
async function errorsOf(endpoint: string, action: string, cases: readonly unknown[]): Promise<string[]> {
  const codes: string[] = [];
  for (const params of cases) codes.push(await apiErrorOf(endpoint, action, params));
  return codes;
}

describe('ApplyUpload', () => {
  test.each<[string, object]>([
    ['MissingParameter', { MediaType: undefined }],
    ['UnknownParameter', { MediaSize: 5 }],
    ['InvalidParameter', { MediaType: 4 }],
    ['InvalidParameter', { ClassId: '4' }],
    ['InvalidParameter', { MediaName: null }],
    ['InvalidParameterValue.ClassId', { ClassId: 1.5 }],
    ['InvalidParameterValue.ClassId', { ClassId: -1 }],
    ['InvalidParameterValue.MediaType', { MediaType: 'exe' }],
    ['InvalidParameterValue.MediaType', { MediaType: '.mp4' }],
    ['InvalidParameterValue.CoverType', { CoverType: 'webp' }],
    ['InvalidParameterValue.MediaName', { MediaName: 'é'.repeat(65) }],
    ['InvalidParameterValue.ExpireTime', { ExpireTime: '2020-01-01T00:00:00Z' }],
    ['InvalidParameterValue.ExpireTime', { ExpireTime: 'tomorrow' }],
    ['InvalidParameterValue.StorageRegion', { StorageRegion: 'ap-singapore' }],
    ['InvalidParameterValue.Procedure', { Procedure: 'unknown' }],
    ['InvalidParameterValue.SourceContext', { SourceContext: 'x'.repeat(251) }],
    ['InvalidParameterValue.SessionContext', { SessionContext: 'x'.repeat(1001) }],
    ['InvalidParameterValue.SubAppId', { SubAppId: 7 }],
    ['UnsupportedOperation', { ExtInfo: 'x' }],
    ['UnsupportedOperation', { MediaStoragePath: 'a/b.mp4' }],
  ])('returns %s for %j', async (code, params) => {
    const { vod } = await startService();
    expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', { ...TYPE, ...params })).toBe(code);
  });

  test('accepts the longest texts, any case of a type, and the opened regions', async () => {
    const { vod } = await startService();
    const longest = {
      MediaName: '𝄞'.repeat(64),
      SourceContext: 'é'.repeat(250),
      SessionContext: 'x'.repeat(1000),
    };
    const applied = await apply(vod.endpoint, {
      MediaType: 'MP4',
      ...longest,
      ExpireTime: '9999-12-31T23:59:59Z',
    });
    expect(applied).toMatchObject({ StorageRegion: 'ap-chongqing', CoverStoragePath: null });
    expect(await apply(vod.endpoint, { StorageRegion: 'ap-guangzhou' })).toMatchObject({
      StorageRegion: 'ap-guangzhou',
    });
  });

  test('opens a new session with a new path at each call', async () => {
    const { vod } = await startService();
    const [a, b] = [await apply(vod.endpoint), await apply(vod.endpoint)];
    for (const name of ['VodSessionKey', 'MediaStoragePath'] as const) expect(a[name]).not.toBe(b[name]);
    expect(a.TempCertificate?.SecretId).not.toBe(b.TempCertificate?.SecretId);
  });

  test('returns keys that live two hours', async () => {
    const { now } = clock();
    const { vod } = await startService({ now });
    const { TempCertificate } = await apply(vod.endpoint, {}, { time: now() });
    expect(TempCertificate?.ExpiredTime).toBe(now() / 1000 + 7200);
  });

  test('requires the SubAppId of an account that has one', async () => {
    const { vod } = await startService({ subAppId: 15 });
    const cases = [TYPE, { ...TYPE, SubAppId: 16 }, { ...TYPE, SubAppId: 15 }];
    expect(await errorsOf(vod.endpoint, 'ApplyUpload', cases)).toEqual([
      'MissingParameter',
      'InvalidParameterValue.SubAppId',
      '',
    ]);
  });
});

describe('CommitUpload', () => {
  test('rejects a key that no session has, and a session without an object', async () => {
    const { vod } = await startService();
    const { VodSessionKey } = await apply(vod.endpoint);
    expect(
      await errorsOf(vod.endpoint, 'CommitUpload', [{}, { VodSessionKey: 'none' }, { VodSessionKey }]),
    ).toEqual(['MissingParameter', 'InvalidParameterValue.VodSessionKey', 'ResourceNotFound']);
    expect(vod.files()).toEqual([]);
  });

  test('rejects an upload whose parts are not completed', async () => {
    const { vod } = await startService();
    const applied = await apply(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied);
    const target = targetOf(applied);
    const { UploadId } = await cos.multipartInit(target);
    await cos.multipartUpload({ ...target, UploadId, PartNumber: 1, Body: 'x' });
    const { VodSessionKey } = applied;
    expect(await apiErrorOf(vod.endpoint, 'CommitUpload', { VodSessionKey })).toBe('ResourceNotFound');
    expect(vod.openUploads()).toEqual([target.Key]);
  });

  test.each([
    ['reject', 'ResourceNotFound'],
    ['same', ''],
  ] as const)('of a committed session: %s', async (repeatCommit, code) => {
    const { vod, dir } = await startService({ repeatCommit });
    const applied = await apply(vod.endpoint, { SourceContext: 'job' });
    const cos = await createCosClient(vod.cosEndpoint, applied);
    await cos.putObject({ ...targetOf(applied), Body: 'bytes' });
    const { VodSessionKey } = applied;
    const first = await callApi(vod.endpoint, 'CommitUpload', { VodSessionKey });
    const second = await callApi(vod.endpoint, 'CommitUpload', { VodSessionKey });
    expect(second.Error?.Code ?? '').toBe(code);
    if (!code) expect(second.FileId).toBe(first.FileId);
    expect(vod.files()).toMatchObject([{ fileId: first.FileId, sourceContext: 'job' }]);
    expect(await readdir(join(dir, 'files'))).toHaveLength(1);
    expect(await readdir(join(dir, 'drafts'))).toEqual([]);
    expect(await readdir(join(dir, 'cos', 'blobs'))).toEqual([]);
  });

  test('makes one file of concurrent calls', async () => {
    const { vod } = await startService();
    const applied = await apply(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied);
    await cos.putObject({ ...targetOf(applied), Body: 'bytes' });
    const { VodSessionKey } = applied;
    const commit = () => apiErrorOf(vod.endpoint, 'CommitUpload', { VodSessionKey });
    const codes = await Promise.all([commit(), commit(), commit()]);
    expect(codes.sort()).toEqual(['', 'ResourceNotFound', 'ResourceNotFound']);
    expect(vod.files()).toHaveLength(1);
  });

  test('leaves the object visible at its path, and unchangeable', async () => {
    const { vod } = await startService();
    const applied = await apply(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied);
    const target = targetOf(applied);
    await cos.putObject({ ...target, Body: '123456789' });
    await callApi(vod.endpoint, 'CommitUpload', { VodSessionKey: applied.VodSessionKey });
    const { headers } = await cos.headObject(target);
    expect(headers).toMatchObject({ 'content-length': '9', 'x-cos-hash-crc64ecma': '11051210869376104954' });
    await expect(cos.putObject({ ...target, Body: 'other' })).rejects.toMatchObject({ code: 'AccessDenied' });
    await expect(cos.getObject(target)).rejects.toMatchObject({ code: 'AccessDenied' });
  });

  test('keeps sessions, files, and keys across a restart', async () => {
    const first = await startService();
    const applied = await apply(first.vod.endpoint);
    const committed = await uploadFile(first.vod, Buffer.from('first'));
    const cos = await createCosClient(first.vod.cosEndpoint, applied);
    await cos.putObject({ ...targetOf(applied), Body: 'second' });
    await first.vod.close();

    const { vod, dir } = await startService({ dir: first.dir });
    const { VodSessionKey } = applied;
    const { FileId } = await callApi(vod.endpoint, 'CommitUpload', { VodSessionKey });
    expect(await readFile(join(dir, 'files', `${FileId}.mp4`), 'utf8')).toBe('second');
    expect(await apiErrorOf(vod.endpoint, 'CommitUpload', { VodSessionKey })).toBe('ResourceNotFound');
    expect(vod.files().map(({ fileId }) => fileId)).toEqual([committed, FileId]);
  });
});

describe('ModifyMediaInfo', () => {
  test('changes a file and keeps the rest', async () => {
    const { vod } = await startService();
    const FileId = await uploadFile(vod, Buffer.from('video'), {
      MediaName: 'before',
      ClassId: 3,
      Procedure: 'LongVideoPreset',
    });
    const modify = (params: object) => callApi(vod.endpoint, 'ModifyMediaInfo', { FileId, ...params });
    await modify({ AddTags: ['a', 'b'], Description: 'text' });
    await modify({ AddTags: ['b', 'c'], DeleteTags: ['a', 'missing'], ExpireTime: '2999-01-01T00:00:00Z' });
    await modify({ Name: 'after' });
    expect(vod.files()).toMatchObject([
      {
        fileName: 'after',
        tags: ['b', 'c'],
        classId: 3,
        description: 'text',
        procedure: 'LongVideoPreset',
        expireTime: '2999-01-01T00:00:00Z',
      },
    ]);
  });

  test.each<[string, object]>([
    ['MissingParameter', { FileId: undefined }],
    ['ResourceNotFound', { FileId: '5' }],
    ['InvalidParameter', { FileId: 5 }],
    ['InvalidParameterValue.Name', { Name: 'x'.repeat(65) }],
    ['InvalidParameterValue.Description', { Description: 'x'.repeat(129) }],
    ['InvalidParameterValue.AddTags', { AddTags: ['x'.repeat(33)] }],
    ['InvalidParameterValue.AddTags', { AddTags: [''] }],
    ['InvalidParameterValue.AddTags', { AddTags: Array.from({ length: 17 }, (_, n) => `${n}`) }],
    ['InvalidParameter', { AddTags: 'tag' }],
    ['InvalidParameterValue.ExpireTime', { ExpireTime: '2020-01-01T00:00:00Z' }],
    ['InvalidParameterValue.CoverData', { CoverData: Buffer.from('text').toString('base64') }],
    ['InvalidParameterValue.CoverData', { CoverData: '/9j/ 4AAQ' }],
    [
      'InvalidParameterValue.CoverData',
      {
        CoverData: Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(1024 ** 2)]).toString(
          'base64',
        ),
      },
    ],
    ['UnknownParameter', { Tags: ['a'] }],
  ])('returns %s for %j', async (code, params) => {
    const { vod } = await startService();
    const FileId = await uploadFile(vod, Buffer.from('video'));
    expect(await apiErrorOf(vod.endpoint, 'ModifyMediaInfo', { FileId, ...params })).toBe(code);
    expect(vod.files()).toMatchObject([{ tags: [], fileName: '' }]);
  });

  test('keeps at most 16 tags of a file', async () => {
    const { vod } = await startService();
    const FileId = await uploadFile(vod, Buffer.from('video'));
    const AddTags = Array.from({ length: 16 }, (_, n) => `tag ${n}`);
    const cases = [
      { FileId, AddTags },
      { FileId, AddTags: ['more'] },
      { FileId, AddTags: ['more'], DeleteTags: ['tag 0'] },
    ];
    expect(await errorsOf(vod.endpoint, 'ModifyMediaInfo', cases)).toEqual([
      '',
      'InvalidParameterValue.AddTags',
      '',
    ]);
  });
});

describe('DescribeMediaInfos', () => {
  test('limits the files and the filters', async () => {
    const { vod } = await startService();
    const cases = [
      {},
      { FileIds: [] },
      { FileIds: Array.from({ length: 21 }, String) },
      { FileIds: ['1'], Filters: ['transcodeInfo'] },
      { FileIds: Array.from({ length: 20 }, String), Filters: ['metaData'] },
    ];
    expect(await errorsOf(vod.endpoint, 'DescribeMediaInfos', cases)).toEqual([
      'MissingParameter',
      'InvalidParameterValue.FileIds',
      'InvalidParameterValue.FileIds',
      'InvalidParameterValue.Filters',
      '',
    ]);
  });
});

const Started = v.object({ TaskId: v.string() });

describe('DescribeFileAttributes', () => {
  test('starts a task that passes through its states', async () => {
    const { now, move } = clock();
    const { vod } = await startService({ now, taskMs: 1000 });
    const call = (action: string, params: object) => callApi(vod.endpoint, action, params, { time: now() });
    const { VodSessionKey, ...applied } = await apply(vod.endpoint, {}, { time: now() });
    const cos = await createCosClient(vod.cosEndpoint, applied, { SystemClockOffset: now() - Date.now() });
    await cos.putObject({ ...targetOf({ VodSessionKey, ...applied }), Body: 'video' });
    const { FileId } = await call('CommitUpload', { VodSessionKey });
    const { TaskId } = v.parse(Started, await call('DescribeFileAttributes', { FileId }));
    const describeTask = () => call('DescribeTaskDetail', { TaskId });
    expect(await describeTask()).toMatchObject({ Status: 'WAITING', TaskType: 'DescribeFileAttributes' });
    move(500);
    expect(await describeTask()).toMatchObject({
      Status: 'PROCESSING',
      DescribeFileAttributesTask: { Output: null },
    });
    move(500);
    expect(await describeTask()).toMatchObject({
      Status: 'FINISH',
      DescribeFileAttributesTask: {
        FileId,
        ErrCode: 0,
        Output: { Sha1: hash('sha1', 'video'), Md5: hash('md5', 'video') },
      },
    });
  });

  test('rejects an unknown file, and an unknown task', async () => {
    const { vod } = await startService();
    expect(await apiErrorOf(vod.endpoint, 'DescribeFileAttributes', { FileId: '5' })).toBe(
      'ResourceNotFound',
    );
    expect(await apiErrorOf(vod.endpoint, 'DescribeTaskDetail', { TaskId: '5' })).toBe('ResourceNotFound');
  });
});

describe('PullUpload', () => {
  /** Serves `bytes` at every path except `/missing.mp4`. */
  async function serve(bytes: Buffer): Promise<string> {
    const server = await listen(createServer(), 0, async ({ url }, response) => {
      if (url === '/missing.mp4') response.statusCode = 404;
      response.end(bytes);
    });
    onTestFinished(server.close);
    return server.endpoint;
  }

  const pull = async (endpoint: string, params: object): Promise<string> =>
    v.parse(Started, await callApi(endpoint, 'PullUpload', params)).TaskId;

  const waitFor = async (endpoint: string, TaskId: string) =>
    vi.waitFor(async () => {
      const task = await callApi(endpoint, 'DescribeTaskDetail', { TaskId });
      expect(task.Status).toBe('FINISH');
      return v.parse(
        v.object({ FileId: v.string(), FileUrl: v.string(), ErrCode: v.number(), Message: v.string() }),
        task.PullUploadTask,
      );
    }, 5_000);

  test('fetches the address', async () => {
    const bytes = createBytes(500_000);
    const origin = await serve(bytes);
    const { vod, dir } = await startService({ taskMs: 10 });
    const params = { MediaUrl: `${origin}/video.mov?signed=1`, SourceContext: 'job', ClassId: 2 };
    const { FileId, ErrCode, FileUrl } = await waitFor(vod.endpoint, await pull(vod.endpoint, params));
    expect(ErrCode).toBe(0);
    expect(await readFile(join(dir, 'files', `${FileId}.mov`))).toEqual(bytes);
    expect(vod.files()).toMatchObject([
      {
        fileId: FileId,
        url: FileUrl,
        sha1: hash('sha1', bytes),
        size: bytes.length,
        sourceContext: 'job',
        classId: 2,
      },
    ]);
  });

  test('reports an address that cannot be fetched as the error of the task', async () => {
    const origin = await serve(Buffer.from('no video'));
    const { vod } = await startService({ taskMs: 10 });
    const missing = await pull(vod.endpoint, { MediaUrl: `${origin}/missing.mp4` });
    expect(await waitFor(vod.endpoint, missing)).toMatchObject({
      ErrCode: 60_000,
      Message: expect.stringMatching('404'),
      FileId: '',
    });
    const closed = await pull(vod.endpoint, { MediaUrl: 'http://127.0.0.1:1/video.mp4' });
    expect(await waitFor(vod.endpoint, closed)).toMatchObject({ ErrCode: 70_000, FileId: '' });
    expect(vod.files()).toEqual([]);
  });

  test('rejects a SessionId for three days', async () => {
    const MediaUrl = `${await serve(Buffer.from('video'))}/video.mp4`;
    const { now, move } = clock();
    const { vod } = await startService({ now });
    const errorOf = (SessionId: string) =>
      apiErrorOf(vod.endpoint, 'PullUpload', { MediaUrl, SessionId }, { time: now() });
    expect(await errorOf('id')).toBe('');
    expect(await errorOf('id')).toBe('InvalidParameterValue.SessionId');
    expect(await errorOf('another')).toBe('');
    expect(await errorOf('x'.repeat(51))).toBe('InvalidParameterValue.SessionId');
    move(3 * DAY);
    expect(await errorOf('id')).toBe('');
  });

  test.each<[string, object]>([
    ['MissingParameter', { MediaUrl: undefined }],
    ['InvalidParameterValue.MediaUrl', { MediaUrl: 'ftp://host/video.mp4' }],
    ['InvalidParameterValue.MediaUrl', { MediaUrl: 'http://[' }],
    ['InvalidParameterValue.MediaType', { MediaUrl: 'http://127.0.0.1:1/video' }],
    ['UnsupportedOperation', { CoverUrl: 'http://127.0.0.1:1/cover.jpg' }],
    ['InvalidParameterValue.StorageRegion', { StorageRegion: 'ap-singapore' }],
  ])('returns %s for %j', async (code, params) => {
    const { vod } = await startService();
    const all = { MediaUrl: 'http://127.0.0.1:1/video.mp4', ...params };
    expect(await apiErrorOf(vod.endpoint, 'PullUpload', all)).toBe(code);
  });
});
