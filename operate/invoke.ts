import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import * as v from 'valibot';
import { failureLine } from '../cli/errors.ts';
import { printable } from '../cli/format.ts';
import { parse, Result } from '../lib/schemas.ts';
import type { Invoke } from './args.ts';
import { createStepFunctionsClient, findExecution } from './executions.ts';
import { pollUntil } from './poll.ts';
import { sendAws } from './request.ts';
import type { Screen } from './screen.ts';
import { findStack } from './stack.ts';

/** `npm run invoke`: what a person would type into the trigger's console. */

const Answer = v.object({ executions: v.array(v.object({ name: v.string(), status: v.string() })) });
const Failure = v.object({ errorType: v.optional(v.string(), ''), errorMessage: v.string() });

/** @returns the exit code */
export async function invoke(
  { where, request, detach }: Invoke,
  screen: Screen,
  signal: AbortSignal,
): Promise<number> {
  const stack = await findStack(where);
  const trigger = stack.output('TriggerFunctionName');
  const stateMachineArn = stack.output('StateMachineArn');
  const object = `s3://${request.bucket}/${request.key}`;
  const names = await started(trigger, request);
  for (const { name, status } of names) screen.say(`${printable(object)}  execution ${name} ${status}`);
  if (detach) return 0;
  const ends = await Promise.all(names.map(({ name }) => ended(stateMachineArn, name, signal)));
  if (ends.includes(undefined)) {
    screen.say('stopped watching: the execution goes on');
    return 130;
  }
  for (const end of ends) {
    if (end?.status === 'SUCCEEDED') {
      const { outcome, reason, fileId, url } = parse(Result, JSON.parse(end.output ?? 'null'), 'its output');
      screen.say([printable(object), outcome, reason, fileId, url].filter(Boolean).join('  '));
    } else {
      const { error: name = String(end?.status), cause: message = '' } = end ?? {};
      screen.warn(failureLine(message.startsWith(object) ? undefined : object, { name, message }, false));
    }
  }
  return ends.every((end) => end?.status === 'SUCCEEDED') ? 0 : 1;
}

async function started(
  trigger: string,
  request: Invoke['request'],
): Promise<{ name: string; status: string }[]> {
  const lambda = new LambdaClient({});
  const command = new InvokeCommand({ FunctionName: trigger, Payload: JSON.stringify(request) });
  try {
    const { FunctionError, Payload } = await sendAws(`invoke ${trigger}`, () => lambda.send(command));
    const answer: unknown = JSON.parse(Payload?.transformToString() || 'null');
    if (FunctionError === undefined) return parse(Answer, answer, `the answer of ${trigger}`).executions;
    const { errorType, errorMessage } = parse(Failure, answer, `the failure of ${trigger}`);
    throw Object.assign(new Error(`${trigger}: ${errorMessage}`), { name: errorType || 'Error' });
  } finally {
    lambda.destroy();
  }
}

/** How the execution ended; nothing, where nobody waits any longer. */
async function ended(stateMachineArn: string, name: string, signal: AbortSignal) {
  const sfn = createStepFunctionsClient();
  try {
    return await pollUntil(async () => {
      const execution = await findExecution(sfn, stateMachineArn, name, signal);
      return execution?.status === 'RUNNING' || execution?.status === 'PENDING_REDRIVE'
        ? undefined
        : execution;
    }, signal);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    sfn.destroy();
  }
}
