import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { onTestFinished } from 'vitest';
import { listen } from '../../local/http-server.ts';

/** A server with scripted responses, only for behaviour that a real service never shows. */

export type ReceivedRequest = Readonly<{
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  body: Buffer;
}>;
export type Responder = (response: ServerResponse, request: ReceivedRequest) => void;

/** Handles request n with function n, and to all later requests with the last one. Collects the requests in `requests`. */
export async function startScriptedServer(...responders: [Responder, ...Responder[]]) {
  const requests: ReceivedRequest[] = [];
  const arrived = Promise.withResolvers<void>();
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '', 'http://any');
    const { method = '', headers } = request;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const received = {
      method,
      path: url.pathname,
      query: url.searchParams,
      headers,
      body: Buffer.concat(chunks),
    };
    requests.push(received);
    arrived.resolve();
    (responders[requests.length - 1] ?? responders.at(-1))?.(response, received);
  };
  // A test may let the client disconnect during its request.
  const listening = await listen(
    createServer((...call) => void serve(...call).catch(() => {})),
    0,
  );
  onTestFinished(() => listening.close());
  return { endpoint: listening.endpoint, requests, arrived: arrived.promise };
}
