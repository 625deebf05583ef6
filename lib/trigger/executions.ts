import { createHash } from 'node:crypto';
import {
  DescribeExecutionCommand,
  ExecutionAlreadyExists,
  ExecutionNotRedrivable,
  RedriveExecutionCommand,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import * as v from 'valibot';
import { InvalidInput } from '../errors.ts';
import { truncate, UploadRequest } from '../schemas.ts';

/** Starts one execution of the state machine per object version. */

/** In milliseconds. The SDK itself has no limits. */
const TIMEOUTS = {
  connectionTimeout: 3_000,
  requestTimeout: 10_000,
  socketTimeout: 10_000,
  throwOnRequestTimeout: true,
};

export const createStepFunctionsClient = (): SFNClient => new SFNClient({ requestHandler: TIMEOUTS });

/**
 * An execution name has at most 80 characters. Only names of letters, digits, hyphens, and underscores are logged for certain:
 * https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
 */
const MAX_READABLE_CHARS = 40;

/**
 * Returns a name that starts with the file name and ends with a hash of the object version. Two events for the same version
 * have the same name.
 * @param dedupeKey makes a different name for the same version
 */
export function executionName(
  { bucket, key, versionId, etag, sequencer }: UploadRequest,
  dedupeKey: string,
): string {
  const identity = [bucket, key, versionId ?? '', etag ?? '', sequencer ?? '', dedupeKey];
  const hash = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
  const file = key.slice(key.lastIndexOf('/') + 1).normalize('NFKD');
  const readable = file
    .replace(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, MAX_READABLE_CHARS);
  return readable ? `${readable}-${hash}` : hash;
}

/** `exists`: an execution of this name is running, has succeeded, or was stopped by an operator. */
export type Started = Readonly<{ name: string; status: 'started' | 'redriven' | 'exists' }>;

/** The ARNs of a state machine and its execution: `…:stateMachine:NAME` and `…:execution:NAME:EXECUTION`. */
export const executionArn = (stateMachineArn: string, name: string): string =>
  `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;

/** Without ABORTED: what an operator stopped stays stopped. */
const FAILED = new Set(['FAILED', 'TIMED_OUT']);

/**
 * The name of the execution that replaces one that is too old for a redrive. Step Functions redrives for 14 days and
 * reserves a name for 90 days. The name follows from the old one, so concurrent restarts find each other.
 */
export const restartName = (request: UploadRequest, name: string, ended: Date | undefined): string =>
  executionName(request, `${name} after ${ended?.toISOString()}`);

/**
 * Starts an execution. If one of this name exists and failed, it is redriven, or restarted under another name.
 * @throws {InvalidInput} if an execution for another object has the name, and the errors of Step Functions
 */
export async function startExecution(
  sfn: SFNClient,
  stateMachineArn: string,
  name: string,
  request: UploadRequest,
  signal: AbortSignal,
): Promise<Started> {
  const command = new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(request) });
  try {
    await sfn.send(command, { abortSignal: signal });
    return { name, status: 'started' };
  } catch (error) {
    if (!(error instanceof ExecutionAlreadyExists)) throw error;
    return redriveOrRestart(sfn, stateMachineArn, name, request, signal);
  }
}

/** Redrives the execution of this name if it failed, or restarts it if Step Functions rejects the redrive. */
export async function redriveOrRestart(
  sfn: SFNClient,
  stateMachineArn: string,
  name: string,
  request: UploadRequest,
  signal: AbortSignal,
): Promise<Started> {
  const options = { abortSignal: signal };
  const arn = executionArn(stateMachineArn, name);
  const describe = () => sfn.send(new DescribeExecutionCommand({ executionArn: arn }), options);
  const { status, stopDate, input } = await describe();
  assertSameObject(arn, input, request);
  if (!status || !FAILED.has(status)) return { name, status: 'exists' };
  try {
    await sfn.send(new RedriveExecutionCommand({ executionArn: arn }), options);
    return { name, status: 'redriven' };
  } catch (error) {
    if (!(error instanceof ExecutionNotRedrivable)) throw error;
    // Step Functions also rejects the redrive of a running execution, which a concurrent redrive has started.
    const { status: now } = await describe();
    if (!now || !FAILED.has(now)) return { name, status: 'exists' };
  }
  return startExecution(sfn, stateMachineArn, restartName(request, name, stopDate), request, signal);
}

/** An operator can start any input under any name. The object must not count as uploaded because another one was. */
function assertSameObject(arn: string, input: string | undefined, { bucket, key }: UploadRequest): void {
  if (input === undefined) return; // without permission to decrypt it, Step Functions leaves it out
  const other = v.safeParse(v.pipe(v.string(), v.parseJson(), UploadRequest), input);
  if (other.success && other.output.bucket === bucket && other.output.key === key) return;
  throw new InvalidInput(
    `StartExecution s3://${bucket}/${key}: expected ${arn} to be for this object, got the input ${truncate(input, 200)}. ` +
      'Start the object manually, from a console or with npm run invoke.',
  );
}
