import { createHash } from 'node:crypto';
import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  ExecutionNotRedrivable,
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

/** What a person stopped (ABORTED) stays stopped. */
const FAILED = new Set(['FAILED', 'TIMED_OUT']);

/**
 * Starts the execution for an object's state, once: one that has failed goes on from where it failed, or, when it is too
 * old for that (14 days, while its name is kept for 90), begins again under another name.
 */
export async function startExecution(
  sfn: SFNClient,
  stateMachineArn: string,
  request: Request,
  occasion: string,
  signal: AbortSignal,
): Promise<Started> {
  const options = { abortSignal: signal };
  const start = async (name: string): Promise<boolean> => {
    try {
      await sfn.send(
        new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(request) }),
        options,
      );
      return true;
    } catch (error) {
      // The same name and input while it runs is no error: this one has ended (or a person gave other options).
      if (error instanceof ExecutionAlreadyExists) return false;
      throw error;
    }
  };
  const name = executionName(request, occasion);
  if (await start(name)) return { name, status: 'started' };
  const arn = executionArn(stateMachineArn, name);
  const { status, stopDate } = await sfn.send(new DescribeExecutionCommand({ executionArn: arn }), options);
  if (!status || !FAILED.has(status)) return { name, status: 'known' };
  try {
    await sfn.send(new RedriveExecutionCommand({ executionArn: arn }), options);
    return { name, status: 'redriven' };
  } catch (error) {
    if (!(error instanceof ExecutionNotRedrivable)) throw error;
  }
  const again = executionName(request, `${occasion} after ${stopDate?.toISOString()}`);
  return { name: again, status: (await start(again)) ? 'started' : 'known' };
}
