import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type CosObject, createCosClient } from '../../../lib/cos/client.ts';
import { UploadNotFound } from '../../../lib/errors.ts';
import { type AppliedUpload, createVodApi } from '../../../lib/vod/v2018/api.ts';
import { recognizeFile } from '../../../lib/vod/v2018/recognize.ts';
import { listen } from '../../../local/http-server.ts';
import type { VodOptions } from '../../../local/vod/server.ts';
import { createAmpleQuota } from '../../support/quota.ts';
import { createBytes, hash, MIB } from '../../support/values.ts';
import { SECRETS } from '../../support/vod-client.ts';
import { startService } from '../../support/vod-service.ts';

/** The clients of the pipeline and the local service agree. */

const { signal } = new AbortController();

async function connect(options: Partial<VodOptions> = {}) {
  const { vod, dir } = await startService(options);
  const api = createVodApi({ endpoint: new URL(vod.endpoint), secrets: SECRETS }, createAmpleQuota());
  const cos = createCosClient({ endpoint: new URL(vod.cosEndpoint) });
  onTestFinished(() => {
    api.close();
    cos.close();
  });
  return { vod, dir, api, cos };
}

function objectOf({ bucket, region, path, keys }: AppliedUpload): CosObject {
  const at = { bucket, region, key: path.replace(/^\//, '') };
  if (!keys) return { ...at, keys: SECRETS };
  const { expiresAt, ...rest } = keys;
  return { ...at, keys: { ...rest, expires: expiresAt / 1000 } };
}

describe('the pipeline’s clients', () => {
  test('upload in parts, buffered and streamed, and commit', async () => {
    const { vod, dir, api, cos } = await connect();
    const parts = [createBytes(MIB), createBytes(2 * MIB), createBytes(99)];
    const applied = await api.applyUpload(
      { mediaType: 'mp4', mediaName: 'name', sourceContext: 'job' },
      signal,
    );
    const at = objectOf(applied);
    const uploadId = await cos.createMultipartUpload(at, signal);
    for (const [index, bytes] of parts.entries()) {
      const stream = async function* () {
        yield bytes.subarray(0, 50);
        yield bytes.subarray(50);
      };
      const part = { uploadId, number: index + 1, size: bytes.length, body: index === 1 ? stream : bytes };
      await cos.uploadPart(at, part, signal);
    }
    const held = await cos.listParts(at, uploadId, signal);
    expect(held).toEqual(
      parts.map((bytes, index) => ({ number: index + 1, size: bytes.length, etag: hash('md5', bytes) })),
    );
    const completed = await cos.completeMultipartUpload(at, uploadId, held, signal);
    const size = parts.reduce((sum, bytes) => sum + bytes.length, 0);
    expect(await cos.headObject(at, signal)).toEqual({ ...completed, size });
    const { fileId } = await api.commitUpload(applied, signal);
    expect(await readFile(join(dir, 'files', `${fileId}.mp4`))).toEqual(Buffer.concat(parts));
    expect(vod.files()).toMatchObject([{ fileId, fileName: 'name', sourceContext: 'job' }]);
  });

  test('recognize the file of a commit whose response was lost', async () => {
    const { vod, api, cos } = await connect();
    const applied = await api.applyUpload({ mediaType: 'mp4', sourceContext: 'job' }, signal);
    await cos.putObject(objectOf(applied), Buffer.from('video'), signal);
    const committed = await api.commitUpload(applied, signal);
    await expect(api.commitUpload(applied, signal)).rejects.toThrow(UploadNotFound);
    const { path } = applied;
    expect(await recognizeFile(api, { path, sourceContext: 'job' }, signal)).toEqual(committed);
    expect(await recognizeFile(api, { path, sourceContext: 'other' }, signal)).toBeUndefined();
    expect(vod.files()).toHaveLength(1);
  });

  test('change a file, attach a cover, and compare its SHA-1', async () => {
    const { vod, api, cos } = await connect({ taskMs: 10 });
    const applied = await api.applyUpload({ mediaType: 'mp4' }, signal);
    await cos.putObject(objectOf(applied), Buffer.from('video'), signal);
    const { fileId } = await api.commitUpload(applied, signal);
    const cover = await readFile('sample/clip.jpg');
    const { coverUrl } = await api.modifyMediaInfo({ fileId, addTags: ['a'], cover }, signal);
    expect(vod.files()).toMatchObject([
      { fileId, tags: ['a'], cover: { url: coverUrl } },
      { coverOf: fileId },
    ]);
    const taskId = await api.describeFileAttributes(fileId, signal);
    await vi.waitFor(
      async () =>
        expect(await api.describeTaskDetail(taskId, signal)).toMatchObject({
          state: 'finished',
          sha1: hash('sha1', 'video'),
        }),
      5_000,
    );
  });

  test('let VOD pull a file, once', async () => {
    const { vod, api } = await connect({ taskMs: 10 });
    const origin = await listen(createServer(), 0, async (_, response) => void response.end('video'));
    onTestFinished(origin.close);
    const pull = { mediaUrl: `${origin.endpoint}/v.mp4`, mediaType: 'mp4', sessionId: 'once' };
    const taskId = (await api.pullUpload(pull, signal)) ?? '';
    expect(await api.pullUpload(pull, signal)).toBeUndefined();
    await vi.waitFor(
      async () =>
        expect(await api.describeTaskDetail(taskId, signal)).toMatchObject({
          state: 'finished',
          file: { fileId: vod.files()[0]?.fileId },
        }),
      5_000,
    );
  });

  test('sign with the keys of the account when there are no temporary keys', async () => {
    const { vod, api, cos } = await connect({ keysLiveMs: null });
    const applied = await api.applyUpload({ mediaType: 'mp4' }, signal);
    await cos.putObject(objectOf(applied), Buffer.from('video'), signal);
    await api.commitUpload(applied, signal);
    expect(vod.files()).toHaveLength(1);
  });
});
