import * as v from 'valibot';
import { ApiError, type Operations, parseBody } from './api-error.ts';
import { type Execution, ExecutionStore } from './execution-store.ts';

/**
 * The calls of Step Functions that the trigger and the operators make.
 * https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
 */

const Start = v.object({
  stateMachineArn: v.string(),
  name: v.string(),
  input: v.optional(v.string(), '{}'),
});
const Named = v.object({ executionArn: v.string() });
const List = v.object({
  stateMachineArn: v.string(),
  statusFilter: v.optional(
    v.picklist(['RUNNING', 'SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED', 'PENDING_REDRIVE']),
  ),
  maxResults: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1000)), 100),
  nextToken: v.optional(v.string()),
});

/** Narrower than Step Functions, which takes any letter: a name is also the name of a record on disk. */
const NAME = /^[A-Za-z0-9._-]{1,80}$/;

/** https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html */
const REDRIVABLE_MS = 14 * 24 * 60 * 60 * 1000;

export const stepFunctionsOperations = (executions: ExecutionStore): Operations => ({
  StartExecution(body) {
    const { stateMachineArn, name, input } = parseBody(Start, body);
    checkMachine(stateMachineArn);
    if (!NAME.test(name)) throw new ApiError('InvalidName', `Invalid Name: '${name}'`);
    const parsed = parseInput(input);
    const known = executions.get(name);
    if (known?.status === 'RUNNING' && JSON.stringify(known.input) === JSON.stringify(parsed))
      return started(known);
    if (known) throw new ApiError('ExecutionAlreadyExists', `Execution Already Exists: '${known.arn}'`);
    return started(executions.start(name, parsed));
  },

  DescribeExecution(body) {
    const execution = find(executions, body);
    const { input, output, error, cause } = execution;
    const reason = whyNotRedrivable(execution);
    return {
      ...listed(execution),
      input: JSON.stringify(input),
      ...(output !== undefined && { output: JSON.stringify(output) }),
      ...(error !== undefined && { error, cause }),
      redriveStatus: reason ? 'NOT_REDRIVABLE' : 'REDRIVABLE',
      ...(reason && { redriveStatusReason: reason }),
    };
  },

  ListExecutions(body) {
    const { stateMachineArn, statusFilter, maxResults, nextToken } = parseBody(List, body);
    checkMachine(stateMachineArn);
    const all = executions
      .all()
      .filter(({ status }) => statusFilter === undefined || status === statusFilter)
      .sort((a, b) => b.startDate - a.startDate || (a.name < b.name ? -1 : 1));
    const from = nextToken === undefined ? 0 : all.findIndex(({ name }) => name === nextToken);
    if (from < 0) throw new ApiError('InvalidToken', `Invalid Token: '${nextToken}'`);
    const to = from + (maxResults || 100);
    return {
      executions: all.slice(from, to).map(listed),
      ...(all[to] && { nextToken: all[to].name }),
    };
  },

  RedriveExecution(body) {
    const execution = find(executions, body);
    const reason = whyNotRedrivable(execution);
    if (reason) throw new ApiError('ExecutionNotRedrivable', `${execution.arn}: ${reason}`);
    executions.redrive(execution);
    return { redriveDate: Date.now() / 1000 };
  },
});

const started = ({ arn, startDate }: Execution) => ({ executionArn: arn, startDate: startDate / 1000 });

const listed = ({ arn, name, status, startDate, stopDate, redriveCount }: Execution) => ({
  executionArn: arn,
  stateMachineArn: ExecutionStore.stateMachineArn,
  name,
  status,
  startDate: startDate / 1000,
  ...(stopDate !== undefined && { stopDate: stopDate / 1000 }),
  redriveCount,
});

function whyNotRedrivable({ status, stopDate }: Execution): string | undefined {
  if (status !== 'FAILED') return `it is ${status}: only a failed one is redriven`;
  if (Date.now() - (stopDate ?? 0) > REDRIVABLE_MS) return 'it has ended more than 14 days ago';
  return undefined;
}

function checkMachine(arn: string): void {
  if (arn === ExecutionStore.stateMachineArn) return;
  throw new ApiError('StateMachineDoesNotExist', `State Machine Does Not Exist: '${arn}'`);
}

function find(executions: ExecutionStore, body: unknown): Execution {
  const { executionArn } = parseBody(Named, body);
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
    JSON.stringify(parsed); // what is nested too deep can be read, and not written down
    return parsed;
  } catch {
    throw new ApiError(
      'InvalidExecutionInput',
      `Invalid State Machine Execution Input: '${input.slice(0, 80)}'`,
    );
  }
}
