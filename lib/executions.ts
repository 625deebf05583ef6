import { createHash } from 'node:crypto';
import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  RedriveExecutionCommand,
  type SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import type { Request } from './job.ts';

/** Executions of the state machine: their names, and one for each state of an object. */

/** https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html: at most 80 characters. */
const READABLE = 40;

/**
 * A name that people can read (the file's) and that is unique to the object's state (a hash): hearing of one state
 * twice gives one name. `occasion` tells apart what shall be looked at again.
 */
export function executionName(
  { bucket, key, versionId, etag, sequencer }: Request,
  occasion: string,
): string {
  const identity = [bucket, key, versionId ?? '', etag ?? '', sequencer ?? '', occasion];
  const hash = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
  const file = key.slice(key.lastIndexOf('/') + 1).normalize('NFKD');
  const readable = file
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, READABLE);
  return readable ? `${readable}-${hash}` : hash;
}

/** `started` and `redriven`: it runs now. `known`: it runs already, or has ended well. */
export type Started = Readonly<{ name: string; status: 'started' | 'redriven' | 'known' }>;

/** Execution ARNs differ from their machine's in two words: `…:stateMachine:NAME` and `…:execution:NAME:EXECUTION`. */
export const executionArn = (stateMachineArn: string, name: string): string =>
  `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;

const UNFINISHED = new Set(['FAILED', 'TIMED_OUT', 'ABORTED']);

/** Starts the execution for an object's state, once: one that has failed goes on from where it failed. */
export async function startExecution(
  sfn: SFNClient,
  stateMachineArn: string,
  request: Request,
  occasion: string,
): Promise<Started> {
  const name = executionName(request, occasion);
  try {
    await sfn.send(new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(request) }));
    return { name, status: 'started' };
  } catch (error) {
    if (!(error instanceof ExecutionAlreadyExists)) throw error;
  }
  // The same name and input while it runs is no error; so this one has ended (or a person gave other options).
  const arn = executionArn(stateMachineArn, name);
  const { status } = await sfn.send(new DescribeExecutionCommand({ executionArn: arn }));
  if (!status || !UNFINISHED.has(status)) return { name, status: 'known' };
  await sfn.send(new RedriveExecutionCommand({ executionArn: arn }));
  return { name, status: 'redriven' };
}
