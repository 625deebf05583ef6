import {
  DescribeExecutionCommand,
  type DescribeExecutionCommandOutput,
  ExecutionDoesNotExist,
  ListExecutionsCommand,
  SFNClient,
} from '@aws-sdk/client-sfn';
import { executionArn } from '../lib/trigger/executions.ts';
import { sendAws } from './request.ts';

/** Executions as the operators look at them. */

/** Its calls may be many: throttled ones are tried longer than the SDK would by itself. */
export const createStepFunctionsClient = (): SFNClient => new SFNClient({ maxAttempts: 8 });

/**
 * The names of those that failed since then, the latest begun first. Step Functions keeps them for 90 days. All at once:
 * one that is redriven leaves the list, which would confuse its pages.
 */
export async function failedSince(
  client: SFNClient,
  stateMachineArn: string,
  since: number,
  signal: AbortSignal,
): Promise<string[]> {
  const names: string[] = [];
  for (const statusFilter of ['FAILED', 'TIMED_OUT'] as const) {
    let nextToken: string | undefined;
    do {
      const command = new ListExecutionsCommand({
        stateMachineArn,
        statusFilter,
        maxResults: 1000,
        nextToken,
      });
      const page = await sendAws(`executions of ${stateMachineArn}`, () =>
        client.send(command, { abortSignal: signal }),
      );
      for (const { name, stopDate } of page.executions ?? []) {
        if (name && stopDate && stopDate.getTime() >= since) names.push(name);
      }
      nextToken = page.nextToken;
    } while (nextToken !== undefined);
  }
  return names;
}

/** `undefined` where there is none of this name. */
export const findExecution = (
  sfn: SFNClient,
  stateMachineArn: string,
  name: string,
  signal: AbortSignal,
): Promise<DescribeExecutionCommandOutput | undefined> =>
  sendAws(`execution ${name}`, async () => {
    const command = new DescribeExecutionCommand({ executionArn: executionArn(stateMachineArn, name) });
    try {
      return await sfn.send(command, { abortSignal: signal });
    } catch (error) {
      if (error instanceof ExecutionDoesNotExist) return undefined;
      throw error;
    }
  });
