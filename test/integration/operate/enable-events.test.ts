import { spawn } from 'node:child_process';
import {
  type Event,
  GetBucketNotificationConfigurationCommand,
  type NotificationConfiguration,
  type NotificationConfigurationFilter,
  PutBucketNotificationConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { mockClient } from 'aws-sdk-client-mock';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { startS3 } from '../../../local/s3/server.ts';
import { enableEvents } from '../../../operate/enable-events.ts';
import { collectResult } from '../../support/process-result.ts';
import { newFolder } from '../../support/temp-folder.ts';

/** The local S3 keeps no notification configuration, so a mock does: one that replaces it as a whole, as S3 does. */
describe('a bucket that is there already', () => {
  const mock = mockClient(S3Client);
  const s3 = new S3Client({ region: 'eu-central-1' });
  let standing: NotificationConfiguration;
  beforeEach(() => {
    mock.reset();
    mock.on(GetBucketNotificationConfigurationCommand).callsFake(() => ({ $metadata: {}, ...standing }));
    mock.on(PutBucketNotificationConfigurationCommand).callsFake(({ NotificationConfiguration }) => {
      standing = JSON.parse(JSON.stringify(NotificationConfiguration));
      return {};
    });
  });
  const changes = () => mock.commandCalls(PutBucketNotificationConfigurationCommand);

  const list = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 1, maxLength: 3 });
  const entry = { Id: fc.uuid(), Events: fc.constant<Event[]>(['s3:ObjectCreated:*']) };
  const arn = (service: string) =>
    fc.uuid().map((id) => `arn:aws:${service}:eu-central-1:123456789012:${id}`);
  const others = fc.record(
    {
      QueueConfigurations: list(fc.record({ ...entry, QueueArn: arn('sqs') })),
      TopicConfigurations: list(fc.record({ ...entry, TopicArn: arn('sns') })),
      LambdaFunctionConfigurations: list(
        fc.record({
          ...entry,
          LambdaFunctionArn: arn('lambda'),
          Filter: fc.constant<NotificationConfigurationFilter>({
            Key: { FilterRules: [{ Name: 'suffix', Value: '.mp4' }] },
          }),
        }),
      ),
    },
    { requiredKeys: [] },
  );

  test('speaks to EventBridge, and all that stood there stands; twice is once', async () => {
    await fc.assert(
      fc.asyncProperty(others, async (before) => {
        standing = before;
        mock.resetHistory();
        const count = Object.values(before).flat().length;
        expect(await enableEvents(s3, 'videos')).toEqual({ changed: true, others: count });
        expect(standing).toEqual({ ...before, EventBridgeConfiguration: {} });
        expect(await enableEvents(s3, 'videos')).toEqual({ changed: false, others: count });
        expect(changes()).toHaveLength(1);
      }),
      { numRuns: 30 },
    );
  });

  test('is only touched where it is the account’s that was named', async () => {
    standing = {};
    await enableEvents(s3, 'videos', '123456789012');
    const inputs = mock.calls().map(({ args: [command] }) => command.input);
    expect(inputs).toHaveLength(2);
    for (const input of inputs)
      expect(input).toMatchObject({ Bucket: 'videos', ExpectedBucketOwner: '123456789012' });
  });
});

describe('the command', () => {
  const main = new URL('../../../operate/enable-events.ts', import.meta.url).pathname;
  const run = async (args: string[], env: Record<string, string> = {}) => {
    const child = spawn(process.execPath, [main, ...args], {
      env: { PATH: process.env.PATH, AWS_EC2_METADATA_DISABLED: 'true', HOME: '/nowhere', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return collectResult(child);
  };
  const oneLine = (err: string) => expect(err.trim().split('\n')).toHaveLength(1);

  test.each([
    [[], /bucket is missing/],
    [['one', 'two'], /two: expected one bucket/],
    [['s3://videos'], /s3:\/\/videos: expected a bucket's name/],
    [['videos', '--owner', 'me'], /12 digits/],
    [['videos', '--wat'], /--wat/],
    [['videos'], /no credentials: set AWS_PROFILE/],
  ])('%j: one line that says what is wrong', async (args, message) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(message);
    oneLine(err);
  });

  test('a store that does not know it, or not the bucket', async () => {
    const credentials = { accessKeyId: 'local', secretAccessKey: 'local-secret' };
    const store = await startS3({ dir: await newFolder(), port: 0, credentials });
    const env = {
      S3_ENDPOINT: store.endpoint,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    };
    const { code, err } = await run(['videos'], env);
    expect(code).toBe(1);
    expect(err).toMatch(/^enable-events: s3:\/\/videos: /);
    oneLine(err);
    await store.close();
  });

  test('--help', async () => {
    expect(await run(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('--owner') });
  });
});
