import { createServer, type IncomingMessage } from 'node:http';
import { type ListeningServer, listen } from '../http-server.ts';
import { writeXml, type XmlValue } from '../s3/wire/xml.ts';
import { ApiError, type Operations } from './api-error.ts';

export type AwsServices = Readonly<{
  /** The actions of each AWS JSON service, by its name in `x-amz-target`. */
  targets: Readonly<Record<string, Operations>>;
  /** The responses of the Lambda API to GET requests, by path. */
  lambda: Readonly<Record<string, object>>;
  /** Invokes a function by name. @throws what the function throws */
  invoke: (name: string, event: unknown) => Promise<unknown>;
  /** The stack that CloudFormation describes. */
  stack: Readonly<{ name: string; outputs(endpoint: string): Readonly<Record<string, string>> }>;
}>;

type HttpResponse = Readonly<{
  status: number;
  type?: string;
  headers?: Record<string, string>;
  body: string;
}>;

/** Serves the AWS calls of the trigger and the operators' commands, which make them with the AWS SDK. */
export function startAwsServer(services: AwsServices): Promise<ListeningServer> {
  return listen(createServer(), 0, async (request, response) => {
    const { status, headers, body, type = 'application/json' } = await handle(request, services);
    response.writeHead(status, { 'content-type': type, ...headers }).end(body);
  });
}

/** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html */
const INVOKE_PATH = /^\/2015-03-31\/functions\/([^/]+)\/invocations/;

/** The path of a request, without its last slash. */
const pathOf = ({ url = '' }: IncomingMessage): string => url.replace(/\?.*/s, '').replace(/\/$/, '');

async function handle(request: IncomingMessage, services: AwsServices): Promise<HttpResponse> {
  const target = request.headers['x-amz-target'];
  const [, functionName] = INVOKE_PATH.exec(request.url ?? '') ?? [];
  try {
    const body = await readBody(request);
    if (functionName !== undefined)
      return await invokeFunction(services, decodeURIComponent(functionName), body);
    const resource = request.method === 'GET' ? ownProperty(services.lambda, pathOf(request)) : undefined;
    if (resource) return { status: 200, body: JSON.stringify(resource) };
    if (target === undefined)
      return describeStacks(services, new URLSearchParams(body), `http://${request.headers.host}`);
    const result = await callOperation(services, String(target), body);
    return { status: 200, type: 'application/x-amz-json-1.0', body: JSON.stringify(result) ?? '' };
  } catch (error) {
    const { type, message } =
      error instanceof ApiError ? error : { type: 'InternalError', message: String(error) };
    const status = error instanceof ApiError ? 400 : 500;
    return { status, headers: { 'x-amzn-errortype': type }, body: JSON.stringify({ __type: type, message }) };
  }
}

/** Lambda's largest event; the other calls are smaller. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const MAX_BODY_BYTES = 6 * 1024 * 1024;

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  // Node reads and discards the rest of a body that is too long. The caller therefore receives the response.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) {
      throw new ApiError('RequestTooLargeException', `expected at most ${MAX_BODY_BYTES} bytes, got more`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function callOperation({ targets }: AwsServices, target: string, body: string): Promise<unknown> {
  const [service = '', name = ''] = target.split('.');
  const operation = ownProperty(ownProperty(targets, service) ?? {}, name);
  if (!operation) throw new ApiError('UnknownOperationException', `${target} is not supported`);
  return await operation(parseJson(body));
}

const ownProperty = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;

async function invokeFunction({ invoke }: AwsServices, name: string, body: string): Promise<HttpResponse> {
  try {
    return { status: 200, body: JSON.stringify((await invoke(name, parseJson(body))) ?? null) };
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const { name: errorType, message } = error instanceof Error ? error : new Error(String(error));
    const headers = { 'x-amz-function-error': 'Unhandled' };
    return { status: 200, headers, body: JSON.stringify({ errorType, errorMessage: message, trace: [] }) };
  }
}

/** https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html */
function describeStacks({ stack }: AwsServices, query: URLSearchParams, endpoint: string): HttpResponse {
  const action = query.get('Action');
  const name = query.get('StackName');
  if (action !== 'DescribeStacks') return xmlError('InvalidAction', `${action} is not supported`);
  if (name !== stack.name) return xmlError('ValidationError', `Stack with id ${name} does not exist`);
  const outputs = Object.entries(stack.outputs(endpoint));
  const member: XmlValue = {
    StackName: name,
    StackStatus: 'CREATE_COMPLETE',
    CreationTime: new Date(0).toISOString(),
    Outputs: { member: outputs.map(([OutputKey, OutputValue]) => ({ OutputKey, OutputValue })) },
  };
  return xmlResponse(200, 'DescribeStacksResponse', { DescribeStacksResult: { Stacks: { member } } });
}

const xmlError = (code: string, message: string): HttpResponse =>
  xmlResponse(400, 'ErrorResponse', { Error: { Type: 'Sender', Code: code, Message: message } });

const xmlResponse = (status: number, root: string, content: XmlValue): HttpResponse => ({
  status,
  type: 'text/xml',
  body: writeXml(root, content),
});

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body || '{}');
  } catch {
    throw new ApiError('SerializationException', `expected JSON, got ${JSON.stringify(body.slice(0, 80))}`);
  }
}
