import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { corruptResponse, type Fault } from '../fault-injection.ts';
import type { NetworkSimulator } from '../network-simulator.ts';
import type { S3Response } from './operation.ts';
import type { RequestHeaders } from './wire/headers.ts';

/** The HTTP server and the responses of the local S3 and the local COS. */

/** A request that is being served. */
export type Exchange = Readonly<{
  request: IncomingMessage;
  response: ServerResponse;
  network: NetworkSimulator;
}>;

const IDLE_TIMEOUT_MS = 10 * 60 * 1000;

/** Creates a server for large bodies in both directions. */
export function createStoreServer(): Server {
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
  return server;
}

export const readHeaders = ({ headers }: IncomingMessage): RequestHeaders =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value?.toString()]));

/** Returns the raw body. Sends `100 Continue` if the client waits for it. */
export function openSource({ request, response, network }: Exchange): AsyncIterable<Buffer> {
  if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue();
  return network.incoming(request);
}

export async function sendResponse(
  { request, response, network }: Exchange,
  { status, headers = {}, xml, body: sentBody }: S3Response,
  fault: Fault | undefined,
): Promise<void> {
  using body = sentBody;
  response.statusCode = status;
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
