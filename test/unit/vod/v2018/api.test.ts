import { describe, expect, test } from 'vitest';

import { authorization } from '../../../../lib/vod/v2018/signature.ts';
import { accelerateTimers } from '../../../support/accelerate-timers.ts';
import { expectFailure } from '../../../support/expect-failure.ts';
import type { ReceivedRequest } from '../../../support/scripted-server.ts';
import { fileId, hash, never } from '../../../support/values.ts';
import { KEY, TOKEN } from '../../../support/vod-account.ts';
import { connectToApi, reply, replyError, startScriptedApi } from '../../../support/vod-api.ts';

const FILE = { mediaType: 'mp4', mediaName: '电影' };
const ID = fileId('5285890781763144364');
const paramsOf = (request: ReceivedRequest | undefined): unknown =>
  JSON.parse(request?.body.toString() ?? '');

const APPLIED = {
  StorageBucket: '8a1b-1500000000',
  StorageRegion: 'ap-chongqing',
  VodSessionKey: 'session-key',
  MediaStoragePath: '/9c81vodcq1500000000/3f2a9b0d5285890781763144364/f0.mp4',
  CoverStoragePath: null,
  TempCertificate: {
    SecretId: 'temp-id',
    SecretKey: 'temp-key',
    Token: 'temp-token',
    ExpiredTime: 1_900_000_000,
  },
};

describe('every call', () => {
  test('is a signed POST of JSON that names the action, the version, and the application', async () => {
    const { endpoint, requests } = await startScriptedApi(reply({ CoverUrl: null }));
    const secrets = { secretId: 'the-id', secretKey: KEY, token: TOKEN };
    const api = connectToApi(endpoint, { secrets, subAppId: 1_500_012_345, region: 'ap-chongqing' });
    await api.modifyMediaInfo({ fileId: ID, addTags: ['电影'] }, never);
    const [request] = requests;
    expect(request).toMatchObject({
      method: 'POST',
      path: '/',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'x-tc-action': 'ModifyMediaInfo',
        'x-tc-version': '2018-07-17',
        'x-tc-region': 'ap-chongqing',
        'x-tc-token': TOKEN,
      },
    });
    expect(paramsOf(request)).toEqual({ FileId: ID, AddTags: ['电影'], SubAppId: 1_500_012_345 });
    const { host = '', 'x-tc-timestamp': timestamp } = request?.headers ?? {};
    expect(host).toBe(new URL(endpoint).host);
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(60);
    expect(request?.headers.authorization).toBe(
      authorization({
        ...secrets,
        service: 'vod',
        timestamp: Number(timestamp),
        headers: { 'content-type': 'application/json; charset=utf-8', host },
        body: request?.body.toString() ?? '',
      }),
    );
  });

  test('names neither a region, a token, nor an application without a setting', async () => {
    const { api, requests } = await startScriptedApi(reply({ CoverUrl: null }));
    await api.modifyMediaInfo({ fileId: ID }, never);
    expect(Object.keys(requests[0]?.headers ?? {})).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^x-tc-(region|token)$/)]),
    );
    expect(paramsOf(requests[0])).toEqual({ FileId: ID });
  });
});

describe('applyUpload', () => {
  test('sends the options that are set, and returns the place and the keys', async () => {
    const { api, requests } = await startScriptedApi(reply(APPLIED));
    const options = {
      classId: 0,
      procedure: 'transcode-all',
      expireTime: '2030-01-01T00:00:00Z',
      storageRegion: 'ap-chongqing',
      sourceContext: 'execution-1',
    };
    expect(await api.applyUpload({ ...FILE, ...options, coverType: 'jpg' }, never)).toEqual({
      bucket: '8a1b-1500000000',
      region: 'ap-chongqing',
      sessionKey: 'session-key',
      path: '9c81vodcq1500000000/3f2a9b0d5285890781763144364/f0.mp4',
      keys: { secretId: 'temp-id', secretKey: 'temp-key', token: 'temp-token', expiresAt: 1_900_000_000_000 },
    });
    expect(paramsOf(requests[0])).toEqual({
      ...{ MediaType: 'mp4', MediaName: '电影', ClassId: 0, Procedure: 'transcode-all' },
      ...{ ExpireTime: '2030-01-01T00:00:00Z', StorageRegion: 'ap-chongqing', SourceContext: 'execution-1' },
      CoverType: 'jpg',
    });
    await api.applyUpload(FILE, never);
    expect(paramsOf(requests[1])).toEqual({ MediaType: 'mp4', MediaName: '电影' });
  });

  test('returns no keys for a null certificate, and the path of the cover', async () => {
    const fields = { ...APPLIED, TempCertificate: null, CoverStoragePath: '/a/b/c.jpg' };
    const { api } = await startScriptedApi(reply(fields));
    expect(await api.applyUpload(FILE, never)).toMatchObject({ keys: null, coverPath: 'a/b/c.jpg' });
  });

  test.each([
    ['a bucket that is not a host label', { StorageBucket: 'evil.example/' }, 'StorageBucket: expected /'],
    ['a region that is not a host label', { StorageRegion: 'x.evil.example' }, 'StorageRegion: expected /'],
    ['an empty path', { MediaStoragePath: '/' }, 'MediaStoragePath: expected !0'],
    ['no session key', { VodSessionKey: null }, 'VodSessionKey: expected string, got null'],
    [
      'keys without their end',
      { TempCertificate: { ...APPLIED.TempCertificate, ExpiredTime: undefined } },
      'TempCertificate.ExpiredTime: expected "ExpiredTime", got nothing',
    ],
  ])('rejects %s as unexpected, without the values', async (_, fields, message) => {
    accelerateTimers();
    const { api } = await startScriptedApi(reply({ ...APPLIED, ...fields }));
    const error = await expectFailure(api.applyUpload(FILE, never), 'VodUnavailable', message);
    expect(error.message).toMatch(/^ApplyUpload 电影\.mp4: unexpected response: /);
    expect(error.message).not.toMatch(/evil|temp-key|session-key/);
  });
});

describe('commitUpload', () => {
  const UPLOAD = { sessionKey: 'session-key', path: 'a/b/f0.mp4' };

  test('sends the session key, and returns the file', async () => {
    const { api, requests } = await startScriptedApi(
      reply({ FileId: ID, MediaUrl: 'http://v.example/片.mp4', CoverUrl: '' }),
    );
    const url = 'http://v.example/%E7%89%87.mp4';
    expect(await api.commitUpload(UPLOAD, never)).toEqual({ fileId: ID, url });
    expect(paramsOf(requests[0])).toEqual({ VodSessionKey: 'session-key' });
  });
});

describe('modifyMediaInfo', () => {
  test('sends the cover in base64, and returns its address', async () => {
    const { api, requests } = await startScriptedApi(reply({ CoverUrl: 'http://v.example/c.jpg' }));
    const change = { fileId: ID, name: 'n', classId: 3, expireTime: '2030-01-01T00:00:00Z' };
    const coverUrl = 'http://v.example/c.jpg';
    expect(await api.modifyMediaInfo({ ...change, cover: Buffer.from('image') }, never)).toEqual({
      coverUrl,
    });
    expect(paramsOf(requests[0])).toEqual({
      ...{ FileId: ID, Name: 'n', ClassId: 3, ExpireTime: '2030-01-01T00:00:00Z' },
      CoverData: Buffer.from('image').toString('base64'),
    });
  });
});

describe('describeMediaInfos', () => {
  test('returns the files that exist', async () => {
    const { api, requests } = await startScriptedApi(
      reply({
        MediaInfoSet: [
          {
            FileId: ID,
            BasicInfo: { MediaUrl: 'http://v.example/1.mp4', SourceInfo: { SourceContext: 'execution-1' } },
            MetaData: { Size: 5_497_558_138_880 },
          },
          { FileId: '2', BasicInfo: { MediaUrl: null, SourceInfo: null }, MetaData: null },
          { FileId: '3', BasicInfo: null },
        ],
        NotExistFileIdSet: ['4'],
      }),
    );
    expect(await api.describeMediaInfos([ID, '2', '3', '4'], never)).toEqual([
      { fileId: ID, url: 'http://v.example/1.mp4', sourceContext: 'execution-1', size: 5_497_558_138_880 },
      { fileId: '2', url: '', sourceContext: '' },
      { fileId: '3', url: '', sourceContext: '' },
    ]);
    expect(paramsOf(requests[0])).toEqual({
      FileIds: [ID, '2', '3', '4'],
      Filters: ['basicInfo', 'metaData'],
    });
  });

  test('returns nothing for an empty list or null', async () => {
    const { api } = await startScriptedApi(
      reply({ MediaInfoSet: null }),
      reply({ NotExistFileIdSet: ['1'] }),
    );
    expect(await api.describeMediaInfos(['1'], never)).toEqual([]);
    expect(await api.describeMediaInfos(['1'], never)).toEqual([]);
  });
});

describe('tasks', () => {
  const SHA1 = hash('sha1', 'a film');
  const detail = async (fields: object) =>
    (await startScriptedApi(reply(fields))).api.describeTaskDetail('task-1', never);

  test('describeFileAttributes returns the ID of its task', async () => {
    const { api, requests } = await startScriptedApi(reply({ TaskId: 'task-1' }));
    expect(await api.describeFileAttributes(ID, never)).toBe('task-1');
    expect(paramsOf(requests[0])).toEqual({ FileId: ID });
  });

  test.each(['WAITING', 'PROCESSING'])('a task is running while it is %s', async (Status) => {
    expect(await detail({ Status, DescribeFileAttributesTask: null })).toEqual({ state: 'running' });
  });

  test('a finished task has the SHA-1 in lower case, or the file', async () => {
    const Output = { Md5: 'x', Sha1: SHA1.toUpperCase() };
    const attributes = { Status: 'FINISH', ErrCode: 0, Message: '', Output };
    expect(await detail({ Status: 'FINISH', DescribeFileAttributesTask: attributes })).toEqual({
      state: 'finished',
      sha1: SHA1,
    });
    const pull = { Status: 'FINISH', ErrCode: 0, FileId: ID, FileUrl: 'http://v.example/1.mp4' };
    expect(await detail({ Status: 'FINISH', PullUploadTask: pull })).toEqual({
      state: 'finished',
      file: { fileId: ID, url: 'http://v.example/1.mp4' },
    });
  });

  test('a failed task has its code and message, without the query of an address', async () => {
    const Message = 'cannot get https://b.s3.amazonaws.com/k?X-Amz-Signature=abc now';
    const pull = { Status: 'FINISH', ErrCode: 70_001, Message, FileId: '', FileUrl: '' };
    expect(await detail({ Status: 'FINISH', PullUploadTask: pull })).toEqual({
      state: 'failed',
      reason: 'code 70001 (cannot get https://b.s3.amazonaws.com/k?… now)',
    });
  });

  test('a finished task without a result is unexpected', async () => {
    const message =
      'DescribeTaskDetail task-1: expected the SHA-1 or the FileId of a finished task, got neither';
    const pull = { Status: 'FINISH', ErrCode: 0, FileId: '' };
    await expectFailure(detail({ Status: 'FINISH', PullUploadTask: pull }), 'VodUnavailable', message);
  });

  test('pullUpload returns the ID of its task, or undefined for a repeated session', async () => {
    const { api, requests } = await startScriptedApi(
      reply({ TaskId: 'task-2' }),
      replyError('InvalidParameterValue.SessionId'),
    );
    const pull = { ...FILE, mediaUrl: 'https://b.s3.example/k?X-Amz-Signature=abc', sessionId: 's-1' };
    expect(await api.pullUpload(pull, never)).toBe('task-2');
    expect(await api.pullUpload(pull, never)).toBeUndefined();
    expect(paramsOf(requests[0])).toEqual({
      ...{ MediaType: 'mp4', MediaName: '电影' },
      ...{ MediaUrl: pull.mediaUrl, SessionId: 's-1' },
    });
  });
});
