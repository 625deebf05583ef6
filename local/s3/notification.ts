import type { BucketRecord, StoredObject } from './store/record.ts';
import { OWNER } from './wire/grants.ts';
import { encode } from './wire/target.ts';

export type CreationEventName = `ObjectCreated:${'Put' | 'Post' | 'Copy' | 'CompleteMultipartUpload'}`;

type Creation = Readonly<{
  name: CreationEventName;
  time: Date;
  requestId: string;
  sourceIp: string;
  bucket: BucketRecord;
  key: string;
  object: StoredObject;
}>;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
export const createNotification = ({ name, time, requestId, sourceIp, bucket, key, object }: Creation) => ({
  Records: [
    {
      eventVersion: '2.1',
      eventSource: 'aws:s3',
      awsRegion: bucket.region,
      eventTime: time.toISOString(),
      eventName: name,
      userIdentity: { principalId: OWNER.id },
      requestParameters: { sourceIPAddress: sourceIp },
      responseElements: { 'x-amz-request-id': requestId, 'x-amz-id-2': requestId },
      s3: {
        s3SchemaVersion: '1.0',
        configurationId: 'local',
        bucket: {
          name: bucket.name,
          ownerIdentity: { principalId: OWNER.id },
          arn: `arn:aws:s3:::${bucket.name}`,
        },
        object: {
          key: encodeForm(key),
          size: object.size,
          eTag: object.etag,
          ...(object.versionId !== 'null' && { versionId: object.versionId }),
          sequencer: object.sequencer,
        },
      },
    },
  ],
});

export type S3Notification = ReturnType<typeof createNotification>;

/** Encodes like Java's `URLEncoder`, but keeps slashes: `a b/ü~*` becomes `a+b/%C3%BC%7E*`. */
const encodeForm = (key: string): string =>
  encode(key).replaceAll('%20', '+').replaceAll('%2F', '/').replaceAll('~', '%7E').replaceAll('%2A', '*');
