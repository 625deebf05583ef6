import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fileIdCandidates, recognizeFile } from '../../../../lib/vod/v2018/recognize.ts';
import { expectFailure } from '../../../support/expect-failure.ts';
import { never } from '../../../support/values.ts';
import { reply, replyError, startScriptedApi } from '../../../support/vod-api.ts';

const UPLOAD = {
  path: '9c81d7b1vodcq1500000000/3f2a9b0d5285890781763144364/f0.mp4',
  sourceContext: 'execution-1',
};

describe('fileIdCandidates', () => {
  test('contain the FileId after eight hexadecimal digits', () => {
    const digits = (length: number) =>
      fc
        .array(fc.integer({ min: 0, max: 9 }), { minLength: length, maxLength: length })
        .map((all) => all.join('').replace(/^0/, '5'));
    const hex = fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(fc.integer({ min: 15, max: 20 }).chain(digits), hex, fc.boolean(), (id, prefix, slash) => {
        const candidates = fileIdCandidates(`${slash ? '/' : ''}1vodcq15/${prefix.join('')}${id}/f0.mp4`);
        expect(candidates).toContain(id);
        expect(candidates.length).toBeLessThanOrEqual(6);
      }),
    );
  });

  test('are the longest first', () => {
    expect(fileIdCandidates(UPLOAD.path)).toEqual([
      '5285890781763144364',
      '285890781763144364',
      '85890781763144364',
      '5890781763144364',
      '890781763144364',
    ]);
  });

  test.each(['', 'f0.mp4', 'a/b/f0.mp4', 'a/12345678901234/f0.mp4', 'a/5285890781763144364x/f0.mp4'])(
    'are none for the path %j',
    (path) => {
      expect(fileIdCandidates(path)).toEqual([]);
    },
  );
});

describe('recognizeFile', () => {
  const media = (id: string, context: string) => ({
    FileId: id,
    BasicInfo: { MediaUrl: `http://v.example/${id}.mp4`, SourceInfo: { SourceContext: context } },
  });

  test('returns the candidate with the SourceContext of the upload', async () => {
    const others = [media('285890781763144364', 'execution-2'), media('77', 'execution-1')];
    const { api, requests } = await startScriptedApi(
      reply({ MediaInfoSet: [...others, media('5285890781763144364', 'execution-1')] }),
    );
    expect(await recognizeFile(api, UPLOAD, never)).toEqual({
      fileId: '5285890781763144364',
      url: 'http://v.example/5285890781763144364.mp4',
    });
    expect(JSON.parse(requests[0]?.body.toString() ?? '')).toMatchObject({
      FileIds: fileIdCandidates(UPLOAD.path),
    });
  });

  test.each([
    ['no candidate exists', reply({ MediaInfoSet: [], NotExistFileIdSet: ['1'] })],
    ['the file has another SourceContext', reply({ MediaInfoSet: [media('5285890781763144364', 'x')] })],
    ['the file is no candidate', reply({ MediaInfoSet: [media('77', 'execution-1')] })],
    ['VOD rejects the IDs', replyError('InvalidParameterValue.FileIds')],
    ['VOD does not find the IDs', replyError('ResourceNotFound')],
  ])('returns undefined when %s', async (_, response) => {
    const { api } = await startScriptedApi(response);
    expect(await recognizeFile(api, UPLOAD, never)).toBeUndefined();
  });

  test('calls VOD neither without a candidate nor without a SourceContext', async () => {
    const { api, requests } = await startScriptedApi(reply({ MediaInfoSet: [] }));
    expect(await recognizeFile(api, { ...UPLOAD, path: 'a/b/f0.mp4' }, never)).toBeUndefined();
    expect(await recognizeFile(api, { ...UPLOAD, sourceContext: '' }, never)).toBeUndefined();
    expect(requests).toEqual([]);
  });

  test('throws when the key may not describe files', async () => {
    const { api } = await startScriptedApi(replyError('UnauthorizedOperation'));
    await expectFailure(recognizeFile(api, UPLOAD, never), 'VodRejected', 'Check its policy');
  });
});
