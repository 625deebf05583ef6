import { describe, expect, test } from 'vitest';
import { Quota } from '../../../local/vod/quota.ts';
import { MIB } from '../../support/values.ts';
import { SECRETS, video } from '../../support/vod-client.ts';
import { startService } from '../../support/vod-service.ts';

const file = video(1000);
const HOUR = 3_600_000;

/** A clock that moves only when the test moves it. */
function clock(time = Date.UTC(2026, 0, 1)) {
  return { now: () => time, move: (ms: number) => (time += ms) };
}

describe('quota', () => {
  const rejectedWith = (message: string) => ({ status: 200, code: 4400, canRetry: 1, message });

  test.each(['init', 'finish'] as const)('rejects the 101st %s call within a minute', async (call) => {
    const { now, move } = clock();
    const { client } = await startService({ now });
    for (let n = 0; n < 100; n += 1) expect(await client[call](file)).not.toMatchObject({ code: 4400 });
    move(59_999);
    expect((await client[call](file)).message).toMatch(
      /Upload: the calls per minute are used up; retry in 1 ms$/,
    );
    move(1);
    expect(await client[call](file)).not.toMatchObject({ code: 4400 });
  });

  test('uses a sliding minute and does not count rejected calls', async () => {
    const { now, move } = clock();
    const { client } = await startService({ now, quota: { minuteMs: 1000 } });
    for (let n = 0; n < 50; n += 1) await client.init(file);
    move(500);
    for (let n = 0; n < 50; n += 1) await client.init(file);
    const wait = (ms: number) =>
      rejectedWith(`InitUpload: the calls per minute are used up; retry in ${ms} ms`);
    for (let n = 0; n < 60; n += 1) expect(await client.init(file)).toMatchObject(wait(500));
    move(500);
    for (let n = 0; n < 50; n += 1) expect(await client.init(file)).toMatchObject({ code: 0 });
    expect(await client.init(file)).toMatchObject(wait(500));
  });

  test('counts each action separately and ignores unsigned calls', async () => {
    const { now } = clock();
    const { client } = await startService({ now });
    for (let n = 0; n < 101; n += 1) await client.init(file, {}, { signed: { key: 'wrong' } });
    for (let n = 0; n < 101; n += 1) await client.finish(file);
    expect(await client.finish(file)).toMatchObject({ code: 4400 });
    expect(await client.init(file)).toMatchObject({ code: 0 });
    expect(await client.part(file, 0)).toMatchObject({ code: 0 });
  });

  test('allows 10,000 parts per minute and any number of images', () => {
    const quota = new Quota({ minuteMs: 60_000 });
    const waits = (action: string, calls: number) =>
      Array.from({ length: calls }, () => quota.take(action, 5));
    expect(waits('UploadPart', 10_000).filter((wait) => wait > 0)).toEqual([]);
    expect(quota.take('UploadPart', 60_004)).toBe(1);
    expect(quota.take('UploadPart', 60_005)).toBe(0);
    expect(waits('SmallFileUpload', 20_000).filter((wait) => wait > 0)).toEqual([]);
  });

  test('reads the body of a call that exceeds the quota', async () => {
    const { now } = clock();
    const { client } = await startService({ now, quota: { minuteMs: 1 } });
    for (let n = 0; n < 100; n += 1) await client.finish(file);
    expect(await client.finish(file, {}, { method: 'POST', body: Buffer.alloc(MIB) })).toMatchObject({
      code: 4400,
    });
  });

  test('is unlimited when it is switched off', async () => {
    const { client } = await startService({ quota: false });
    for (let n = 0; n < 102; n += 1) expect(await client.init(file)).toMatchObject({ code: 0 });
  });
});

describe('clock', () => {
  test.each([
    [-2 * HOUR, 0, /^$/],
    [2 * HOUR, 0, /^$/],
    [-2 * HOUR - 1000, 4500, /^Timestamp: 7201 s behind this service's clock, at most 7200/],
    [2 * HOUR + 1000, 4500, /^Timestamp: 7201 s ahead of this service's clock/],
  ])('%i ms off returns code %i', async (off, code, message) => {
    const { now } = clock();
    const { client } = await startService({ now });
    const Timestamp = (now() + off) / 1000;
    expect(await client.init(file, { Timestamp })).toMatchObject({
      status: 200,
      code,
      canRetry: 0,
      message: expect.stringMatching(message),
    });
  });
});

// Old clients count a part with a positive code as sent. The vendor documents only codes below 0 for this call.
test('a part request with an old Timestamp or a used Nonce is rejected by a code below 0', async () => {
  const { now } = clock();
  const { client } = await startService({ now });
  await client.init(file);
  const stale = await client.part(file, 0, { Timestamp: (now() - 3 * HOUR) / 1000 });
  expect(stale).toMatchObject({ code: -10001, canRetry: 0, message: expect.stringMatching(/^Timestamp/) });
  await client.part(file, 0, { Nonce: 42 });
  const repeated = await client.part(file, 0, { Nonce: 42 });
  expect(repeated).toMatchObject({ code: -10001, canRetry: 0, message: expect.stringMatching(/^Nonce: 42/) });
});

describe('nonce', () => {
  test('is rejected when it is used twice', async () => {
    const { client } = await startService();
    const changes = { Nonce: 42 };
    expect(await client.init(file, changes)).toMatchObject({ code: 0 });
    expect(await client.init(file, changes)).toMatchObject({
      status: 200,
      code: 4500,
      canRetry: 0,
      message: 'Nonce: 42 was used before; each request needs a new one',
    });
  });

  test('is remembered as long as the request is valid', async () => {
    const { now, move } = clock();
    const { client } = await startService({ now });
    const signedNow = now() / 1000 + 7200;
    const changes = { Nonce: '12345678901234567890', Timestamp: signedNow };
    expect(await client.init(file, changes)).toMatchObject({ code: 0 });
    for (let minutes = 0; minutes < 240; minutes += 10) {
      move(10 * 60_000);
      expect(await client.init(file, changes)).toMatchObject({
        code: 4500,
        message: expect.stringMatching(/^Nonce/),
      });
      expect(await client.init(file)).toMatchObject({ code: 0 });
    }
  });

  test('is accepted again after two windows', async () => {
    const { now, move } = clock();
    const { client } = await startService({ now });
    await client.init(file, { Nonce: 7 });
    move(8 * HOUR);
    expect(await client.init(file, { Nonce: 7 })).toMatchObject({ code: 0 });
  });

  test('is not used up by a request with a wrong signature', async () => {
    const { client } = await startService();
    await client.init(file, { Nonce: 9 }, { signed: { key: `not ${SECRETS.secretKey}` } });
    expect(await client.init(file, { Nonce: 9 })).toMatchObject({ code: 0 });
  });
});
