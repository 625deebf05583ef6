import { describe, expect, test } from 'vitest';
import { startS3 } from '../../../local/s3/server.ts';
import { BUCKET, CREDENTIALS, connect, failureOf, useS3, VERSIONED } from '../../support/local-s3.ts';
import { newFolder } from '../../support/temp-folder.ts';

const s3 = useS3();
const put = (Bucket: string, Key: string) => s3.put(Key, { Bucket, Body: 'abc' });

describe('onObjectCreated', () => {
  test('receives the notification that S3 sends', async () => {
    s3.events.length = 0;
    await put(BUCKET, "dir/ä b+c&d~*(1)'.mp4");
    expect(s3.events).toEqual([
      {
        Records: [
          {
            eventVersion: '2.1',
            eventSource: 'aws:s3',
            awsRegion: 'eu-central-1',
            eventTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
            eventName: 'ObjectCreated:Put',
            userIdentity: { principalId: expect.any(String) },
            requestParameters: { sourceIPAddress: '127.0.0.1' },
            responseElements: {
              'x-amz-request-id': expect.stringMatching(/^[0-9A-F]{16}$/),
              'x-amz-id-2': expect.any(String),
            },
            s3: {
              s3SchemaVersion: '1.0',
              configurationId: 'local',
              bucket: {
                name: BUCKET,
                ownerIdentity: { principalId: expect.any(String) },
                arn: `arn:aws:s3:::${BUCKET}`,
              },
              object: {
                key: 'dir/%C3%A4+b%2Bc%26d%7E*%281%29%27.mp4',
                size: 3,
                eTag: '900150983cd24fb0d6963f7d28e17f72',
                sequencer: expect.stringMatching(/^[0-9A-F]{18}$/),
              },
            },
          },
        ],
      },
    ]);
  });

  test('receives copies with their version ID, but neither tags nor deletions', async () => {
    await put(BUCKET, 'plain');
    s3.events.length = 0;
    const copied = await s3.client.copyObject({
      Bucket: VERSIONED,
      Key: 'copied',
      CopySource: `${BUCKET}/plain`,
    });
    const Tagging = { TagSet: [{ Key: 'a', Value: 'b' }] };
    await s3.client.putObjectTagging({ Bucket: BUCKET, Key: 'plain', Tagging });
    await s3.delete('plain');
    expect(
      s3.events.map(({ Records: [record] }) => [record?.eventName, record?.s3.object.versionId]),
    ).toEqual([['ObjectCreated:Copy', copied.VersionId]]);
  });

  test('receives increasing sequencers across deletions and restarts', async () => {
    s3.events.length = 0;
    for (let round = 0; round < 3; round++) {
      for (let at = 0; at < 5; at++) await put(BUCKET, 'counted');
      await s3.delete('counted');
      await s3.restart();
    }
    const sequencers = s3.events.map(({ Records: [record] }) => record?.s3.object.sequencer ?? '');
    expect(sequencers).toHaveLength(15);
    expect([...new Set(sequencers)].sort()).toEqual(sequencers);
  });

  test('delays the response until it settles, and turns its failure into an error', async () => {
    const steps: string[] = [];
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const server = await startS3({
      dir: await newFolder(),
      port: 0,
      credentials: CREDENTIALS,
      onObjectCreated: async ({ Records: [record] }) => {
        if (record?.s3.object.key === 'fails') throw new Error('journal is full');
        entered.resolve();
        await gate.promise;
        steps.push('listener');
      },
    });
    const client = connect(server.endpoint);
    try {
      await client.createBucket({ Bucket: BUCKET });
      const done = client
        .putObject({ Bucket: BUCKET, Key: 'waits', Body: 'x' })
        .then(() => steps.push('client'));
      await entered.promise;
      // The listener may look at the object already.
      await client.headObject({ Bucket: BUCKET, Key: 'waits' });
      gate.resolve();
      await done;
      expect(steps).toEqual(['listener', 'client']);
      const failed = client.putObject({ Bucket: BUCKET, Key: 'fails', Body: 'x' });
      expect(await failureOf(failed)).toBe('500 InternalError');
    } finally {
      client.destroy();
      await server.close();
    }
  });
});
