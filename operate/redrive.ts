import { setTimeout as sleep } from 'node:timers/promises';
import type { SFNClient } from '@aws-sdk/client-sfn';
import { type Message, SQS } from '@aws-sdk/client-sqs';
import { pMapIterable } from 'p-map';
import * as v from 'valibot';
import { replaceControls } from '../cli/format.ts';
import type { Terminal } from '../cli/terminal.ts';
import { UploadRequest } from '../lib/schemas.ts';
import { redriveOrRestart, restartName } from '../lib/trigger/executions.ts';
import { formatTime, type Redrive } from './args.ts';
import { createStepFunctionsClient, findExecution, listFailedSince } from './executions.ts';
import { pollUntil } from './poll.ts';
import { createRateLimiter } from './rate-limit.ts';
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
  if (count > 0) await printReasons(sqs, stack.output('DeadLetterQueueUrl'), count, terminal);
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

/** Dead letters whose reasons are printed. The causes of more are the same. */
const MAX_PRINTED = 100;

/** A letter is hidden while its reason is read. If the command dies, it is visible again after this time. */
const READ_SECONDS = 60;

/** Prints the reason of each dead letter, and leaves all of them in the queue. */
async function printReasons(sqs: SQS, QueueUrl: string, count: number, terminal: Terminal): Promise<void> {
  const letters: Message[] = [];
  const wanted = Math.min(count, MAX_PRINTED);
  try {
    while (letters.length < wanted) {
      const { Messages = [] } = await sendAws('dead letters', () =>
        sqs.receiveMessage({
          QueueUrl,
          MaxNumberOfMessages: Math.min(10, wanted - letters.length),
          VisibilityTimeout: READ_SECONDS,
          WaitTimeSeconds: 1, // asks all servers of SQS
          MessageAttributeNames: ['reason', 'ERROR_CODE', 'ERROR_MESSAGE'],
        }),
      );
      if (Messages.length === 0) break; // the count is approximate
      letters.push(...Messages);
    }
  } finally {
    await Promise.all(
      letters.map(({ ReceiptHandle }) =>
        sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }),
      ),
    );
  }
  for (const letter of letters)
    terminal.print(replaceControls(`dead letter  ${letter.MessageId}  ${reasonOf(letter)}`.slice(0, 500)));
  if (count > letters.length) terminal.print(`and ${count - letters.length} more dead letters`);
}

/** The reason of the trigger, or that of EventBridge for an event that it could not deliver. */
function reasonOf({ MessageAttributes: attributes = {} }: Message): string {
  const { reason, ERROR_CODE: code, ERROR_MESSAGE: message } = attributes;
  const text = [reason?.StringValue, code?.StringValue, message?.StringValue].filter(Boolean).join(' ');
  return text || 'the trigger ended without a response. See its log.';
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
  { since, perMinute, dryRun }: Redrive,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<boolean> {
  const sfn = createStepFunctionsClient();
  const counts = { redriven: 0, restarted: 0, continued: 0, skipped: 0 };
  const failed = await listFailedSince(sfn, machine, since, signal);
  const reserveTurn = createRateLimiter(perMinute);
  const waitForTurn = () => sleep(reserveTurn(performance.now()), undefined, { signal });
  const redriveByName = (name: string) =>
    redriveOne(sfn, machine, name, dryRun ? undefined : waitForTurn, signal);
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

/** @param waitForTurn undefined in a dry run */
async function redriveOne(
  sfn: SFNClient,
  machine: string,
  name: string,
  waitForTurn: (() => Promise<unknown>) | undefined,
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
  if (waitForTurn) {
    await waitForTurn();
    const { status } = await sendAws(`redrive ${name}`, () =>
      redriveOrRestart(sfn, machine, name, request, signal),
    );
    if (status === 'exists') return { action: 'continued' };
  }
  const action = isTooOld ? 'restarted' : 'redriven';
  const verb = waitForTurn ? action : `would be ${action}`;
  const line = `${verb}  ${name}  s3://${request.bucket}/${request.key}  ${error}: ${cause}`;
  return { action, line: replaceControls(line.slice(0, 500)) };
}
