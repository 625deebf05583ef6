import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { onTestFinished } from 'vitest';
import { listen } from '../../local/http-server.ts';

/** A server with scripted responses, only for behaviour that a real service never shows. */

export type Asked = Readonly<{
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  body: Buffer;
}>;
export type Answer = (response: ServerResponse, asked: Asked) => void;

/** Handles request n with function n, and to all later requests with the last one. Collects the requests in `asked`. */
export async function scripted(...answers: [Answer, ...Answer[]]) {
  const asked: Asked[] = [];
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
    asked.push(received);
    arrived.resolve();
    (answers[asked.length - 1] ?? answers.at(-1))?.(response, received);
  };
  // A test may let the client disconnect during its request.
  const listening = await listen(
    createServer((...call) => void serve(...call).catch(() => {})),
    0,
  );
  onTestFinished(() => listening.close());
  return { endpoint: listening.endpoint, asked, arrived: arrived.promise };
}
