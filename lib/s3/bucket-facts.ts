import {
  GetBucketLifecycleConfigurationCommand,
  GetBucketNotificationConfigurationCommand,
  GetBucketReplicationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  type NotificationConfiguration,
  type S3Client,
} from '@aws-sdk/client-s3';
import { errorMessage, ObjectDeleted } from '../errors.ts';
import { isNotImplemented, sendS3WithTimeout } from './request.ts';

/** Reads what a bucket does with a rewritten object. */

/** A fact, or the reason why it is not known. */
export type Fact<T> = Readonly<{ value: T } | { unknown: string }>;

export type BucketFacts = Readonly<{
  versioning: Fact<Readonly<{ isEnabled: boolean; expiresOldVersions: boolean }>>;
  /** The default retention, such as `GOVERNANCE 30 days`; undefined without one. */
  retention: Fact<string | undefined>;
  /** Enabled rules. */
  replication: Fact<number>;
  /** `onCopy`: the destinations that a copy notifies. */
  notifications: Fact<Readonly<{ eventBridge: boolean; onCopy: number }>>;
}>;

/** Reads the facts concurrently; those that a call could not read are unknown. @throws the reason of the signal */
export async function readBucketFacts(
  s3: S3Client,
  bucket: string,
  signal: AbortSignal,
): Promise<BucketFacts> {
  const Bucket = { Bucket: bucket };
  const operation = `GET configuration of s3://${bucket}`;
  const [versioning, retention, replication, notifications] = await Promise.all([
    readFact(
      's3:GetBucketVersioning, s3:GetLifecycleConfiguration',
      async () => {
        const versioning = new GetBucketVersioningCommand(Bucket);
        const { Status: status } = await sendS3WithTimeout(s3, operation, versioning, signal);
        if (status !== 'Enabled') return { isEnabled: false, expiresOldVersions: false };
        const command = new GetBucketLifecycleConfigurationCommand(Bucket);
        const lifecycle = await orAbsent(sendS3WithTimeout(s3, operation, command, signal));
        const expiresOldVersions = (lifecycle?.Rules ?? []).some(
          ({ Status, NoncurrentVersionExpiration }) =>
            Status === 'Enabled' && NoncurrentVersionExpiration !== undefined,
        );
        return { isEnabled: true, expiresOldVersions };
      },
      signal,
    ),
    readFact(
      's3:GetBucketObjectLockConfiguration',
      async () => {
        const command = new GetObjectLockConfigurationCommand(Bucket);
        const response = await orAbsent(sendS3WithTimeout(s3, operation, command, signal));
        const { Mode, Days, Years } = response?.ObjectLockConfiguration?.Rule?.DefaultRetention ?? {};
        return Mode && `${Mode} ${Days === undefined ? `${Years} years` : `${Days} days`}`;
      },
      signal,
    ),
    readFact(
      's3:GetReplicationConfiguration',
      async () => {
        const command = new GetBucketReplicationCommand(Bucket);
        const response = await orAbsent(sendS3WithTimeout(s3, operation, command, signal));
        const rules = response?.ReplicationConfiguration?.Rules ?? [];
        return rules.filter(({ Status }) => Status === 'Enabled').length;
      },
      signal,
    ),
    readFact(
      's3:GetBucketNotification',
      async () => {
        const command = new GetBucketNotificationConfigurationCommand(Bucket);
        const configuration = await sendS3WithTimeout(s3, operation, command, signal);
        return {
          eventBridge: configuration.EventBridgeConfiguration !== undefined,
          onCopy: countOnCopy(configuration),
        };
      },
      signal,
    ),
  ]);
  return { versioning, retention, replication, notifications };
}

const DENIED = /AccessDenied|Forbidden|NotAuthorized|UnauthorizedOperation/;

/** @param permission that the call needs @throws the reason of the signal */
export async function readFact<T>(
  permission: string,
  call: () => Promise<T>,
  signal: AbortSignal,
): Promise<Fact<T>> {
  signal.throwIfAborted();
  try {
    return { value: await call() };
  } catch (error) {
    signal.throwIfAborted();
    const denied = [error, error instanceof Error ? error.cause : undefined].find(
      (cause) => cause instanceof Error && DENIED.test(cause.name),
    );
    if (!denied) return { unknown: errorMessage(error) };
    return { unknown: `expected the permission ${permission}, got ${errorMessage(denied)}. Allow it.` };
  }
}

/** S3 returns 404 for a configuration that a bucket does not have. Another service may not know the configuration. */
async function orAbsent<T>(response: Promise<T>): Promise<T | undefined> {
  try {
    return await response;
  } catch (error) {
    const cause = error instanceof ObjectDeleted && error.cause instanceof Error ? error.cause : undefined;
    if (isNotImplemented(error) || (cause && cause.name !== 'NoSuchBucket')) return undefined;
    throw error;
  }
}

/** Notifications that a copy or a copy in parts sends again. */
function countOnCopy({
  QueueConfigurations = [],
  TopicConfigurations = [],
  LambdaFunctionConfigurations = [],
}: NotificationConfiguration): number {
  const onCopy = /^s3:ObjectCreated:(\*|Copy|CompleteMultipartUpload)$/;
  return [...QueueConfigurations, ...TopicConfigurations, ...LambdaFunctionConfigurations].filter(
    ({ Events = [] }) => Events.some((event) => onCopy.test(event)),
  ).length;
}
