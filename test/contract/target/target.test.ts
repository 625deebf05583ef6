import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, onTestFinished, test } from 'vitest';
import { uploadSettings, VOD_APIS, type VodApiVersion } from '../../../lib/config.ts';
import { type FileId, type PartRun, Sha1 } from '../../../lib/schemas.ts';
import { mergeRuns } from '../../../lib/upload/crc64.ts';
import { missingParts, partRange } from '../../../lib/upload/plan.ts';
import { openTarget } from '../../../lib/vod/open-target.ts';
import type { OpenResult, VodTarget } from '../../../lib/vod/target.ts';
import type { FaultSelector } from '../../../local/fault-injection.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { image } from '../../support/images.ts';
import { createAmpleQuota } from '../../support/quota.ts';
import { createBytes, sha1 } from '../../support/values.ts';
import { SECRETS } from '../../support/vod-client.ts';
import { startService } from '../../support/vod-service.ts';

/** Each target, with the local service of its API. */

const BYTES = createBytes(17 * 1024 ** 2 + 5);
const PIN = { bucket: 'videos', key: 'a.mp4', etag: 'e1', size: BYTES.length };
const FILE = {
  ...{ pin: PIN, fileName: 'a', fileType: 'mp4', options: {}, execution: 'execution-1' },
  sha1: v.parse(Sha1, sha1(BYTES)),
};
const { signal } = new AbortController();
type Open = Extract<OpenResult, { state: 'open' }>;

async function startTarget(api: VodApiVersion, faults?: FaultSelector) {
  const { vod, dir } = await startService({ quota: false, faults });
  const settings = uploadSettings({
    VOD_API: api,
    VOD_ENDPOINT: vod.endpoint,
    VOD_COS_ENDPOINT: vod.cosEndpoint,
  }).vod;
  const target = openTarget(settings, { secrets: SECRETS, quota: createAmpleQuota(), maxFunctions: 4 });
  onTestFinished(() => target.disconnect());
  return { vod, target, dir };
}

async function open(target: VodTarget, earlier?: Parameters<VodTarget['open']>[1]): Promise<Open> {
  const opened = await target.open(FILE, earlier, signal);
  if (opened.state !== 'open') throw new Error(`expected an open upload, got ${opened.state}`);
  return opened;
}

const boundsOf = ({ partSize }: Open) => ({ size: BYTES.length, partSize });

async function send(target: VodTarget, opened: Open, parts: readonly number[]): Promise<PartRun[]> {
  const bounds = boundsOf(opened);
  const runs: PartRun[] = [];
  for (const part of parts) {
    const range = partRange(part, bounds);
    const upload = { ...bounds, ...opened, pin: PIN };
    const body = BYTES.subarray(range.offset, range.offset + range.size);
    const checks = await target.sendPart(upload, { part, range }, body, signal);
    if (checks) runs.push({ first: part, count: 1, ...checks });
  }
  return mergeRuns(runs, bounds);
}

const close = (target: VodTarget, opened: Open, runs: readonly PartRun[]) =>
  target.close({ ...opened, pin: PIN, sha1: FILE.sha1, bounds: boundsOf(opened), runs }, signal);

const allParts = (opened: Open): number[] => missingParts([], boundsOf(opened));

describe.each(VOD_APIS)('API %s', (api) => {
  test('stores the bytes of all parts', async () => {
    const { vod, target } = await startTarget(api);
    const opened = await open(target);
    expect([...opened.held]).toEqual([]);
    const closed = await close(target, opened, await send(target, opened, allParts(opened)));
    expect(closed).toMatchObject({ state: 'stored', file: { sha1: FILE.sha1 } });
    expect(vod.files()).toMatchObject([{ sha1: FILE.sha1, size: BYTES.length }]);
  });

  test('continues an earlier upload with the parts that it lacks', async () => {
    const { vod, target } = await startTarget(api);
    const opened = await open(target);
    const runs = await send(target, opened, [1]);
    const again = await open(target, { session: opened.session, runs });
    expect(again).toMatchObject({ session: opened.session, partSize: opened.partSize });
    const rest = missingParts(again.held, boundsOf(again));
    expect(rest).toEqual(allParts(again).filter((part) => part !== 1));
    await close(target, again, mergeRuns([...runs, ...(await send(target, again, rest))], boundsOf(again)));
    expect(vod.files()).toMatchObject([{ sha1: FILE.sha1 }]);
  });

  test('does not close an upload that lacks a part', async () => {
    const { vod, target } = await startTarget(api);
    const opened = await open(target);
    const runs = await send(target, opened, [0]);
    await expectFailure(close(target, opened, runs), 'UploadNotFound', /./);
    expect(vod.files()).toEqual([]);
  });

  test('rejects a session that is not open any more', async () => {
    const lost: FaultSelector = ({ call }) => (call === 'UploadPart' ? 'upload-lost' : undefined);
    const { target } = await startTarget(api, lost);
    const opened = await open(target);
    await expectFailure(send(target, opened, [0]), 'UploadNotFound', /./);
  });

  test('closes an upload again after the response was lost', async () => {
    accelerateTimers();
    const seen = new Set<string>();
    const lose: FaultSelector = ({ call }) => {
      if (!/^(FinishUpload|CompleteMultipartUpload|CommitUpload)$/.test(call) || seen.has(call))
        return undefined;
      seen.add(call);
      return 'lost-response';
    };
    const { vod, target } = await startTarget(api, lose);
    const opened = await open(target);
    const closed = await close(target, opened, await send(target, opened, allParts(opened)));
    expect(vod.files()).toMatchObject([{ fileId: closed.state === 'stored' && closed.file.fileId }]);
  });

  test('closes a closed upload with the same file', async () => {
    const { vod, target } = await startTarget(api);
    const opened = await open(target);
    const runs = await send(target, opened, allParts(opened));
    const first = await close(target, opened, runs);
    expect(await close(target, opened, runs)).toEqual(first);
    expect(vod.files()).toHaveLength(1);
  });

  test('attaches a cover', async () => {
    const { vod, target } = await startTarget(api);
    const opened = await open(target);
    const closed = await close(target, opened, await send(target, opened, allParts(opened)));
    const bytes = image('jpg');
    const coverOf: FileId | undefined = closed.state === 'stored' ? closed.file.fileId : undefined;
    if (coverOf === undefined) throw new Error('expected a file');
    const cover = { ...{ bytes, coverOf, fileName: 'a', fileType: 'jpg' }, sha1: v.parse(Sha1, sha1(bytes)) };
    expect(await target.attachCover(cover, signal)).toMatchObject({ sha1: cover.sha1 });
    expect(vod.files().find(({ fileId }) => fileId === coverOf)).toHaveProperty('cover');
  });
});

test('API 2018-07-17 aborts the upload that it abandons', async () => {
  const { vod, target } = await startTarget('2018-07-17');
  const opened = await open(target);
  expect(vod.openUploads()).toHaveLength(1);
  await target.abandon({ pin: PIN, session: opened.session }, signal);
  expect(vod.openUploads()).toEqual([]);
});

test('API 2018-07-17 names an upload without revealing its keys', async () => {
  const { target, dir } = await startTarget('2018-07-17');
  const { session } = await open(target);
  const [name = ''] = await readdir(join(dir, 'sessions'));
  const stored = await readFile(join(dir, 'sessions', name), 'utf8');
  const secrets = [...stored.matchAll(/"(?:key|secretKey|token)": ?"([^"]+)"/g)].map(([, text = '']) => text);
  expect(secrets).toHaveLength(3);
  const texts = [session, Buffer.from(session, 'base64').toString('latin1')].join();
  expect(secrets.filter((secret) => texts.includes(secret))).toEqual([]);
});
