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
import type { Call, Reply } from './call.ts';
import { describeCreation, type S3Notification } from './notification.ts';
import { apiName, findOperation } from './route.ts';
import { Store } from './store/store.ts';
import { authenticate, type Credentials } from './wire/auth.ts';
import { S3Error } from './wire/errors.ts';
import { readTarget, type Target } from './wire/target.ts';
import { document } from './wire/xml.ts';

export type { S3Notification } from './notification.ts';

export type S3Options = {
  /** Data folder. One server at a time. */
  dir: string;
  /** 0: any free one. */
  port: number;
  credentials: Credentials;
  /** Awaited before the client gets its reply, so that the listener can journal the event first. */
  onObjectCreated?: (event: S3Notification) => Promise<void>;
  now?: () => Date;
  network?: NetworkLimits;
  faults?: FaultSelector | undefined;
};

const IDLE_MS = 10 * 60 * 1000;

/** A small, strict S3 on loopback. What it does not know it refuses with 501 rather than guess. */
export async function startS3(options: S3Options): Promise<ListeningServer> {
  const store = new Store(options.dir, options.now ?? (() => new Date()));
  const link = createNetworkSimulator(options.network);
  const underway = new Set<Promise<void>>();
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const served = serve(request, response, store, link, options).finally(() => underway.delete(served));
    underway.add(served);
  };
  const server = createServer(
    {
      // A presigned URL and 2 KB of metadata are far from the end of what a request may carry.
      maxHeaderSize: 64 * 1024,
      // An upload of many GiB takes as long as it takes; `setTimeout` below ends one that stands still.
      requestTimeout: 0,
      // Longer than clients keep an idle connection, so that none meets a reset when it picks one up again.
      keepAliveTimeout: 75_000,
      noDelay: true,
    },
    handle,
  );
  server.setTimeout(IDLE_MS);
  server.on('checkContinue', handle);
  const listening = await listen(server, options.port);
  return {
    ...listening,
    close: async () => {
      await listening.close();
      // A copy or a listener may outlast its connection; nothing is to be written once this has settled.
      await Promise.all(underway);
    },
  };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  store: Store,
  link: NetworkSimulator,
  options: S3Options,
): Promise<void> {
  const id = randomBytes(8).toString('hex').toUpperCase();
  const fault = await selectFault(options.faults, request, () => ({ service: 's3', call: apiName(request) }));
  if (fault && (await injectFault(fault, request))) return;
  const reply = await answer(request, response, id, store, link, options, fault);
  try {
    await link.latency();
    if (options.now) response.setHeader('date', options.now().toUTCString());
    await send(reply, id, request, response, link, fault);
  } catch {
    // The client is gone, or a blob cannot be read: a body shorter than announced is how the client learns of it.
    response.destroy();
  }
}

/** Never throws: what goes wrong is an answer too. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
  store: Store,
  link: NetworkSimulator,
  options: S3Options,
  fault: Fault | undefined,
): Promise<Reply> {
  try {
    const spoke = fault && FAULTS[fault];
    if (spoke) throw spoke();
    const call = readCall(request, response, id, store, link, options);
    const { operation, signed } = findOperation(call);
    const payload = signed ? authenticate(call, options.credentials, call.now()) : 'UNSIGNED-PAYLOAD';
    if (fault === 'error-in-200') return { ...describeError(FAULTS['500']?.(), request, id), status: 200 };
    return await operation({ ...call, payload });
  } catch (error) {
    return describeError(error, request, id);
  }
}

/** What S3 says where it is told to fail. */
const FAULTS: Partial<Record<Fault, () => S3Error>> = {
  '500': () => new S3Error('InternalError'),
  '503': () => new S3Error('SlowDown'),
  '429': () => new S3Error('TooManyRequests'),
};

function readCall(
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
  store: Store,
  link: NetworkSimulator,
  { now = () => new Date(), credentials, onObjectCreated }: S3Options,
): Call {
  const target: Target = readTarget(request.url ?? '');
  return {
    id,
    method: request.method ?? '',
    target,
    headers: Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(',') : value,
      ]),
    ),
    payload: '',
    openSource: () => {
      if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue();
      return link.incoming(request);
    },
    store,
    credentials,
    now,
    announce: async (by, { record }, key, object) => {
      const sourceIp = request.socket.remoteAddress ?? '127.0.0.1';
      const serviceCall = {
        by,
        at: now(),
        requestId: id,
        sourceIp,
        bucket: record.name,
        region: record.region,
        key,
      };
      await onObjectCreated?.(describeCreation(serviceCall, object));
    },
  };
}

async function send(
  reply: Reply,
  id: string,
  request: IncomingMessage,
  response: ServerResponse,
  link: NetworkSimulator,
  fault: Fault | undefined,
): Promise<void> {
  using body = reply.body;
  response.statusCode = reply.status;
  response.setHeader('x-amz-request-id', id);
  response.setHeader('x-amz-id-2', id);
  for (const [name, value] of Object.entries(reply.headers ?? {})) {
    if (value !== undefined) response.setHeader(name, value);
  }
  // What is left of a refused body is read and dropped, so that the client gets its answer and not a reset.
  request.resume();
  if (reply.xml !== undefined) {
    response.setHeader('content-type', 'application/xml');
    const out = corruptResponse(fault, response, response);
    if (request.method === 'HEAD') out.end();
    else out.end(reply.xml);
    return;
  }
  if (body) await body.send(corruptResponse(fault, response, link.outgoing(response)));
  else corruptResponse(fault, response, response).end();
}

function describeError(error: unknown, request: IncomingMessage, id: string): Reply {
  // What is not an answer by S3's rules is a bug here, or the disk; the text helps whoever runs this server.
  const { code, status, message, details, headers } =
    error instanceof S3Error
      ? error
      : new S3Error('InternalError', undefined, {
          details: { Cause: error instanceof Error ? error.message : String(error) },
        });
  const resource = request.url?.split('?', 1)[0] ?? '';
  const content = { Code: code, Message: message, ...details, Resource: resource, RequestId: id, HostId: id };
  return { status, headers, xml: document('Error', content) };
}
