import { describe, expect, test } from 'vitest';
import { type Fault, listFaults, PIPELINE_CALLS, type ServiceCall } from '../../../local/fault-injection.ts';
import { hash, MIB } from '../../support/values.ts';
import {
  type Applied,
  apiErrorOf,
  apply,
  callApi,
  cosFailureOf,
  createCosClient,
  targetOf,
} from '../../support/vod-2018.ts';
import { startService } from '../../support/vod-service.ts';

/** Starts a service whose first request of `call` meets `fault`. */
async function startWithFault(service: ServiceCall['service'], call: string, fault: Fault) {
  let isUsed = false;
  const { vod } = await startService({
    faults: (serviceCall) => {
      if (isUsed || serviceCall.service !== service || serviceCall.call !== call) return undefined;
      isUsed = true;
      return fault;
    },
  });
  return vod;
}

const TYPE = { MediaType: 'mp4' };
const commit = (endpoint: string, { VodSessionKey }: Applied) =>
  apiErrorOf(endpoint, 'CommitUpload', { VodSessionKey });

test('each call of API 2018-07-17 and of COS can meet faults of the network and of its service', () => {
  for (const service of ['vod2018', 'cos'] as const) {
    for (const call of PIPELINE_CALLS[service]) {
      expect(listFaults({ service, call })).toEqual(
        expect.arrayContaining(['reset', 'lost-response', '503']),
      );
    }
  }
  expect(listFaults({ service: 'cos', call: 'UploadPart' })).toEqual(
    expect.arrayContaining(['wrong-crc', 'part-lost', 'keys-expired']),
  );
  expect(listFaults({ service: 'vod2018', call: 'CommitUpload' })).toEqual(
    expect.arrayContaining(['session-gone', 'not-json']),
  );
  expect(listFaults({ service: 'vod', call: 'UploadPart' })).not.toContain('wrong-crc');
});

describe('an injected fault of API 2018-07-17', () => {
  test.each<[Fault, string]>([
    ['rejected', 'FailedOperation'],
    ['limit-exceeded', 'RequestLimitExceeded'],
    ['internal-error', 'InternalError'],
  ])('%s returns %s and does nothing', async (fault, code) => {
    const vod = await startWithFault('vod2018', 'ApplyUpload', fault);
    expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE)).toBe(code);
    expect(await apiErrorOf(vod.endpoint, 'ApplyUpload', TYPE)).toBe('');
  });

  test.each<Fault>(['not-json', 'truncated-json'])('%s returns no JSON', async (fault) => {
    const vod = await startWithFault('vod2018', 'ApplyUpload', fault);
    await expect(callApi(vod.endpoint, 'ApplyUpload', TYPE)).rejects.toThrow(SyntaxError);
  });

  test('keys-end-soon creates keys that live five minutes', async () => {
    const vod = await startWithFault('vod2018', 'ApplyUpload', 'keys-end-soon');
    const { TempCertificate } = await apply(vod.endpoint);
    expect((TempCertificate?.ExpiredTime ?? 0) * 1000 - Date.now()).toBeLessThanOrEqual(300_000);
    const { TempCertificate: later } = await apply(vod.endpoint);
    expect((later?.ExpiredTime ?? 0) * 1000 - Date.now()).toBeGreaterThan(3_600_000);
  });

  test('session-gone ends the session', async () => {
    const vod = await startWithFault('vod2018', 'CommitUpload', 'session-gone');
    const applied = await apply(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied);
    await cos.putObject({ ...targetOf(applied), Body: 'x' });
    expect(await commit(vod.endpoint, applied)).toBe('ResourceNotFound');
    expect(await commit(vod.endpoint, applied)).toBe('ResourceNotFound');
    expect(vod.files()).toEqual([]);
  });

  test('lost-response executes the call', async () => {
    const vod = await startWithFault('vod2018', 'CommitUpload', 'lost-response');
    const applied = await apply(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied);
    await cos.putObject({ ...targetOf(applied), Body: 'x' });
    await expect(commit(vod.endpoint, applied)).rejects.toThrow();
    expect(await commit(vod.endpoint, applied)).toBe('ResourceNotFound');
    expect(vod.files()).toHaveLength(1);
  });
});

describe('an injected fault of COS', () => {
  async function startUpload(call: string, fault: Fault) {
    const vod = await startWithFault('cos', call, fault);
    const applied = await apply(vod.endpoint);
    const cos = await createCosClient(vod.cosEndpoint, applied);
    const target = targetOf(applied);
    const { UploadId } = await cos.multipartInit(target);
    const bytes = Buffer.alloc(MIB, 'x');
    const sendPart = () => cos.multipartUpload({ ...target, UploadId, PartNumber: 1, Body: bytes });
    const complete = () =>
      cos.multipartComplete({
        ...target,
        UploadId,
        Parts: [{ PartNumber: 1, ETag: `"${hash('md5', bytes)}"` }],
      });
    return { vod, applied, cos, target, sendPart, complete };
  }

  test('keys-expired ends the keys of the session', async () => {
    const { sendPart, complete } = await startUpload('UploadPart', 'keys-expired');
    expect(await cosFailureOf(sendPart())).toBe('403 ExpiredToken');
    expect(await cosFailureOf(complete())).toBe('403 ExpiredToken');
  });

  test('wrong-crc and wrong-md5 falsify the response to a part', async () => {
    const crc = await startUpload('UploadPart', 'wrong-crc');
    expect((await crc.sendPart()).headers?.['x-cos-hash-crc64ecma']).toBe('1');
    expect((await crc.sendPart()).headers?.['x-cos-hash-crc64ecma']).not.toBe('1');
    const md5 = await startUpload('UploadPart', 'wrong-md5');
    expect((await md5.sendPart()).ETag).toBe(`"${'0'.repeat(32)}"`);
  });

  test('part-lost confirms a part and stores none', async () => {
    const { sendPart, complete } = await startUpload('UploadPart', 'part-lost');
    await sendPart();
    expect(await cosFailureOf(complete())).toBe('400 InvalidPart');
    await sendPart();
    expect(await cosFailureOf(complete())).toBe('succeeded');
  });

  test('upload-lost removes the upload', async () => {
    const { vod, sendPart } = await startUpload('UploadPart', 'upload-lost');
    expect(await cosFailureOf(sendPart())).toBe('404 NoSuchUpload');
    expect(vod.openUploads()).toEqual([]);
  });

  test('error-in-200 fails a completion after its status was sent, and completes nothing', async () => {
    const { sendPart, complete, cos, target } = await startUpload('CompleteMultipartUpload', 'error-in-200');
    await sendPart();
    expect(await cosFailureOf(complete())).toBe('200 InternalError');
    expect(await cosFailureOf(cos.headObject(target))).toMatch(/^404/);
    expect(await cosFailureOf(complete())).toBe('succeeded');
  });
});
