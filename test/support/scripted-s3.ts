import type { ServerResponse } from 'node:http';
import { readRange } from '../../lib/s3/read-range.ts';
import { newS3Client } from './s3-client.ts';
import { type Responder, startScriptedServer } from './scripted-server.ts';
import { never, pinOf } from './values.ts';

/** The object of a scripted S3 service, and the range that `read` reads from it. */
export const CONTENT = Buffer.from(Array.from({ length: 1000 }, (_, n) => n % 251));
export const PIN = pinOf(CONTENT.length);
export const RANGE = { offset: 100, size: 500 };

/** Starts an S3 service that returns these responses, and a client for it. */
export async function startScriptedS3(...responses: [Responder, ...Responder[]]) {
  const { endpoint, requests, arrived } = await startScriptedServer(...responses);
  const s3 = newS3Client(endpoint);
  const read = (signal = never, pin = PIN) => readRange(s3, pin, RANGE, signal);
  return { s3, requests, arrived, endpoint, read };
}

export const respondWithError =
  (status: number, code: string, fields = ''): Responder =>
  (response: ServerResponse) =>
    response
      .writeHead(status, { 'content-type': 'application/xml' })
      .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>because</Message>${fields}</Error>`);

/** Sends a request and aborts it with `reason` after it has arrived. Returns the error of the request. */
export async function abortOnArrival(
  arrived: Promise<void>,
  reason: Error,
  send: (signal: AbortSignal) => Promise<unknown>,
): Promise<unknown> {
  const controller = new AbortController();
  const failure = send(controller.signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  await arrived;
  controller.abort(reason);
  return failure;
}
