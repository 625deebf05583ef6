import type { StoredObject } from './store/record.ts';
import { OWNER } from './wire/grants.ts';
import { encode } from './wire/target.ts';

export type CreatedBy = 'Put' | 'Post' | 'Copy' | 'CompleteMultipartUpload';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
export type S3Notification = Readonly<{
  Records: readonly Readonly<{
    eventVersion: '2.1';
    eventSource: 'aws:s3';
    awsRegion: string;
    eventTime: string;
    eventName: `ObjectCreated:${CreatedBy}`;
    userIdentity: Readonly<{ principalId: string }>;
    requestParameters: Readonly<{ sourceIPAddress: string }>;
    responseElements: Readonly<{ 'x-amz-request-id': string; 'x-amz-id-2': string }>;
    s3: Readonly<{
      s3SchemaVersion: '1.0';
      configurationId: string;
      bucket: Readonly<{ name: string; ownerIdentity: Readonly<{ principalId: string }>; arn: string }>;
      object: Readonly<{ key: string; size: number; eTag: string; versionId?: string; sequencer: string }>;
    }>;
  }>[];
}>;

type Occasion = Readonly<{
  by: CreatedBy;
  at: Date;
  requestId: string;
  sourceIp: string;
  bucket: string;
  region: string;
  key: string;
}>;

export function describeCreation(serviceCall: Occasion, object: StoredObject): S3Notification {
  const { by, at, requestId, sourceIp, bucket, region, key } = serviceCall;
  return {
    Records: [
      {
        eventVersion: '2.1',
        eventSource: 'aws:s3',
        awsRegion: region,
        eventTime: at.toISOString(),
        eventName: `ObjectCreated:${by}`,
        userIdentity: { principalId: OWNER.id },
        requestParameters: { sourceIPAddress: sourceIp },
        responseElements: { 'x-amz-request-id': requestId, 'x-amz-id-2': requestId },
        s3: {
          s3SchemaVersion: '1.0',
          configurationId: 'local',
          bucket: { name: bucket, ownerIdentity: { principalId: OWNER.id }, arn: `arn:aws:s3:::${bucket}` },
          object: {
            key: formEncode(key),
            size: object.size,
            eTag: object.etag,
            ...(object.versionId !== 'null' && { versionId: object.versionId }),
            sequencer: object.sequencer,
          },
        },
      },
    ],
  };
}

/** As Java's URLEncoder does it, slashes left as they are: `a b/ü~*` becomes `a+b/%C3%BC%7E*`. */
const formEncode = (key: string): string =>
  encode(key).replaceAll('%20', '+').replaceAll('%2F', '/').replaceAll('~', '%7E').replaceAll('%2A', '*');
