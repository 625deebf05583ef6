import {
  type Event,
  GetBucketNotificationConfigurationCommand,
  type NotificationConfiguration,
  type NotificationConfigurationFilter,
  PutBucketNotificationConfigurationCommand,
  S3,
} from '@aws-sdk/client-s3';
import { mockClient } from 'aws-sdk-client-mock';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { addEventBridge } from '../../../operate/enable-events.ts';
import { collectResult } from '../../support/node-process.ts';
import { spawnCommand } from '../../support/operate.ts';
import { startOtherS3 } from '../../support/stack.ts';

/** The local S3 has no notification configuration. This mock replaces the whole configuration, as S3 does. */
describe('addEventBridge', () => {
  const mock = mockClient(S3);
  const s3 = new S3({ region: 'eu-central-1' });
  let current: NotificationConfiguration;
  beforeEach(() => {
    mock.reset();
    mock.on(GetBucketNotificationConfigurationCommand).callsFake(() => ({ $metadata: {}, ...current }));
    mock.on(PutBucketNotificationConfigurationCommand).callsFake(({ NotificationConfiguration }) => {
      current = JSON.parse(JSON.stringify(NotificationConfiguration));
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

  test('adds EventBridge once and keeps all other notifications', async () => {
    await fc.assert(
      fc.asyncProperty(others, async (before) => {
        current = before;
        mock.resetHistory();
        const count = Object.values(before).flat().length;
        expect(await addEventBridge(s3, 'videos')).toEqual({ changed: true, others: count });
        expect(current).toEqual({ ...before, EventBridgeConfiguration: {} });
        expect(await addEventBridge(s3, 'videos')).toEqual({ changed: false, others: count });
        expect(changes()).toHaveLength(1);
      }),
      { numRuns: 30 },
    );
  });

  test('sends the expected owner with both calls', async () => {
    current = {};
    await addEventBridge(s3, 'videos', '123456789012');
    const inputs = mock.calls().map(({ args: [command] }) => command.input);
    expect(inputs).toHaveLength(2);
    for (const input of inputs)
      expect(input).toMatchObject({ Bucket: 'videos', ExpectedBucketOwner: '123456789012' });
  });
});

describe('npm run enable-events', () => {
  const run = (args: string[], env: Record<string, string> = {}) =>
    collectResult(spawnCommand(['enable-events', ...args], { HOME: '/nowhere', ...env }));
  const oneLine = (err: string) => expect(err.trim().split('\n')).toHaveLength(1);

  test.each([
    [[], /expected BUCKET, got no argument/],
    [['one', 'two'], /two: expected one BUCKET/],
    [['s3://videos'], /s3:\/\/videos: expected a bucket name/],
    [['videos', '--owner', 'me'], /12 digits/],
    [['videos', '--wat'], /--wat/],
    [['videos', '--region', 'eu-central-1'], /CredentialsProviderError.*Set AWS_PROFILE/],
    [['videos'], /Region is missing.*Set --region or AWS_REGION/],
  ])('%j fails with one line that says what is wrong', async (args, message) => {
    const { code, out, err } = await run(args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(message);
    oneLine(err);
  });

  test('names the bucket in an error of the store', async () => {
    const { code, err } = await run(['videos'], await startOtherS3());
    expect(code).toBe(1);
    expect(err).toMatch(/^✘ s3:\/\/videos: /);
    oneLine(err);
  });

  test('prints its options with --help', async () => {
    expect(await run(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('--owner') });
  });
});
