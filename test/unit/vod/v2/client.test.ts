import { describe, expect, test } from 'vitest';
import { type InitUploadResult, PART_SIZE } from '../../../../lib/vod/v2/client.ts';
import { sign } from '../../../../lib/vod/v2/signature.ts';
import { expectFailure } from '../../../support/expect-failure.ts';
import type { ReceivedRequest } from '../../../support/scripted-server.ts';
import { fileId, hash, never, sha1 } from '../../../support/values.ts';
import { connectTo, FILE, KEY, respond, startScriptedVod, TOKEN } from '../../../support/vod-account.ts';

const COMMON = ['Action', 'Nonce', 'Region', 'SecretId', 'Signature', 'SignatureMethod', 'Timestamp'];

const paramsOf = ({ query }: ReceivedRequest) => Object.fromEntries(query);
/** The parameters that not every call has. */
const ownParamsOf = (requests: ReceivedRequest | undefined) =>
  Object.fromEntries([...(requests?.query ?? [])].filter(([name]) => !COMMON.includes(name)));

describe('createVodClient', () => {
  const PART = Buffer.from('the bytes of a part');
  const described = { fileName: '电影 (1)', fileSha: FILE.sha1, fileSize: '6000000', fileType: 'mp4' };

  test('sends InitUpload as GET with the file and the largest part size', async () => {
    const { vod, requests } = await startScriptedVod(respond({ code: 0 }));
    expect(await vod.initUpload(FILE, never)).toEqual({ state: 'open', partSize: PART_SIZE, held: [] });
    expect(requests[0]).toMatchObject({ method: 'GET', path: '/v2/index.php', body: Buffer.alloc(0) });
    expect(requests[0]?.query.get('Action')).toBe('InitUpload');
    expect(ownParamsOf(requests[0])).toEqual({ ...described, dataSize: '1048576' });
  });

  test('sends every option that is set with InitUpload, and no other', async () => {
    const { vod, requests } = await startScriptedVod(respond({ code: 0 }));
    const tags = ['a', 'b &=', '电'];
    const options = { tags, classId: 0, transcode: true, screenshot: false, fileName: 'not this' };
    await vod.initUpload({ ...FILE, options }, never);
    expect(ownParamsOf(requests[0])).toEqual({
      ...{ ...described, dataSize: '1048576' },
      ...{ 'tags.1': 'a', 'tags.2': 'b &=', 'tags.3': '电' },
      ...{ classId: '0', isTranscode: '1', isScreenshot: '0' },
    });
  });

  test('sends UploadPart as POST of exactly the bytes, with their MD5', async () => {
    const { vod, requests } = await startScriptedVod(respond({ code: 0 }));
    await vod.uploadPart(FILE.sha1, { offset: 1_048_576, size: PART.length }, PART, never);
    expect(requests[0]).toMatchObject({
      method: 'POST',
      body: PART,
      headers: { 'content-length': String(PART.length), 'content-type': 'application/octet-stream' },
    });
    expect(requests[0]?.query.get('Action')).toBe('UploadPart');
    expect(ownParamsOf(requests[0])).toEqual({
      fileSha: FILE.sha1,
      offset: '1048576',
      dataSize: String(PART.length),
      dataMd5: hash('md5', PART),
    });
  });

  test('sends FinishUpload as GET, and keeps all digits of the fileId', async () => {
    const { vod, requests } = await startScriptedVod((response) =>
      response.end('{"code":0,"fileId":52858909004613270240,"url":"http://u"}'),
    );
    const file = { fileId: '52858909004613270240', url: 'http://u', sha1: FILE.sha1 };
    expect(await vod.finishUpload(FILE.sha1, never)).toEqual(file);
    expect(requests[0]).toMatchObject({ method: 'GET', body: Buffer.alloc(0) });
    expect(requests[0]?.query.get('Action')).toBe('FinishUpload');
    expect(ownParamsOf(requests[0])).toEqual({ fileSha: FILE.sha1 });
  });

  test.each([0, 2])('sends SmallFileUpload as POST of the image with its file (code %i)', async (code) => {
    const { vod, requests } = await startScriptedVod(respond({ code, fileId: '8', url: 'http://u' }));
    const names = { fileName: 'cover', fileType: 'jpg' };
    const image = { sha1: sha1(PART), bytes: PART, ...names, coverOf: fileId('77') };
    const file = { fileId: '8', url: 'http://u', sha1: sha1(PART) };
    expect(await vod.uploadSmallFile(image, never)).toEqual(file);
    expect(requests[0]).toMatchObject({ method: 'POST', body: PART });
    expect(ownParamsOf(requests[0])).toEqual({
      ...names,
      fileSha: sha1(PART),
      ...{ fileSize: String(PART.length), dataSize: String(PART.length) },
      ...{ 'extra.usage': '1', 'extra.fileId': '77' },
    });
    expect(requests[0]?.query.get('Action')).toBe('SmallFileUpload');
  });
});

describe('every call', () => {
  const PATHS = ['/v2/index.php', '/v3/index.php'];
  test.each(PATHS)('is signed for the configured host and %s, whatever the endpoint', async (path) => {
    const { endpoint, requests } = await startScriptedVod(respond({ code: 0 }));
    const vod = connectTo(endpoint + path, { host: 'vod.example.com', region: 'sh' });
    await vod.initUpload(FILE, never);
    await vod.uploadPart(FILE.sha1, { offset: 0, size: 1 }, Buffer.from('x'), never);
    for (const call of requests) {
      const { Signature, ...params } = paramsOf(call);
      expect(Signature).toBe(sign(KEY, call.method, 'vod.example.com', path, params));
      expect(call.path).toBe(path);
      expect(params).toMatchObject({ Region: 'sh', SecretId: 'the-id', SignatureMethod: 'HmacSHA256' });
      expect(params.Nonce).toMatch(/^[1-9]\d{0,14}$/);
      expect(Math.abs(Number(params.Timestamp) - Date.now() / 1000)).toBeLessThan(60);
      expect('Token' in params).toBe(false);
    }
  });

  test('sends and signs the token of temporary credentials', async () => {
    const { endpoint, requests } = await startScriptedVod(respond({ code: 0 }));
    const secrets = { secretId: 'the-id', secretKey: KEY, token: TOKEN };
    await connectTo(`${endpoint}/v2/index.php`, { secrets }).initUpload(FILE, never);
    const [call] = requests.map(paramsOf);
    const { Signature, ...params } = call ?? {};
    expect(params.Token).toBe(TOKEN);
    expect(Signature).toBe(sign(KEY, 'GET', 'vod2.qcloud.com', '/v2/index.php', params));
  });

  test('has a unique nonce, also concurrently', async () => {
    const { vod, requests } = await startScriptedVod(respond({ code: 0 }));
    await Promise.all(Array.from({ length: 50 }, () => vod.initUpload(FILE, never)));
    expect(new Set(requests.map(({ query }) => query.get('Nonce'))).size).toBe(50);
  });
});

describe('initUpload of an upload that exists', () => {
  const half = 524_288;
  const open = async (fields: object): Promise<InitUploadResult> =>
    (await startScriptedVod(respond({ code: 1, ...fields }))).vod.initUpload(FILE, never);
  const held = (dataSize: number, ...parts: number[]) =>
    parts.map((part) => ({ offset: part * dataSize, dataSize }));
  const last = { offset: 5_767_168, dataSize: 232_832 };

  test.each([
    ['requested by VOD', { dataSize: half, listParts: held(half, 0, 3) }, half],
    ['requested, not that of the held parts', { dataSize: 700_000, listParts: held(half, 0) }, 700_000],
    ['of the held parts, without a requested size', { listParts: held(half, 2, 1) }, half],
    ['of the held parts, except the last part', { listParts: [last, ...held(half, 4)] }, half],
    ['of the request, when only the last part is held', { listParts: [last] }, PART_SIZE],
    ['of the request, when no part is held', {}, PART_SIZE],
  ])('returns the part size %s', async (_, fields, partSize) => {
    expect(await open(fields)).toMatchObject({ state: 'open', partSize });
  });

  test('returns the held parts', async () => {
    const listParts = [...held(half, 0, 5), last].map((part) => ({ ...part, dataSha: 'x' }));
    const opened = await open({ dataSize: half, listParts });
    expect(opened.state === 'open' && { ...opened, held: [...opened.held] }).toEqual({
      state: 'open',
      partSize: half,
      held: [...held(half, 0, 5), last],
    });
  });

  test.each([0, 1, 524_287, 1_048_577, 5_999_999])(
    'throws VodRejected for parts of %i bytes',
    async (dataSize) => {
      for (const fields of [{ dataSize }, { listParts: [{ offset: 0, dataSize }] }]) {
        const message = `^InitUpload 电影 \\(1\\)\\.mp4: expected a part size .* 524288 to 1048576 .* ${dataSize}$`;
        await expectFailure(open(fields), 'VodRejected', new RegExp(message));
      }
    },
  );

  test('returns the stored file for code 2', async () => {
    const { vod, requests } = await startScriptedVod(respond({ code: 2, fileId: '9'.repeat(20), url: '' }));
    const file = { fileId: '9'.repeat(20), url: '', sha1: FILE.sha1 };
    expect(await vod.initUpload(FILE, never)).toEqual({ state: 'stored', file });
    expect(requests).toHaveLength(1);
  });
});
