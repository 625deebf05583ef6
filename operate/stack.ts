import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { findRunning, LOCAL_S3_CREDENTIALS, LOCAL_STACK } from '../cli/running-file.ts';
import type { StackTarget } from './args.ts';
import { sendAws } from './request.ts';

/** The stack that a command is about: what its template puts out, read from CloudFormation. */

/** What of AWS the local engine answers, as the SDK names it in the environment. */
const SERVICES = ['CLOUDFORMATION', 'EVENTBRIDGE', 'LAMBDA', 'SFN', 'SQS'] as const;

export type Output =
  | 'BucketName'
  | 'TriggerFunctionName'
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
  /** @throws {Error} where the stack does not put it out: half deployed, or deployed from another template */
  output(name: Output): string;
  /** Of the S3 that is not AWS's own. */
  s3Endpoint: string | undefined;
}>;

/**
 * Finds the stack. A local one is reached like a deployed one, over the SDK: this process's environment then names its
 * addresses and keys.
 * @throws {Error} telling what is not there
 */
export async function findStack(where: StackTarget): Promise<Stack> {
  const { name, s3Endpoint } = 'local' in where ? await useLocal(where.local) : useDeployed(where);
  const client = new CloudFormationClient({});
  try {
    const { Stacks: [stack] = [] } = await sendAws(`stack ${name}`, () =>
      client.send(new DescribeStacksCommand({ StackName: name })),
    );
    const outputs = new Map(stack?.Outputs?.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
    return {
      name,
      s3Endpoint,
      output(key) {
        const value = outputs.get(key);
        if (value) return value;
        throw new Error(
          `stack ${name} (${stack?.StackStatus}) has no output ${key}: it is half deployed, or from another template: deploy it again`,
        );
      },
    };
  } finally {
    client.destroy();
  }
}

function useDeployed({ stack, region }: { stack: string; region: string | undefined }) {
  if (region !== undefined) process.env.AWS_REGION = region;
  return { name: stack, s3Endpoint: undefined };
}

async function useLocal(data: string) {
  const running = await findRunning(data);
  if (!running) {
    throw new Error(
      `no stack runs on ${data}: start one with npm start -- --data ${data}, and leave it running`,
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
    // Either would go before, or beside, these keys.
    delete process.env.AWS_PROFILE;
    delete process.env.AWS_SESSION_TOKEN;
  }
  return { name: LOCAL_STACK, s3Endpoint: s3.endpoint };
}
