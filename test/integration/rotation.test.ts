import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { LOCAL_S3_CREDENTIALS } from '../../cli/running-file.ts';
import { startVod } from '../../local/vod/server.ts';
import { startParameterStore } from '../support/parameter-store.ts';
import { newStack } from '../support/stack.ts';
import { newFolder } from '../support/temp-folder.ts';
import { createBytes, sha1 } from '../support/values.ts';

/** docs/operate.md, "Rotate the keys of the VOD account" */

const OLD = { secretId: 'old-id', secretKey: 'old-key' };
const NEW = { secretId: 'new-id', secretKey: 'new-key' };
const SETTINGS = ['VOD_SECRET_ID_PARAMETER', 'VOD_SECRET_KEY_PARAMETER'] as const;
const DENIED = ['AccessDeniedException', 'not authorized to perform ssm:GetParameters'] as const;

test('a rotation of the keys loses no upload, although each moment of it meets running executions', async () => {
  const accepted = [OLD];
  const dir = join(await newFolder(), 'vod');
  const network = { latencyMs: 30 };
  const vod = await startVod({ dir, port: 0, secrets: accepted, signedHost: 'vod2.qcloud.com', network });
  onTestFinished(vod.close);
  const parameters = await startParameterStore();
  onTestFinished(parameters.close);
  const store = (set: string, { secretId, secretKey }: typeof OLD) => {
    parameters.set(`/${set}/id`, secretId);
    parameters.set(`/${set}/key`, secretKey);
  };
  const names = (set: string) => ({ [SETTINGS[0]]: `/${set}/id`, [SETTINGS[1]]: `/${set}/key` });

  vi.stubEnv('AWS_ACCESS_KEY_ID', LOCAL_S3_CREDENTIALS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', LOCAL_S3_CREDENTIALS.secretAccessKey);
  onTestFinished(() => void vi.unstubAllEnvs());
  store('old', OLD);
  const stack = await newStack({
    env: {
      ...names('old'),
      VOD_ENDPOINT: vod.endpoint,
      AWS_ENDPOINT_URL_SSM: parameters.endpoint,
      AWS_REGION: 'eu-central-1',
    },
  });
  let offsetMs = 0;
  const { now } = Date;
  const clock = vi.spyOn(Date, 'now').mockImplementation(() => now() + offsetMs);
  onTestFinished(() => clock.mockRestore());
  const sent: string[] = [];
  /** Puts videos and waits until executions are running. */
  const load = async (moment: string): Promise<void> => {
    for (const n of [1, 2]) {
      const body = createBytes(3_000_000 + 1000 * sent.length);
      sent.push(sha1(body));
      await stack.put(`${moment}-${n}.mp4`, body);
    }
    await vi.waitFor(() => expect(stack.executions.running().length).toBeGreaterThan(0));
  };

  await load('before');
  // Step 1: a second key, under new names.
  accepted.push(NEW);
  store('new', NEW);
  // Step 2: the deployment changes the roles first. Functions that still have the old names cannot read them.
  parameters.reject('/old/id', 400, ...DENIED);
  offsetMs += 301_000;
  await load('denied');
  const isDenied = () => parameters.requests().filter(([name]) => name === '/old/id').length > 1;
  await vi.waitFor(() => expect(isDenied()).toBe(true), { timeout: 10_000 });
  Object.assign(process.env, names('new'));
  await load('after');
  await stack.idle();
  // Step 3: the old key ends.
  accepted.splice(0, 1);
  await load('later');

  const outcomes = (await stack.results()).map(({ outcome }) => outcome);
  expect(stack.ended.filter(({ status }) => status !== 'SUCCEEDED')).toEqual([]);
  expect(outcomes.filter((outcome) => outcome === 'uploaded')).toHaveLength(sent.length);
  expect(
    vod
      .files()
      .map((file) => file.sha1)
      .sort(),
  ).toEqual(sent.sort());
});
