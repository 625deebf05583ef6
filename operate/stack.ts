import { CloudFormation } from '@aws-sdk/client-cloudformation';
import { findRunning, LOCAL_S3_CREDENTIALS, LOCAL_STACK } from '../cli/running-file.ts';
import type { StackTarget } from './args.ts';
import { sendAws } from './request.ts';

/** The AWS services that the local stack implements, as the SDK names them in environment variables. */
const SERVICES = ['CLOUDFORMATION', 'EVENTBRIDGE', 'LAMBDA', 'SFN', 'SQS'] as const;

export type Output =
  | 'BucketName'
  | 'TriggerFunctionName'
  | 'InitFunctionName'
  | 'StateMachineArn'
  | 'QueueUrl'
  | 'QueueArn'
  | 'DeadLetterQueueUrl'
  | 'DeadLetterQueueArn'
  | 'ArchiveArn'
  | 'EventBusArn'
  | 'RuleArn';

export type Stack = Readonly<{
  name: string;
  /** @throws {Error} if the stack lacks the output: it is half deployed, or deployed from another template */
  output(name: Output): string;
  /** Undefined for the S3 of AWS. */
  s3Endpoint: string | undefined;
}>;

/**
 * Finds a stack and reads its outputs from CloudFormation. The SDK reaches a local stack like a deployed one: the endpoints
 * and credentials are set in the environment of this process.
 * @throws {Error} if there is no such stack
 */
export async function findStack(target: StackTarget): Promise<Stack> {
  const { name, s3Endpoint } = 'local' in target ? await useLocal(target.local) : useDeployed(target);
  const client = new CloudFormation();
  const { Stacks: [stack] = [] } = await sendAws(`stack ${name}`, () =>
    client.describeStacks({ StackName: name }),
  );
  const outputs = new Map(stack?.Outputs?.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
  return {
    name,
    s3Endpoint,
    output(key) {
      const value = outputs.get(key);
      if (value) return value;
      throw new Error(
        `stack ${name} (${stack?.StackStatus}): expected output ${key}, got none. Deploy the stack again.`,
      );
    },
  };
}

function useDeployed({ stack, region }: { stack: string; region: string | undefined }) {
  if (region !== undefined) process.env.AWS_REGION = region;
  return { name: stack, s3Endpoint: undefined };
}

async function useLocal(data: string) {
  const running = await findRunning(data);
  if (!running) {
    throw new Error(
      `data folder ${data}: expected a running stack, got none. Start one with npm start -- --data ${data}.`,
    );
  }
  const { engine, region, s3 } = running;
  const { accessKeyId, secretAccessKey } = LOCAL_S3_CREDENTIALS;
  Object.assign(process.env, {
    AWS_REGION: region,
    ...Object.fromEntries(SERVICES.map((service) => [`AWS_ENDPOINT_URL_${service}`, engine])),
    ...(s3.isLocal && { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }),
  });
  delete process.env.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS;
  if (s3.isLocal) {
    // The SDK prefers a profile to these keys, and sends a session token with them.
    delete process.env.AWS_PROFILE;
    delete process.env.AWS_SESSION_TOKEN;
  }
  return { name: LOCAL_STACK, s3Endpoint: s3.endpoint };
}
