import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * Loaded into `npm start` before anything else. Writes the requests that its services receive and have responded to as JSON lines to
 * file descriptor 3. The reader gets what was written even if the process is killed immediately afterwards.
 */

export type TracedRequest = Readonly<{
  at: 'request' | 'response';
  method: string;
  url: string;
  /** The source of a copy in S3. */
  copySource: string | undefined;
  /** The action of a call to Step Functions. */
  target: string | undefined;
}>;

function trace(at: TracedRequest['at'], { method = '', url = '', headers }: IncomingMessage): void {
  const header = (name: string): string | undefined => headers[name]?.toString();
  const traced: TracedRequest = {
    at,
    method,
    url,
    copySource: header('x-amz-copy-source'),
    target: header('x-amz-target'),
  };
  writeSync(3, `${JSON.stringify(traced)}\n`);
}

type ServedRequest = Readonly<{ request: IncomingMessage; response: ServerResponse }>;

// https://nodejs.org/api/diagnostics_channel.html#built-in-channels: messages are typed as unknown.
subscribe('http.server.request.start', (message) => trace('request', (message as ServedRequest).request));
subscribe('http.server.response.finish', (message) => trace('response', (message as ServedRequest).request));
