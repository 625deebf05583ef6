import * as v from 'valibot';
import { ApiError, type Operations, parseBody } from './api-error.ts';
import { type Execution, ExecutionStore } from './execution-store.ts';

const StartExecutionInput = v.object({
  stateMachineArn: v.string(),
  name: v.string(),
  input: v.optional(v.string(), '{}'),
});
const ExecutionInput = v.object({ executionArn: v.string() });
const ListExecutionsInput = v.object({
  stateMachineArn: v.string(),
  statusFilter: v.optional(
    v.picklist(['RUNNING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED', 'PENDING_REDRIVE']),
  ),
  maxResults: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1000)), 100),
  nextToken: v.optional(v.string()),
});

/** Step Functions accepts more, but may not log such executions. Here the name is the name of a file, too. */
const NAME = /^[A-Za-z0-9_-]{1,80}$/;

/** https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html */
const REDRIVE_PERIOD_MS = 14 * 24 * 60 * 60 * 1000;

/**
 * The Step Functions actions of the trigger and the operators' commands.
 * https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
 */
export const stepFunctionsOperations = (executions: ExecutionStore): Operations => ({
  StartExecution(body) {
    const { stateMachineArn, name, input } = parseBody(StartExecutionInput, body);
    assertStateMachine(stateMachineArn);
    if (!NAME.test(name)) throw new ApiError('InvalidName', `Invalid Name: '${name}'`);
    const parsed = parseInput(input);
    const existing = executions.get(name);
    const isSame =
      existing?.status === 'RUNNING' && JSON.stringify(existing.input) === JSON.stringify(parsed);
    if (existing && !isSame)
      throw new ApiError('ExecutionAlreadyExists', `Execution Already Exists: '${existing.arn}'`);
    const { arn, startDate } = existing ?? executions.start(name, parsed);
    return { executionArn: arn, startDate: startDate / 1000 };
  },

  DescribeExecution(body) {
    const execution = findExecution(executions, body);
    const { input, output, error, cause } = execution;
    const reason = notRedrivableReason(execution);
    return {
      ...summarize(execution),
      input: JSON.stringify(input),
      ...(output !== undefined && { output: JSON.stringify(output) }),
      ...(error !== undefined && { error, cause }),
      redriveStatus: reason ? 'NOT_REDRIVABLE' : 'REDRIVABLE',
      ...(reason && { redriveStatusReason: reason }),
    };
  },

  ListExecutions(body) {
    const { stateMachineArn, statusFilter, maxResults, nextToken } = parseBody(ListExecutionsInput, body);
    assertStateMachine(stateMachineArn);
    const all = executions
      .all()
      .filter(({ status }) => statusFilter === undefined || status === statusFilter)
      .sort((a, b) => b.startDate - a.startDate || (a.name < b.name ? -1 : 1));
    const from = nextToken === undefined ? 0 : all.findIndex(({ name }) => name === nextToken);
    if (from < 0) throw new ApiError('InvalidToken', `Invalid Token: '${nextToken}'`);
    const to = from + (maxResults || 100);
    return { executions: all.slice(from, to).map(summarize), ...(all[to] && { nextToken: all[to].name }) };
  },

  RedriveExecution(body) {
    const execution = findExecution(executions, body);
    const reason = notRedrivableReason(execution);
    if (reason) throw new ApiError('ExecutionNotRedrivable', `${execution.arn}: ${reason}`);
    executions.redrive(execution);
    return { redriveDate: Date.now() / 1000 };
  },
});

const summarize = ({ arn, name, status, startDate, stopDate, redriveCount }: Execution) => ({
  executionArn: arn,
  stateMachineArn: ExecutionStore.stateMachineArn,
  name,
  status,
  startDate: startDate / 1000,
  ...(stopDate !== undefined && { stopDate: stopDate / 1000 }),
  redriveCount,
});

function notRedrivableReason({ status, stopDate }: Execution): string | undefined {
  if (status !== 'FAILED') return `its status is ${status}, only FAILED can be redriven`;
  if (Date.now() - (stopDate ?? 0) > REDRIVE_PERIOD_MS) return 'it ended more than 14 days ago';
  return undefined;
}

function assertStateMachine(arn: string): void {
  if (arn === ExecutionStore.stateMachineArn) return;
  throw new ApiError('StateMachineDoesNotExist', `State Machine Does Not Exist: '${arn}'`);
}

function findExecution(executions: ExecutionStore, body: unknown): Execution {
  const { executionArn } = parseBody(ExecutionInput, body);
  const name = executionArn.slice(executionArn.lastIndexOf(':') + 1);
  const execution = NAME.test(name) ? executions.get(name) : undefined;
  if (execution?.arn !== executionArn) {
    throw new ApiError('ExecutionDoesNotExist', `Execution Does Not Exist: '${executionArn}'`);
  }
  return execution;
}

function parseInput(input: string): unknown {
  try {
    const parsed: unknown = JSON.parse(input);
    JSON.stringify(parsed); // deeply nested JSON can be parsed, but not written
    return parsed;
  } catch {
    throw new ApiError(
      'InvalidExecutionInput',
      `Invalid State Machine Execution Input: '${input.slice(0, 80)}'`,
    );
  }
}
