import { describe, expect, test } from 'vitest';
import { type InitUploadResult, PART_SIZE } from '../../../lib/vod/client.ts';
import { sign } from '../../../lib/vod/signature.ts';
import type { Asked } from '../../support/scripted-server.ts';
import { failureOf, fileId, hash, never, sha1 } from '../../support/values.ts';
import { against, connect, FILE, KEY, says, TOKEN } from '../../support/vod-account.ts';

const COMMON = ['Action', 'Nonce', 'Region', 'SecretId', 'Signature', 'SignatureMethod', 'Timestamp'];

const paramsOf = ({ query }: Asked) => Object.fromEntries(query);
/** What a call says beside what every call says. */
const ownOf = (asked: Asked | undefined) =>
  Object.fromEntries([...(asked?.query ?? [])].filter(([name]) => !COMMON.includes(name)));

describe('each call', () => {
  const PART = Buffer.from('the bytes of a part');
  const described = { fileName: '电影 (1)', fileSha: FILE.sha1, fileSize: '6000000', fileType: 'mp4' };

  test('InitUpload: GET, the file and the largest part size', async () => {
    const { vod, asked } = await against(says({ code: 0 }));
    expect(await vod.initUpload(FILE, never)).toEqual({ state: 'open', partSize: PART_SIZE, held: [] });
    expect(asked[0]).toMatchObject({ method: 'GET', path: '/v2/index.php', body: Buffer.alloc(0) });
    expect(asked[0]?.query.get('Action')).toBe('InitUpload');
    expect(ownOf(asked[0])).toEqual({ ...described, dataSize: '1048576' });
  });

  test('InitUpload says every option that is set, and no other', async () => {
    const { vod, asked } = await against(says({ code: 0 }));
    const options = {
      tags: ['a', 'b &=', '电'],
      classId: 0,
      transcode: true,
      screenshot: false,
      fileName: 'not this',
    };
    await vod.initUpload({ ...FILE, options }, never);
    expect(ownOf(asked[0])).toEqual({
      ...described,
      dataSize: '1048576',
      'tags.1': 'a',
      'tags.2': 'b &=',
      'tags.3': '电',
      classId: '0',
      isTranscode: '1',
      isScreenshot: '0',
    });
  });

  test('UploadPart: POST of exactly the bytes, with their MD5', async () => {
    const { vod, asked } = await against(says({ code: 0 }));
    await vod.uploadPart(FILE.sha1, { offset: 1_048_576, size: PART.length }, PART, never);
    expect(asked[0]).toMatchObject({
      method: 'POST',
      body: PART,
      headers: { 'content-length': String(PART.length), 'content-type': 'application/octet-stream' },
    });
    expect(asked[0]?.query.get('Action')).toBe('UploadPart');
    expect(ownOf(asked[0])).toEqual({
      fileSha: FILE.sha1,
      offset: '1048576',
      dataSize: String(PART.length),
      dataMd5: hash('md5', PART),
    });
  });

  test('FinishUpload: GET; the fileId keeps its digits', async () => {
    const { vod, asked } = await against((response) =>
      response.end('{"code":0,"fileId":52858909004613270240,"url":"http://u"}'),
    );
    expect(await vod.finishUpload(FILE.sha1, never)).toEqual({
      fileId: '52858909004613270240',
      url: 'http://u',
      sha1: FILE.sha1,
    });
    expect(asked[0]).toMatchObject({ method: 'GET', body: Buffer.alloc(0) });
    expect(asked[0]?.query.get('Action')).toBe('FinishUpload');
    expect(ownOf(asked[0])).toEqual({ fileSha: FILE.sha1 });
  });

  test.each([0, 2])('SmallFileUpload: POST of the image, for its video (code %i)', async (code) => {
    const { vod, asked } = await against(says({ code, fileId: '8', url: 'http://u' }));
    const image = {
      sha1: sha1(PART),
      bytes: PART,
      fileName: 'cover',
      fileType: 'jpg',
      coverOf: fileId('77'),
    };
    expect(await vod.uploadSmallFile(image, never)).toEqual({
      fileId: '8',
      url: 'http://u',
      sha1: sha1(PART),
    });
    expect(asked[0]).toMatchObject({ method: 'POST', body: PART });
    expect(ownOf(asked[0])).toEqual({
      fileName: 'cover',
      fileSha: sha1(PART),
      fileSize: String(PART.length),
      dataSize: String(PART.length),
      fileType: 'jpg',
      'extra.usage': '1',
      'extra.fileId': '77',
    });
    expect(asked[0]?.query.get('Action')).toBe('SmallFileUpload');
  });
});

describe('every call', () => {
  test.each(['/v2/index.php', '/v3/index.php'])(
    'is signed for the service’s host and %s, wherever it is sent',
    async (path) => {
      const { endpoint, asked } = await against(says({ code: 0 }));
      const vod = connect(endpoint + path, { host: 'vod.example.com', region: 'sh' });
      await vod.initUpload(FILE, never);
      await vod.uploadPart(FILE.sha1, { offset: 0, size: 1 }, Buffer.from('x'), never);
      for (const call of asked) {
        const { Signature, ...params } = paramsOf(call);
        expect(Signature).toBe(sign(KEY, call.method, 'vod.example.com', path, params));
        expect(call.path).toBe(path);
        expect(params).toMatchObject({ Region: 'sh', SecretId: 'the-id', SignatureMethod: 'HmacSHA256' });
        expect(params.Nonce).toMatch(/^[1-9]\d{0,14}$/);
        expect(Math.abs(Number(params.Timestamp) - Date.now() / 1000)).toBeLessThan(60);
        expect('Token' in params).toBe(false);
      }
    },
  );

  test('carries the token of temporary credentials, signed like the rest', async () => {
    const { endpoint, asked } = await against(says({ code: 0 }));
    const secrets = { secretId: 'the-id', secretKey: KEY, token: TOKEN };
    await connect(`${endpoint}/v2/index.php`, { secrets }).initUpload(FILE, never);
    const [call] = asked.map(paramsOf);
    const { Signature, ...params } = call ?? {};
    expect(params.Token).toBe(TOKEN);
    expect(Signature).toBe(sign(KEY, 'GET', 'vod2.qcloud.com', '/v2/index.php', params));
  });

  test('has a nonce of its own, also side by side', async () => {
    const { vod, asked } = await against(says({ code: 0 }));
    await Promise.all(Array.from({ length: 50 }, () => vod.initUpload(FILE, never)));
    expect(new Set(asked.map(({ query }) => query.get('Nonce'))).size).toBe(50);
  });
});

describe('an upload that was begun before goes on', () => {
  const half = 524_288;
  const open = async (fields: object): Promise<InitUploadResult> =>
    (await against(says({ code: 1, ...fields }))).vod.initUpload(FILE, never);
  const held = (dataSize: number, ...parts: number[]) =>
    parts.map((part) => ({ offset: part * dataSize, dataSize }));
  const last = { offset: 5_767_168, dataSize: 232_832 };

  test.each([
    ['in the part size that the service says', { dataSize: half, listParts: held(half, 0, 3) }, half],
    ['which stands above what the parts show', { dataSize: 700_000, listParts: held(half, 0) }, 700_000],
    ['in that of the parts, where it says none', { listParts: held(half, 2, 1) }, half],
    ['in that of the whole ones among them', { listParts: [last, ...held(half, 4)] }, half],
    ['in what was asked for, where only the last part is held', { listParts: [last] }, PART_SIZE],
    ['in what was asked for, where none is', {}, PART_SIZE],
  ])('%s', async (_, fields, partSize) => {
    expect(await open(fields)).toMatchObject({ state: 'open', partSize });
  });

  test('with the parts that the service lists', async () => {
    const listParts = [...held(half, 0, 5), last].map((part) => ({ ...part, dataSha: 'x' }));
    const opened = await open({ dataSize: half, listParts });
    expect(opened.state === 'open' && { ...opened, held: [...opened.held] }).toEqual({
      state: 'open',
      partSize: half,
      held: [...held(half, 0, 5), last],
    });
  });

  test.each([0, 1, 524_287, 1_048_577, 5_999_999])(
    'not in parts of %i bytes: VodRejected, naming the number',
    async (dataSize) => {
      for (const fields of [{ dataSize }, { listParts: [{ offset: 0, dataSize }] }]) {
        expect(await failureOf(open(fields))).toMatchObject({
          name: 'VodRejected',
          message: expect.stringMatching(
            new RegExp(
              `^InitUpload 电影 \\(1\\)\\.mp4: expected a part size .* 524288 to 1048576 .* ${dataSize}$`,
            ),
          ),
        });
      }
    },
  );

  test('or is stored already: code 2', async () => {
    const { vod, asked } = await against(says({ code: 2, fileId: '9'.repeat(20), url: '' }));
    expect(await vod.initUpload(FILE, never)).toEqual({
      state: 'stored',
      file: { fileId: '9'.repeat(20), url: '', sha1: FILE.sha1 },
    });
    expect(asked).toHaveLength(1);
  });
});
