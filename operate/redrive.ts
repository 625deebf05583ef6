import type { SFNClient } from '@aws-sdk/client-sfn';
import { SQS } from '@aws-sdk/client-sqs';
import { pMapIterable } from 'p-map';
import * as v from 'valibot';
import { replaceControls } from '../cli/format.ts';
import type { Terminal } from '../cli/terminal.ts';
import { UploadRequest } from '../lib/schemas.ts';
import { redriveOrRestart, restartName } from '../lib/trigger/executions.ts';
import { formatTime, type Redrive } from './args.ts';
import { createStepFunctionsClient, findExecution, listFailedSince } from './executions.ts';
import { pollUntil } from './poll.ts';
import { sendAws } from './request.ts';
import { findStack, type Stack } from './stack.ts';

/** Executions read or redriven concurrently. */
const CONCURRENCY = 8;

/**
 * `npm run redrive`: moves dead letters back to the queue and continues failed executions.
 * @returns the exit code: 1 if some of them could not be redriven
 */
export async function redrive(args: Redrive, terminal: Terminal, signal: AbortSignal): Promise<number> {
  const stack = await findStack(args.target);
  const machine = stack.output('StateMachineArn'); // if it is missing, nothing starts
  const hasMovedLetters = await redriveDeadLetters(stack, args.dryRun, terminal, signal);
  const hasRedrivenAll = await redriveExecutions(machine, args, terminal, signal);
  return hasMovedLetters && hasRedrivenAll ? 0 : 1;
}

async function redriveDeadLetters(
  stack: Stack,
  dryRun: boolean,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<boolean> {
  const sqs = new SQS();
  // The destination is explicit because a message that EventBridge could not deliver has no source queue.
  const move = { DestinationArn: stack.output('QueueArn'), SourceArn: stack.output('DeadLetterQueueArn') };
  const count = await countDeadLetters(sqs, stack.output('DeadLetterQueueUrl'));
  const plan = count === 0 ? '' : dryRun ? ', would move to the queue' : ', moving to the queue';
  terminal.print(`dead letters: ${count}${plan}`);
  if (dryRun || count === 0) return true;
  await sendAws('dead letters', () => sqs.startMessageMoveTask(move));
  const {
    Status,
    ApproximateNumberOfMessagesMoved: moved = 0,
    FailureReason: reason = 'SQS gives no reason',
  } = await pollUntil(() => readMoveResult(sqs, move.SourceArn, terminal), signal);
  if (Status === 'COMPLETED') {
    terminal.print(`dead letters: ${moved} moved; messages that the trigger rejects again return here`);
    return true;
  }
  terminal.printError(`dead letters: ${moved} moved, then ${Status?.toLowerCase()}: ${reason}`);
  return false;
}

async function countDeadLetters(sqs: SQS, QueueUrl: string): Promise<number> {
  const { Attributes } = await sendAws('dead letters', () =>
    sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['ApproximateNumberOfMessages'] }),
  );
  return Number(Attributes?.ApproximateNumberOfMessages ?? 0);
}

/** @returns undefined while the move is running */
async function readMoveResult(sqs: SQS, SourceArn: string, terminal: Terminal) {
  const { Results: [task] = [] } = await sendAws('dead letters', () =>
    sqs.listMessageMoveTasks({ SourceArn, MaxResults: 1 }),
  );
  if (task?.Status !== 'RUNNING' && task?.Status !== 'CANCELLING') return task;
  const { ApproximateNumberOfMessagesMoved: moved = 0, ApproximateNumberOfMessagesToMove: all } = task;
  terminal.showProgress(`  ${moved} of ${all} dead letters moved`);
  return undefined;
}

/** `continued`: an earlier redrive has continued it already. `line` reports the action to the operator. */
type RedriveAction =
  | Readonly<{ action: 'redriven' | 'restarted' | 'skipped'; line: string }>
  | Readonly<{ action: 'continued' }>;

async function redriveExecutions(
  machine: string,
  { since, dryRun }: Redrive,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<boolean> {
  const sfn = createStepFunctionsClient();
  const counts = { redriven: 0, restarted: 0, continued: 0, skipped: 0 };
  const failed = await listFailedSince(sfn, machine, since, signal);
  const redriveByName = (name: string) => redriveOne(sfn, machine, name, dryRun, signal);
  let done = 0;
  for await (const result of pMapIterable(failed, redriveByName, { concurrency: CONCURRENCY })) {
    counts[result.action]++;
    terminal.showProgress(`  ${++done} of ${failed.length} failed executions`);
    if (result.action === 'skipped') terminal.printError(result.line);
    else if (result.action !== 'continued') terminal.print(result.line);
  }
  terminal.print(
    `failed executions since ${formatTime(since)}: ${failed.length}; ${dryRun ? 'would be ' : ''}redriven ${counts.redriven}, ` +
      `restarted ${counts.restarted}; already continued ${counts.continued}, skipped ${counts.skipped}`,
  );
  return counts.skipped === 0;
}

const Input = v.pipe(v.string(), v.parseJson(), UploadRequest);

async function redriveOne(
  sfn: SFNClient,
  machine: string,
  name: string,
  dryRun: boolean,
  signal: AbortSignal,
): Promise<RedriveAction> {
  const {
    input = '',
    stopDate,
    redriveStatus,
    error = 'no error name',
    cause = '',
  } = (await findExecution(sfn, machine, name, signal)) ?? {};
  const { success, output: request } = v.safeParse(Input, input);
  if (!success) {
    const line = `skipped  ${name}: expected an upload request as input, got ${input.slice(0, 80)}`;
    return { action: 'skipped', line };
  }
  const isTooOld = redriveStatus === 'NOT_REDRIVABLE';
  if (isTooOld && (await findExecution(sfn, machine, restartName(request, name, stopDate), signal)))
    return { action: 'continued' };
  if (!dryRun) {
    const { status } = await sendAws(`redrive ${name}`, () =>
      redriveOrRestart(sfn, machine, name, request, signal),
    );
    if (status === 'exists') return { action: 'continued' };
  }
  const action = isTooOld ? 'restarted' : 'redriven';
  const verb = dryRun ? `would be ${action}` : action;
  const line = `${verb}  ${name}  s3://${request.bucket}/${request.key}  ${error}: ${cause}`;
  return { action, line: replaceControls(line.slice(0, 500)) };
}
