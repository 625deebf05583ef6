import { randomBytes } from 'node:crypto';
import { type Fault, type FaultSelector, injectFault, selectFault } from '../fault-injection.ts';
import { type ListeningServer, listen } from '../http-server.ts';
import { createNetworkSimulator, type NetworkLimits } from '../network-simulator.ts';
import { createStoreServer, type Exchange, openSource, readHeaders, sendResponse } from './exchange.ts';
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

type S3Exchange = Exchange & Readonly<{ id: string; store: Store; options: S3Options }>;

/** Starts a small, strict S3 server on loopback. It rejects unsupported requests with 501. */
export async function startS3(options: S3Options): Promise<ListeningServer> {
  const store = new Store(options.dir, options.now ?? (() => new Date()));
  const network = createNetworkSimulator(options.network);
  // A copy or a listener can outlast its connection. After `close`, nothing may write to the folder.
  return listen(createStoreServer(), options.port, (request, response) => {
    const id = randomBytes(8).toString('hex').toUpperCase();
    return serve({ id, request, response, store, network, options });
  });
}

async function serve(exchange: S3Exchange): Promise<void> {
  const { id, request, response, network, options } = exchange;
  const fault = await selectFault(options.faults, request, () => ({
    service: 's3',
    call: findApiName(request),
  }));
  if (fault && (await injectFault(fault, request))) return;
  const result = await runOperation(exchange, fault);
  try {
    await network.latency();
    response.setHeader('x-amz-request-id', id);
    response.setHeader('x-amz-id-2', id);
    if (options.now) response.setHeader('date', options.now().toUTCString());
    await sendResponse(exchange, result, fault);
  } catch {
    // The client disconnected, or a blob is unreadable. The client notices a body that is shorter than announced.
    response.destroy();
  }
}

/** Never throws: an error becomes an error response. */
async function runOperation(exchange: S3Exchange, fault: Fault | undefined): Promise<S3Response> {
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

function readRequest(exchange: S3Exchange): S3Request {
  const { id, request, store, options } = exchange;
  const { now = () => new Date(), credentials, onObjectCreated } = options;
  return {
    id,
    method: request.method ?? '',
    target: readTarget(request.url ?? ''),
    headers: readHeaders(request),
    payload: '',
    openSource: () => openSource(exchange),
    store,
    credentials,
    now,
    emitCreated: async (name, { record }, key, object) => {
      const sourceIp = request.socket.remoteAddress ?? '127.0.0.1';
      const about = { time: now(), requestId: id, sourceIp };
      await onObjectCreated?.(createNotification({ name, ...about, bucket: record, key, object }));
    },
  };
}

function describeError(error: unknown, { id, request }: S3Exchange): S3Response {
  // Any other error is a bug of this server or a failure of the disk. Its message helps to find it.
  const Cause = error instanceof Error ? error.message : String(error);
  const { code, status, message, details, headers } =
    error instanceof S3Error ? error : new S3Error('InternalError', { details: { Cause } });
  const resource = request.url?.split('?', 1)[0] ?? '';
  const content = { Code: code, Message: message, ...details, Resource: resource, RequestId: id, HostId: id };
  return { status, headers, xml: writeXml('Error', content) };
}
