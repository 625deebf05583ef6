import type { Environment } from '../../lib/config.ts';
import { QUEUE_ARN } from './sqs.ts';

/** Any process on this machine can read a response of the local engine, so it contains no secret. */
const READABLE = /^(VOD|S3|COPY|WRITE|QUOTA|MAX)_|^AWS_(REGION|ENDPOINT_URL_SSM)$/;
const SECRET = /^VOD_(SECRET_ID|SECRET_KEY|TOKEN)$/;

/**
 * Returns the responses of the Lambda API about the local functions, by path.
 * https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html
 * @param env the settings of the functions
 */
export function lambdaResources(env: Environment): Readonly<Record<string, object>> {
  const Variables = Object.fromEntries(
    Object.entries(env).filter(([name]) => READABLE.test(name) && !SECRET.test(name)),
  );
  return {
    '/2015-03-31/functions/init/configuration': { FunctionName: 'init', Environment: { Variables } },
    '/2015-03-31/event-source-mappings': {
      EventSourceMappings: [{ UUID: 'local', EventSourceArn: QUEUE_ARN, State: 'Enabled' }],
    },
    // The limit of a usual account. Locally, other invocations wait for a free one.
    '/2016-08-19/account-settings': {
      AccountLimit: { ConcurrentExecutions: 1000, UnreservedConcurrentExecutions: 1000 },
    },
  };
}
