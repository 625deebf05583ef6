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
import { cacheByKey } from '../aws/cached-resource.ts';
import type { Environment } from '../config.ts';
import { InvalidInput } from '../errors.ts';
import { UploadRequest } from '../schemas.ts';

/** Executions of the state machine: their names, and one for each state of an object. */

/** Milliseconds to connect, and to an answer. */
const TIMEOUTS = {
  connectionTimeout: 3_000,
  requestTimeout: 10_000,
  socketTimeout: 10_000,
  throwOnRequestTimeout: true,
};

const states = cacheByKey<SFNClient>((client) => client.destroy());

/** Step Functions, where the SDK's own settings say. One client serves all invocations of a function. */
export const stepFunctionsClient = (env: Environment): SFNClient =>
  states.get(env.AWS_ENDPOINT_URL_SFN ?? '', () => new SFNClient({ requestHandler: TIMEOUTS }));

/** Closes the kept-alive connections. */
export const releaseStepFunctionsClient = (): void => states.release();

/** https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html: at most 80 characters. */
const MAX_READABLE_CHARS = 40;

/**
 * A name that people can read (the file's) and that is unique to the object's state (a hash): hearing of one state
 * twice gives one name. `dedupeKey` tells apart what shall be looked at again.
 */
export function executionName(
  { bucket, key, versionId, etag, sequencer }: UploadRequest,
  dedupeKey: string,
): string {
  const identity = [bucket, key, versionId ?? '', etag ?? '', sequencer ?? '', dedupeKey];
  const hash = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
  const file = key.slice(key.lastIndexOf('/') + 1).normalize('NFKD');
  const readable = file
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, MAX_READABLE_CHARS);
  return readable ? `${readable}-${hash}` : hash;
}

/** `started` and `redriven`: it runs now. `known`: it runs already, has ended well, or was stopped by a person. */
export type Started = Readonly<{ name: string; status: 'started' | 'redriven' | 'known' }>;

/** Execution ARNs differ from their machine's in two words: `…:stateMachine:NAME` and `…:execution:NAME:EXECUTION`. */
export const executionArn = (stateMachineArn: string, name: string): string =>
  `${stateMachineArn.replace(':stateMachine:', ':execution:')}:${name}`;

/** What a person stopped (ABORTED) stays stopped. */
const FAILED = new Set(['FAILED', 'TIMED_OUT']);

/**
 * The name under which an object's journey begins again, once the execution of this name is too old to be redriven (14
 * days, while its name is kept for 90). It follows from the old one: whoever begins it again finds whether another did.
 */
export const restartName = (request: UploadRequest, name: string, ended: Date | undefined): string =>
  executionName(request, `${name} after ${ended?.toISOString()}`);

/**
 * Starts the execution for an object's state, once: one that has failed goes on from where it failed, or begins again
 * under another name.
 * @throws {InvalidInput} where the name is taken by another object's execution, and what Step Functions answers
 */
export async function startExecution(
  sfn: SFNClient,
  stateMachineArn: string,
  request: UploadRequest,
  dedupeKey: string,
  signal: AbortSignal,
): Promise<Started> {
  const name = executionName(request, dedupeKey);
  const isNew = await start(sfn, stateMachineArn, name, request, signal);
  return isNew ? { name, status: 'started' } : redriveOrRestart(sfn, stateMachineArn, name, request, signal);
}

/** What `startExecution` does where there is an execution of this name already. */
export async function redriveOrRestart(
  sfn: SFNClient,
  stateMachineArn: string,
  name: string,
  request: UploadRequest,
  signal: AbortSignal,
): Promise<Started> {
  const options = { abortSignal: signal };
  const arn = executionArn(stateMachineArn, name);
  const look = () => sfn.send(new DescribeExecutionCommand({ executionArn: arn }), options);
  const { status, stopDate, input } = await look();
  assertSameObject(arn, input, request);
  if (!status || !FAILED.has(status)) return { name, status: 'known' };
  try {
    await sfn.send(new RedriveExecutionCommand({ executionArn: arn }), options);
    return { name, status: 'redriven' };
  } catch (error) {
    if (!(error instanceof ExecutionNotRedrivable)) throw error;
    const { status: now } = await look(); // nor can one that runs be, since somebody else has just redriven it
    if (!now || !FAILED.has(now)) return { name, status: 'known' };
  }
  const next = restartName(request, name, stopDate);
  const isNew = await start(sfn, stateMachineArn, next, request, signal);
  return isNew
    ? { name: next, status: 'started' }
    : redriveOrRestart(sfn, stateMachineArn, next, request, signal);
}

/** Answers whether it was started. The same name and input while it runs is no error: then it has ended, or has another input. */
async function start(
  sfn: SFNClient,
  stateMachineArn: string,
  name: string,
  request: UploadRequest,
  signal: AbortSignal,
): Promise<boolean> {
  const command = new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify(request) });
  try {
    await sfn.send(command, { abortSignal: signal });
    return true;
  } catch (error) {
    if (error instanceof ExecutionAlreadyExists) return false;
    throw error;
  }
}

/** A person may have started anything under any name: an object must not be taken for done since another was. */
function assertSameObject(arn: string, input: string | undefined, { bucket, key }: UploadRequest): void {
  if (input === undefined) return; // not shown to who may not decrypt it
  const other = v.safeParse(v.pipe(v.string(), v.parseJson(), UploadRequest), input);
  if (other.success && other.output.bucket === bucket && other.output.key === key) return;
  throw new InvalidInput(
    `s3://${bucket}/${key}: its execution's name is taken: ${arn} was started with ${input.slice(0, 200)}: ` +
      'start the object by hand, from a console or with npm run invoke',
  );
}
