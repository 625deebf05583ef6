import { Lambda } from '@aws-sdk/client-lambda';
import * as v from 'valibot';
import { formatError } from '../cli/errors.ts';
import { replaceControls } from '../cli/format.ts';
import { STOPPED } from '../cli/signals.ts';
import type { Terminal } from '../cli/terminal.ts';
import { parse, Result } from '../lib/schemas.ts';
import type { Invoke } from './args.ts';
import { createStepFunctionsClient, findExecution } from './executions.ts';
import { pollUntil } from './poll.ts';
import { sendAws } from './request.ts';
import { findStack } from './stack.ts';

const TriggerResponse = v.object({ executions: v.array(v.object({ name: v.string(), status: v.string() })) });
const FunctionFailure = v.object({ errorType: v.optional(v.string(), ''), errorMessage: v.string() });

/** `npm run invoke`: invokes the trigger for one object and waits for its execution. @returns the exit code */
export async function invoke(
  { target, request, detach }: Invoke,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const stack = await findStack(target);
  const trigger = stack.output('TriggerFunctionName');
  const stateMachineArn = stack.output('StateMachineArn');
  const object = `s3://${request.bucket}/${request.key}`;
  const executions = await invokeTrigger(trigger, request);
  for (const { name, status } of executions)
    terminal.print(`${replaceControls(object)}  execution ${name} ${status}`);
  if (detach) return 0;
  const ends = await Promise.all(executions.map(({ name }) => waitForEnd(stateMachineArn, name, signal)));
  if (ends.includes(undefined)) {
    terminal.print('stopped waiting: the execution continues');
    return STOPPED;
  }
  for (const end of ends) {
    if (end?.status === 'SUCCEEDED') {
      const output: unknown = JSON.parse(end.output ?? 'null');
      const { outcome, reason, fileId, url } = parse(Result, output, `output of execution ${end.name}`);
      terminal.print([replaceControls(object), outcome, reason, fileId, url].filter(Boolean).join('  '));
    } else {
      const { error: name = String(end?.status), cause: message = '' } = end ?? {};
      terminal.printError(formatError({ name, message }, { subject: object }));
    }
  }
  return ends.every((end) => end?.status === 'SUCCEEDED') ? 0 : 1;
}

async function invokeTrigger(trigger: string, request: Invoke['request']) {
  const lambda = new Lambda();
  const input = { FunctionName: trigger, Payload: JSON.stringify(request) };
  const { FunctionError, Payload } = await sendAws(`invoke ${trigger}`, () => lambda.invoke(input));
  const response: unknown = JSON.parse(Payload?.transformToString() || 'null');
  if (FunctionError === undefined)
    return parse(TriggerResponse, response, `response of ${trigger}`).executions;
  const { errorType, errorMessage } = parse(FunctionFailure, response, `failure of ${trigger}`);
  throw Object.assign(new Error(`${trigger}: ${errorMessage}`), { name: errorType || 'Error' });
}

/** @returns undefined if the signal ends the wait */
async function waitForEnd(stateMachineArn: string, name: string, signal: AbortSignal) {
  const sfn = createStepFunctionsClient();
  try {
    return await pollUntil(async () => {
      const execution = await findExecution(sfn, stateMachineArn, name, signal);
      const isRunning = execution?.status === 'RUNNING' || execution?.status === 'PENDING_REDRIVE';
      return isRunning ? undefined : execution;
    }, signal);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}
