import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';

/**
 * Loaded into `npm start` before anything else: tells on file descriptor 3, a JSON line each, what requests its services
 * take and have answered. What is written there is with the reader even where the process is killed in the next moment.
 */

export type Sighting = Readonly<{
  at: 'request' | 'reply';
  method: string;
  url: string;
  /** Of a copy: what is copied. Of a call to Step Functions: its name. */
  copySource: string | undefined;
  target: string | undefined;
}>;

const tell = (at: Sighting['at'], { method = '', url = '', headers }: IncomingMessage): void => {
  const header = (name: string): string | undefined => headers[name]?.toString();
  const sighting = {
    at,
    method,
    url,
    copySource: header('x-amz-copy-source'),
    target: header('x-amz-target'),
  };
  writeSync(3, `${JSON.stringify(sighting)}\n`);
};

type Served = Readonly<{ request: IncomingMessage; response: ServerResponse }>;

// https://nodejs.org/api/diagnostics_channel.html#built-in-channels: passed as unknown.
subscribe('http.server.request.start', (message) => tell('request', (message as Served).request));
subscribe('http.server.response.finish', (message) => tell('reply', (message as Served).request));
