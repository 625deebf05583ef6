import {
  GetBucketNotificationConfigurationCommand,
  PutBucketNotificationConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { expectOne, readOptions, UsageError } from '../cli/args.ts';
import { errorMessage } from '../lib/errors.ts';

/** `npm run enable-events -- BUCKET`: a bucket that is there already begins to tell EventBridge of its objects. */

const USAGE = `npm run enable-events -- BUCKET [--owner ACCOUNT]

Adds EventBridge to the bucket's notification configuration and keeps all else that stands there.
Done twice it does nothing more.

  --owner ACCOUNT  12 digits: refuse when the bucket is another account's
  --help

Needs s3:GetBucketNotification and s3:PutBucketNotification on the bucket. S3_ENDPOINT and AWS_* name another store.`;

/** @returns whether anything had to be changed, and how many other notifications the bucket has */
export async function enableEvents(
  s3: S3Client,
  bucket: string,
  owner?: string,
): Promise<{ changed: boolean; others: number }> {
  const target = { Bucket: bucket, ...(owner !== undefined && { ExpectedBucketOwner: owner }) };
  const { EventBridgeConfiguration, QueueConfigurations, TopicConfigurations, LambdaFunctionConfigurations } =
    await s3.send(new GetBucketNotificationConfigurationCommand(target));
  const others = [QueueConfigurations, TopicConfigurations, LambdaFunctionConfigurations].reduce(
    (sum, list) => sum + (list?.length ?? 0),
    0,
  );
  if (EventBridgeConfiguration) return { changed: false, others };
  // The call replaces the whole configuration, and S3 has no condition on it: what somebody sets in this moment is lost.
  const command = new PutBucketNotificationConfigurationCommand({
    ...target,
    NotificationConfiguration: {
      QueueConfigurations,
      TopicConfigurations,
      LambdaFunctionConfigurations,
      EventBridgeConfiguration: {},
    },
    // What stands there is kept as it is, also where its queue or function is gone by now.
    SkipDestinationValidation: true,
  });
  await s3.send(command);
  return { changed: true, others };
}

/** What to do about it, by the error's name. */
const HINTS: Readonly<Record<string, string>> = {
  NoSuchBucket: 'there is no such bucket: check its name',
  AccessDenied:
    'needs s3:GetBucketNotification and s3:PutBucketNotification on it; with --owner, also that it is theirs',
  CredentialsProviderError: 'no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
  NotImplemented: 'this store does not know EventBridge',
};

async function main(argv: readonly string[]): Promise<string> {
  const { values, positionals } = readOptions('npm run enable-events', argv, {
    owner: { type: 'string' },
    help: { type: 'boolean', default: false },
  });
  if (values.help) return USAGE;
  const bucket = expectOne(positionals, 'bucket');
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    throw new UsageError(`${bucket}: expected a bucket's name: --help tells more`);
  if (values.owner !== undefined && !/^\d{12}$/.test(values.owner))
    throw new UsageError(`--owner ${values.owner}: expected an account's 12 digits`);

  const { S3_ENDPOINT: endpoint, AWS_REGION: region } = process.env;
  // A bucket elsewhere says where it is.
  const s3 = new S3Client({
    region: region || 'us-east-1',
    followRegionRedirects: true,
    ...(endpoint && { endpoint, forcePathStyle: true }),
  });
  try {
    const { changed, others } = await enableEvents(s3, bucket, values.owner);
    return `${bucket}: EventBridge ${changed ? 'is on now' : 'was on already'}; ${others} other notifications, kept`;
  } catch (error) {
    const hint = error instanceof Error ? HINTS[error.name] : undefined;
    throw new Error([`s3://${bucket}: ${errorMessage(error)}`, hint].filter(Boolean).join(': '), {
      cause: error,
    });
  } finally {
    s3.destroy();
  }
}

if (import.meta.main) {
  main(process.argv.slice(2)).then(
    (said) => void process.stdout.write(`${said}\n`),
    (error: unknown) => {
      process.stderr.write(`enable-events: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
