import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { S3 } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { startS3 } from '../../../local/s3/server.ts';
import {
  BUCKET,
  CREDENTIALS,
  connect,
  failureOf,
  readText,
  useS3,
  VERSIONED,
} from '../../support/local-s3.ts';
import { newFolder } from '../../support/temp-folder.ts';

const s3 = useS3();

describe('data folder', () => {
  test('keeps everything about an object across a restart', async () => {
    const kept = { ContentType: 'video/mp4', Metadata: { a: 'b' }, StorageClass: 'STANDARD_IA' } as const;
    for (const Bucket of [BUCKET, VERSIONED]) {
      const target = { Bucket, Key: 'kept' };
      await s3.client.putObject({ ...target, Body: 'bytes', Tagging: 'a=1', ...kept });
      const before = await s3.client.headObject({ ...target, ChecksumMode: 'ENABLED' });
      await s3.restart();
      const { $metadata: _, ...after } = await s3.client.headObject({ ...target, ChecksumMode: 'ENABLED' });
      expect(before).toMatchObject(after);
      expect(after).toMatchObject({ ...kept, TagCount: 1 });
      expect(await readText(await s3.client.getObject(target))).toBe('bytes');
    }
  });

  test('is cleared of unfinished files at the start', async () => {
    await s3.put('swept', { Body: 'stays' });
    const before = await s3.countBlobs();
    await writeFile(join(s3.dir, 'blobs', 'orphan'), 'half a body');
    await writeFile(join(s3.dir, 'drafts', 'draft'), '{"half":');
    await s3.restart();
    expect(await s3.countBlobs()).toBe(before);
    expect(await readdir(join(s3.dir, 'drafts'))).toEqual([]);
    expect(await s3.getText('swept')).toBe('stays');
  });

  test('is cleared of uploads that received nothing during the last run', async () => {
    const before = await s3.countBlobs();
    const target = { Bucket: BUCKET, Key: 'abandoned' };
    const { UploadId } = await s3.client.createMultipartUpload(target);
    await s3.client.uploadPart({ ...target, UploadId, PartNumber: 1, Body: 'leaked' });
    await s3.restart();
    const part = { ...target, UploadId, PartNumber: 2, Body: 'continued' };
    await s3.client.uploadPart(part);
    await s3.restart();
    expect((await s3.client.listParts({ ...target, UploadId })).Parts).toHaveLength(2);
    await s3.restart();
    expect(await failureOf(s3.client.listParts({ ...target, UploadId }))).toBe('404 NoSuchUpload');
    expect(await s3.countBlobs()).toBe(before);
    expect(await readdir(join(s3.dir, 'uploads'))).toEqual([]);
  });

  test('contains the old or the new object after a kill at any moment', async () => {
    const dir = await newFolder();
    const BODY = 64 * 1024;
    let acknowledged = 0;
    for (const rounds of [1, 7, 20]) {
      const child = fork(join(import.meta.dirname, '../../support/killable-s3.ts'), [dir], { execArgv: [] });
      const [port]: number[] = await once(child, 'message');
      const client = connect(`http://127.0.0.1:${port}`);
      await client.createBucket({ Bucket: BUCKET });
      const write = (value: number) =>
        client.putObject({ Bucket: BUCKET, Key: 'k', Body: Buffer.alloc(BODY, value) });
      for (let round = 0; round < rounds; round++) {
        await write(acknowledged + 1);
        acknowledged++;
      }
      const exit = once(child, 'exit');
      const cutOff = failureOf(write(acknowledged + 1));
      child.kill('SIGKILL');
      await Promise.all([exit, cutOff]);
      client.destroy();

      const server = await startS3({ dir, port: 0, credentials: CREDENTIALS });
      const reader: S3 = connect(server.endpoint);
      const { Body } = await reader.getObject({ Bucket: BUCKET, Key: 'k' });
      const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
      const [value = 0] = bytes;
      expect([acknowledged, acknowledged + 1]).toContain(value);
      expect(bytes.equals(Buffer.alloc(BODY, value))).toBe(true);
      expect(await readdir(join(dir, 'blobs'))).toHaveLength(1);
      acknowledged = value;
      reader.destroy();
      await server.close();
    }
  });

  test('stops the start with the path of an invalid record', async () => {
    const dir = await newFolder();
    await writeFile(join(dir, 'starts.json'), '"many"');
    await expect(startS3({ dir, port: 0, credentials: CREDENTIALS })).rejects.toThrow(
      join(dir, 'starts.json'),
    );
  });
});
