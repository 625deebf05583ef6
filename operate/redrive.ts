import type { SFNClient } from '@aws-sdk/client-sfn';
import {
  GetQueueAttributesCommand,
  ListMessageMoveTasksCommand,
  SQSClient,
  StartMessageMoveTaskCommand,
} from '@aws-sdk/client-sqs';
import { pMapIterable } from 'p-map';
import * as v from 'valibot';
import { printable } from '../cli/format.ts';
import { UploadRequest } from '../lib/schemas.ts';
import { redriveOrRestart, restartName } from '../lib/trigger/executions.ts';
import { iso, type Redrive } from './args.ts';
import { createStepFunctionsClient, failedSince, findExecution } from './executions.ts';
import { pollUntil } from './poll.ts';
import { sendAws } from './request.ts';
import type { Screen } from './screen.ts';
import { findStack } from './stack.ts';

/** `npm run redrive`: once what was wrong is mended, all that failed of it goes on. */

/** Executions looked at, or redriven, at once. */
const SIDE_BY_SIDE = 8;

/** @returns the exit code: 1 where something could not be redriven */
export async function redrive(given: Redrive, screen: Screen, signal: AbortSignal): Promise<number> {
  const stack = await findStack(given.where);
  // All of them now: where one is missing, nothing is begun.
  const machine = stack.output('StateMachineArn');
  const queues = {
    arn: stack.output('QueueArn'),
    lettersArn: stack.output('DeadLetterQueueArn'),
    lettersUrl: stack.output('DeadLetterQueueUrl'),
  };
  const letters = await redriveLetters(queues, given.dryRun, screen, signal);
  const executions = await redriveExecutions(machine, given, screen, signal);
  return letters && executions ? 0 : 1;
}

type Queues = Readonly<{ arn: string; lettersArn: string; lettersUrl: string }>;

async function redriveLetters(
  { arn, lettersArn, lettersUrl }: Queues,
  dryRun: boolean,
  screen: Screen,
  signal: AbortSignal,
): Promise<boolean> {
  const sqs = new SQSClient({});
  try {
    const count = await lettersIn(sqs, lettersUrl);
    screen.say(
      `dead letters: ${count}${count > 0 ? `, ${dryRun ? 'would go' : 'go'} back to the queue` : ''}`,
    );
    if (dryRun || count === 0) return true;
    // Named, since a letter that EventBridge itself could not deliver was in no queue before.
    const start = new StartMessageMoveTaskCommand({ SourceArn: lettersArn, DestinationArn: arn });
    await sendAws('dead letters', () => sqs.send(start));
    const {
      Status,
      ApproximateNumberOfMessagesMoved: moved = 0,
      FailureReason,
    } = await pollUntil(() => moveEnded(sqs, lettersArn, screen), signal);
    if (Status === 'COMPLETED') {
      screen.say(`dead letters: ${moved} moved; what the trigger still cannot take comes back there`);
      return true;
    }
    screen.warn(
      `dead letters: ${moved} moved, then ${Status?.toLowerCase()}: ${FailureReason ?? 'nothing is said of why'}`,
    );
    return false;
  } finally {
    sqs.destroy();
  }
}

async function lettersIn(sqs: SQSClient, QueueUrl: string): Promise<number> {
  const { Attributes } = await sendAws('dead letters', () =>
    sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['ApproximateNumberOfMessages'] })),
  );
  return Number(Attributes?.ApproximateNumberOfMessages ?? 0);
}

async function moveEnded(sqs: SQSClient, SourceArn: string, screen: Screen) {
  const { Results: [task] = [] } = await sendAws('dead letters', () =>
    sqs.send(new ListMessageMoveTasksCommand({ SourceArn, MaxResults: 1 })),
  );
  if (task?.Status !== 'RUNNING' && task?.Status !== 'CANCELLING') return task;
  const { ApproximateNumberOfMessagesMoved: moved = 0, ApproximateNumberOfMessagesToMove: all } = task;
  screen.progress(`  ${moved} of ${all} dead letters moved`);
  return undefined;
}

/** What became, or would become, of a failed execution, and the words for it. `before`: it goes on already. */
type Fate = Readonly<{ does: 'redrive' | 'begin anew' | 'before' | 'leave'; line: string }>;

async function redriveExecutions(
  machine: string,
  { since, dryRun }: Redrive,
  screen: Screen,
  signal: AbortSignal,
): Promise<boolean> {
  const sfn = createStepFunctionsClient();
  const counts = { redrive: 0, 'begin anew': 0, before: 0, leave: 0 };
  try {
    const failed = await failedSince(sfn, machine, since, signal);
    const attend = (name: string) => fateOf(sfn, machine, name, dryRun, signal);
    let seen = 0;
    for await (const { does, line } of pMapIterable(failed, attend, { concurrency: SIDE_BY_SIDE })) {
      counts[does]++;
      screen.progress(`  ${++seen} of ${failed.length} failed executions`);
      if (does === 'leave') screen.warn(line);
      else if (does !== 'before') screen.say(line);
    }
    screen.say(
      `failed executions since ${iso(since)}: ${failed.length}; ${dryRun ? 'would be ' : ''}redriven ${counts.redrive}, ` +
        `begun anew ${counts['begin anew']}; going on already ${counts.before}, left alone ${counts.leave}`,
    );
    return counts.leave === 0;
  } finally {
    sfn.destroy();
  }
}

const DONE = { redrive: 'redriven', 'begin anew': 'begun anew' } as const;
const Input = v.pipe(v.string(), v.parseJson(), UploadRequest);

async function fateOf(
  sfn: SFNClient,
  machine: string,
  name: string,
  dryRun: boolean,
  signal: AbortSignal,
): Promise<Fate> {
  const { input, stopDate, redriveStatus, error, cause } =
    (await findExecution(sfn, machine, name, signal)) ?? {};
  const parsed = v.safeParse(Input, input);
  if (!parsed.success) {
    return {
      does: 'leave',
      line: `left alone  ${name}: its input is no request: ${(input ?? '').slice(0, 80)}`,
    };
  }
  const request = parsed.output;
  const what = `${name}  s3://${request.bucket}/${request.key}  ${error ?? 'no error named'}: ${cause ?? ''}`;
  const anew = redriveStatus === 'NOT_REDRIVABLE';
  if (anew && (await findExecution(sfn, machine, restartName(request, name, stopDate), signal))) {
    return { does: 'before', line: '' };
  }
  const does = anew ? 'begin anew' : 'redrive';
  if (!dryRun) {
    const { status } = await sendAws(`redrive ${name}`, () =>
      redriveOrRestart(sfn, machine, name, request, signal),
    );
    if (status === 'known') return { does: 'before', line: '' };
  }
  return { does, line: printable(`${dryRun ? `would ${does}` : DONE[does]}  ${what}`.slice(0, 500)) };
}
