import {
  DescribeExecutionCommand,
  ExecutionDoesNotExist,
  paginateListExecutions,
  SFNClient,
} from '@aws-sdk/client-sfn';
import { executionArn } from '../lib/trigger/executions.ts';
import { sendAws } from './request.ts';

/** Operators' commands send many calls, so throttled calls get more attempts than the SDK makes by default. */
export const createStepFunctionsClient = (): SFNClient => new SFNClient({ maxAttempts: 8 });

/**
 * Lists the names of the executions that failed since a time, most recently started first. Step Functions keeps executions
 * for 90 days. The list is complete before any execution is redriven, since a redrive would shift the pages.
 */
export async function listFailedSince(
  client: SFNClient,
  stateMachineArn: string,
  since: number,
  signal: AbortSignal,
): Promise<string[]> {
  const names: string[] = [];
  for (const statusFilter of ['FAILED', 'TIMED_OUT'] as const) {
    const input = { stateMachineArn, statusFilter, maxResults: 1000 };
    await sendAws(`executions of ${stateMachineArn}`, async () => {
      for await (const page of paginateListExecutions({ client }, input, { abortSignal: signal })) {
        for (const { name, stopDate } of page.executions ?? [])
          if (name && stopDate && stopDate.getTime() >= since) names.push(name);
      }
    });
  }
  return names;
}

/** @returns undefined if there is no execution of this name */
export const findExecution = (sfn: SFNClient, stateMachineArn: string, name: string, signal: AbortSignal) =>
  sendAws(`execution ${name}`, async () => {
    const command = new DescribeExecutionCommand({ executionArn: executionArn(stateMachineArn, name) });
    try {
      return await sfn.send(command, { abortSignal: signal });
    } catch (error) {
      if (error instanceof ExecutionDoesNotExist) return undefined;
      throw error;
    }
  });
