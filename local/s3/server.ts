import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  corruptResponse,
  type Fault,
  type FaultSelector,
  injectFault,
  selectFault,
} from '../fault-injection.ts';
import { type ListeningServer, listen } from '../http-server.ts';
import { createNetworkSimulator, type NetworkLimits, type NetworkSimulator } from '../network-simulator.ts';
import { createNotification, type S3Notification } from './notification.ts';
import type { S3Request, S3Response } from './operation.ts';
import { findApiName, findOperation } from './route.ts';
import { Store } from './store/store.ts';
import { authenticate, type Credentials } from './wire/auth.ts';
import { S3Error, type S3ErrorCode } from './wire/errors.ts';
import type { RequestHeaders } from './wire/headers.ts';
import { readTarget } from './wire/target.ts';
import { writeXml } from './wire/xml.ts';

export type { S3Notification } from './notification.ts';

export type S3Options = Readonly<{
  /** Data folder. One server at a time may use it. */
  dir: string;
  /** 0: any free port. */
  port: number;
  credentials: Credentials;
  /** The response waits for it, so that the listener can store the event first. */
  onObjectCreated?: (event: S3Notification) => Promise<void>;
  now?: () => Date;
  network?: NetworkLimits;
  faults?: FaultSelector | undefined;
  /** Imitates a store that ignores headers: returns those of an authentic request that it regards. */
  regardHeaders?: (headers: RequestHeaders) => RequestHeaders;
}>;

type Exchange = Readonly<{
  id: string;
  request: IncomingMessage;
  response: ServerResponse;
  store: Store;
  network: NetworkSimulator;
  options: S3Options;
}>;

const IDLE_TIMEOUT_MS = 10 * 60 * 1000;

/** Starts a small, strict S3 server on loopback. It rejects unsupported requests with 501. */
export async function startS3(options: S3Options): Promise<ListeningServer> {
  const store = new Store(options.dir, options.now ?? (() => new Date()));
  const network = createNetworkSimulator(options.network);
  const server = createServer({
    // Fits a presigned URL and 2 KB of metadata with a wide margin.
    maxHeaderSize: 64 * 1024,
    // An upload of many GiB may take any time. `setTimeout` below closes connections without traffic.
    requestTimeout: 0,
    // Longer than clients keep an idle connection, so that they never reuse one that is being closed.
    keepAliveTimeout: 75_000,
    noDelay: true,
  });
  server.setTimeout(IDLE_TIMEOUT_MS);
  // Without `100 Continue`, which `openSource` sends.
  server.on('checkContinue', (...exchange) => server.emit('request', ...exchange));
  // S3 ignores any other expectation.
  server.on('checkExpectation', (...exchange) => server.emit('request', ...exchange));
  // A copy or a listener can outlast its connection. After `close`, nothing may write to the folder.
  return listen(server, options.port, (request, response) => {
    const id = randomBytes(8).toString('hex').toUpperCase();
    return serve({ id, request, response, store, network, options });
  });
}

async function serve(exchange: Exchange): Promise<void> {
  const { request, response, network, options } = exchange;
  const fault = await selectFault(options.faults, request, () => ({
    service: 's3',
    call: findApiName(request),
  }));
  if (fault && (await injectFault(fault, request))) return;
  const result = await runOperation(exchange, fault);
  try {
    await network.latency();
    if (options.now) response.setHeader('date', options.now().toUTCString());
    await sendResponse(exchange, result, fault);
  } catch {
    // The client disconnected, or a blob is unreadable. The client notices a body that is shorter than announced.
    response.destroy();
  }
}

/** Never throws: an error becomes an error response. */
async function runOperation(exchange: Exchange, fault: Fault | undefined): Promise<S3Response> {
  try {
    const injected = fault && INJECTED_ERRORS[fault];
    if (injected) throw new S3Error(injected);
    const request = readRequest(exchange);
    const { operation, isSigned } = findOperation(request);
    const payload = isSigned ? authenticate(request, request.credentials, request.now()) : 'UNSIGNED-PAYLOAD';
    if (fault === 'error-in-200') {
      return { ...describeError(new S3Error('InternalError'), exchange), status: 200 };
    }
    const headers = exchange.options.regardHeaders?.(request.headers) ?? request.headers;
    return await operation({ ...request, headers, payload });
  } catch (error) {
    return describeError(error, exchange);
  }
}

const INJECTED_ERRORS: Partial<Record<Fault, S3ErrorCode>> = {
  '500': 'InternalError',
  '503': 'SlowDown',
  '429': 'TooManyRequests',
};

function readRequest({ id, request, response, store, network, options }: Exchange): S3Request {
  const { now = () => new Date(), credentials, onObjectCreated } = options;
  const headers = Object.entries(request.headers).map(([name, value]) => [name, value?.toString()]);
  return {
    id,
    method: request.method ?? '',
    target: readTarget(request.url ?? ''),
    headers: Object.fromEntries(headers),
    payload: '',
    openSource: () => {
      if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue();
      return network.incoming(request);
    },
    store,
    credentials,
    now,
    emitCreated: async (name, { record }, key, object) => {
      const sourceIp = request.socket.remoteAddress ?? '127.0.0.1';
      const exchange = { time: now(), requestId: id, sourceIp };
      await onObjectCreated?.(createNotification({ name, ...exchange, bucket: record, key, object }));
    },
  };
}

async function sendResponse(
  { id, request, response, network }: Exchange,
  { status, headers = {}, xml, body: sentBody }: S3Response,
  fault: Fault | undefined,
): Promise<void> {
  using body = sentBody;
  response.statusCode = status;
  response.setHeader('x-amz-request-id', id);
  response.setHeader('x-amz-id-2', id);
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) response.setHeader(name, value);
  }
  if (xml !== undefined) response.setHeader('content-type', 'application/xml');
  // Discard the rest of a rejected body, so that the client receives the response instead of a reset.
  request.resume();
  const out = corruptResponse(fault, response, body ? network.outgoing(response) : response);
  if (body) await body.send(out);
  else if (xml === undefined || request.method === 'HEAD') out.end();
  else out.end(xml);
}

function describeError(error: unknown, { id, request }: Exchange): S3Response {
  // Any other error is a bug of this server or a failure of the disk. Its message helps to find it.
  const Cause = error instanceof Error ? error.message : String(error);
  const { code, status, message, details, headers } =
    error instanceof S3Error ? error : new S3Error('InternalError', { details: { Cause } });
  const resource = request.url?.split('?', 1)[0] ?? '';
  const content = { Code: code, Message: message, ...details, Resource: resource, RequestId: id, HostId: id };
  return { status, headers, xml: writeXml('Error', content) };
}
