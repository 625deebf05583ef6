import { S3 } from '@aws-sdk/client-s3';
import type { Terminal } from '../cli/terminal.ts';
import type { EnableEvents } from './args.ts';
import { sendAws } from './request.ts';

/** `npm run enable-events`: lets an existing bucket send its events to EventBridge. @returns the exit code */
export async function enableEvents(
  { bucket, owner, region }: EnableEvents,
  terminal: Terminal,
): Promise<number> {
  const { S3_ENDPOINT: endpoint } = process.env;
  const s3 = new S3({
    ...(region !== undefined && { region }),
    followRegionRedirects: true,
    ...(endpoint && { endpoint, forcePathStyle: true }),
  });
  const { changed, others } = await addEventBridge(s3, bucket, owner);
  const state = changed ? 'enabled' : 'already enabled';
  terminal.print(`${bucket}: EventBridge ${state}; ${others} other notifications are unchanged`);
  return 0;
}

/** @returns whether the configuration changed, and how many other notifications the bucket has */
export async function addEventBridge(s3: S3, bucket: string, owner?: string) {
  const target = { Bucket: bucket, ...(owner !== undefined && { ExpectedBucketOwner: owner }) };
  const { EventBridgeConfiguration, QueueConfigurations, TopicConfigurations, LambdaFunctionConfigurations } =
    await sendAws(`s3://${bucket}`, () => s3.getBucketNotificationConfiguration(target));
  const kept = { QueueConfigurations, TopicConfigurations, LambdaFunctionConfigurations };
  const others = Object.values(kept).reduce((sum, list) => sum + (list?.length ?? 0), 0);
  if (EventBridgeConfiguration) return { changed: false, others };
  // The call replaces the whole configuration, and S3 offers no condition: a concurrent change is lost.
  const input = {
    ...target,
    NotificationConfiguration: { ...kept, EventBridgeConfiguration: {} },
    // Keep notifications whose queue, topic, or function no longer exists.
    SkipDestinationValidation: true,
  };
  await sendAws(`s3://${bucket}`, () => s3.putBucketNotificationConfiguration(input));
  return { changed: true, others };
}
