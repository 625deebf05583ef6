import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type ListeningServer, listen } from '../http-server.ts';
import { document, type XmlValue } from '../s3/wire/xml.ts';
import { ApiError, type Operations } from './api-error.ts';

/** The AWS calls that the trigger and the operators' commands make, answered as AWS does: with its SDK they run here as there. */

export type AwsServices = Readonly<{
  /** By the service's name in `x-amz-target`: AWS JSON. */
  targets: Readonly<Record<string, Operations>>;
  /** Invokes a function by its name. @throws what the function throws */
  invoke: (name: string, event: unknown) => Promise<unknown>;
  /** What CloudFormation knows of the stack. */
  stack: Readonly<{ name: string; outputs(endpoint: string): Readonly<Record<string, string>> }>;
}>;

export async function startAwsServer(services: AwsServices, port = 0): Promise<ListeningServer> {
  const server = createServer((request, response) => void serve(request, response, services));
  return listen(server, port);
}

type Reply = Readonly<{ status: number; type?: string; headers?: Record<string, string>; body: string }>;

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  services: AwsServices,
): Promise<void> {
  const { status, headers, body, type = 'application/json' } = await answer(request, services);
  response.writeHead(status, { 'content-type': type, ...headers }).end(body);
}

async function answer(request: IncomingMessage, services: AwsServices): Promise<Reply> {
  const target = request.headers['x-amz-target'];
  const [, functionName] = INVOCATIONS.exec(request.url ?? '') ?? [];
  try {
    const body = await bodyOf(request);
    if (functionName !== undefined) return await invoked(services, decodeURIComponent(functionName), body);
    if (target === undefined) {
      return describeStacks(services, new URLSearchParams(body), `http://${request.headers.host}`);
    }
    return {
      status: 200,
      type: 'application/x-amz-json-1.0',
      body: await called(services, String(target), body),
    };
  } catch (error) {
    const { type, message } =
      error instanceof ApiError ? error : { type: 'InternalError', message: String(error) };
    const status = error instanceof ApiError ? 400 : 500;
    return { status, headers: { 'x-amzn-errortype': type }, body: JSON.stringify({ __type: type, message }) };
  }
}

/** Lambda's largest event, and more than any other of these calls takes: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const MAX_BODY_BYTES = 6 * 1024 * 1024;

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  // What is left of one that is too long is read and thrown away, so that the caller sees the answer.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) {
      throw new ApiError('RequestTooLargeException', `expected at most ${MAX_BODY_BYTES} bytes, got more`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function called({ targets }: AwsServices, target: string, body: string): Promise<string> {
  const [service = '', name = ''] = target.split('.');
  const operation = own(own(targets, service) ?? {}, name);
  if (!operation) throw new ApiError('UnknownOperationException', `${target} is not served here`);
  return JSON.stringify(await operation(parsed(body)));
}

const own = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

/** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html */
const INVOCATIONS = /^\/2015-03-31\/functions\/([^/]+)\/invocations/;

async function invoked({ invoke }: AwsServices, name: string, body: string): Promise<Reply> {
  try {
    return { status: 200, body: JSON.stringify((await invoke(name, parsed(body))) ?? null) };
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const { name: errorType, message } = error instanceof Error ? error : new Error(String(error));
    const headers = { 'x-amz-function-error': 'Unhandled' };
    return { status: 200, headers, body: JSON.stringify({ errorType, errorMessage: message, trace: [] }) };
  }
}

/** https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html */
function describeStacks({ stack }: AwsServices, query: URLSearchParams, endpoint: string): Reply {
  const action = query.get('Action');
  const name = query.get('StackName');
  if (action !== 'DescribeStacks') return failure('InvalidAction', `${action} is not served here`);
  if (name !== stack.name) return failure('ValidationError', `Stack with id ${name} does not exist`);
  const member: XmlValue = {
    StackName: name,
    StackStatus: 'CREATE_COMPLETE',
    CreationTime: new Date(0).toISOString(),
    Outputs: {
      member: Object.entries(stack.outputs(endpoint)).map(([OutputKey, OutputValue]) => ({
        OutputKey,
        OutputValue,
      })),
    },
  };
  return xml(200, 'DescribeStacksResponse', { DescribeStacksResult: { Stacks: { member } } });
}

const failure = (code: string, message: string): Reply =>
  xml(400, 'ErrorResponse', { Error: { Type: 'Sender', Code: code, Message: message } });

const xml = (status: number, root: string, content: XmlValue): Reply => ({
  status,
  type: 'text/xml',
  body: document(root, content),
});

function parsed(body: string): unknown {
  try {
    return JSON.parse(body || '{}');
  } catch {
    throw new ApiError('SerializationException', `expected JSON, got ${JSON.stringify(body.slice(0, 80))}`);
  }
}
