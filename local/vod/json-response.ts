import type { ServerResponse } from 'node:http';
import { corruptResponse, type Fault } from '../fault-injection.ts';

const JSON_TYPE = 'application/json; charset=utf-8';

export function writeJson(response: ServerResponse, status: number, text: string, fault?: Fault): void {
  const body = Buffer.from(text);
  response.writeHead(status, { 'Content-Type': JSON_TYPE, 'Content-Length': body.length });
  corruptResponse(fault, response, response).end(body);
}

/** The stack of an unexpected error goes to the console, not to the client. */
export function reportError(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
}
