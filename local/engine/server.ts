import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import * as v from 'valibot';
import { explain } from '../../lib/parse.ts';
import { type Listening, listen } from '../listen.ts';
import { type Execution, Executions } from './executions.ts';

/**
 * The calls of Step Functions that the trigger makes, over HTTP (AWS JSON 1.0), so that it runs here as it does there.
 * https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
 */

const Start = v.object({
  stateMachineArn: v.string(),
  name: v.string(),
  input: v.optional(v.string(), '{}'),
});
const Named = v.object({ executionArn: v.string() });

const NAME = /^[^\s<>{}[\]?*"#%\\^|~`$&,;:/\p{Cc}]{1,80}$/u;

export async function startStates(executions: Executions, port = 0): Promise<Listening> {
  const server = createServer((request, response) => void serve(request, response, executions));
  return listen(server, port);
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  executions: Executions,
): Promise<void> {
  const reply = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
  };
  try {
    const target = String(request.headers['x-amz-target']);
    const operation = OPERATIONS[target.replace('AWSStepFunctions.', '')];
    if (!operation)
      throw new Refusal('UnknownOperationException', `${target} is not one of ${Object.keys(OPERATIONS)}`);
    reply(200, operation(executions, await json(request)));
  } catch (error) {
    if (error instanceof Refusal) reply(400, { __type: error.type, message: error.message });
    else reply(500, { __type: 'InternalError', message: String(error) });
  }
}

class Refusal extends Error {
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

type Operation = (executions: Executions, body: unknown) => unknown;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  StartExecution(executions, body) {
    const { stateMachineArn, name, input } = read(Start, body);
    if (stateMachineArn !== Executions.stateMachineArn) {
      throw new Refusal('StateMachineDoesNotExist', `State Machine Does Not Exist: '${stateMachineArn}'`);
    }
    if (!NAME.test(name)) throw new Refusal('InvalidName', `Invalid Name: '${name}'`);
    const parsed = parseInput(input);
    const known = executions.get(name);
    if (known?.status === 'RUNNING' && JSON.stringify(known.input) === JSON.stringify(parsed))
      return started(known);
    if (known) throw new Refusal('ExecutionAlreadyExists', `Execution Already Exists: '${known.arn}'`);
    return started(executions.start(name, parsed));
  },
  DescribeExecution: (executions, body) => {
    const { input, output, startDate, stopDate, arn, ...rest } = find(executions, body);
    return {
      ...rest,
      executionArn: arn,
      stateMachineArn: Executions.stateMachineArn,
      input: JSON.stringify(input),
      startDate: startDate / 1000,
      ...(output !== undefined && { output: JSON.stringify(output) }),
      ...(stopDate !== undefined && { stopDate: stopDate / 1000 }),
    };
  },
  RedriveExecution: (executions, body) => {
    const execution = find(executions, body);
    if (execution.status !== 'FAILED') {
      throw new Refusal(
        'ExecutionNotRedrivable',
        `${execution.arn} is ${execution.status}: only a failed one is redriven`,
      );
    }
    executions.redrive(execution);
    return { redriveDate: Date.now() / 1000 };
  },
};

const started = ({ arn, startDate }: Execution) => ({ executionArn: arn, startDate: startDate / 1000 });

function find(executions: Executions, body: unknown): Execution {
  const { executionArn } = read(Named, body);
  const name = executionArn.slice(executionArn.lastIndexOf(':') + 1);
  const execution = NAME.test(name) ? executions.get(name) : undefined;
  if (execution?.arn !== executionArn) {
    throw new Refusal('ExecutionDoesNotExist', `Execution Does Not Exist: '${executionArn}'`);
  }
  return execution;
}

function read<const S extends v.GenericSchema>(schema: S, body: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, body);
  if (result.success) return result.output;
  throw new Refusal('ValidationException', explain(result.issues));
}

function parseInput(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    throw new Refusal(
      'InvalidExecutionInput',
      `Invalid State Machine Execution Input: '${input.slice(0, 80)}'`,
    );
  }
}
