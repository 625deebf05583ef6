import { onTestFinished } from 'vitest';
import { type CosClient, type CosObject, createCosClient, type NewPart } from '../../lib/cos/client.ts';
import { createCrcCalculator } from '../../lib/upload/crc64.ts';
import { type Responder, startScriptedServer } from './scripted-server.ts';
import { createBytes, hash, MIB } from './values.ts';

export const SECRET_KEY = 'the-very-secret-key-4711';
export const TOKEN = 'the-very-secret/token+4712';

/** An object and temporary keys for it, which are valid. */
export const AT: CosObject = {
  bucket: 'vod-1250000000',
  region: 'ap-chongqing',
  key: 'a1b2/电影 (1)/ep1.mp4',
  keys: { secretId: 'the-id', secretKey: SECRET_KEY, token: TOKEN, expires: 4_000_000_000 },
};

export const crcsOf = await createCrcCalculator();

export const BYTES = createBytes(3 * MIB + 17);

export const newPart = (more: Partial<NewPart> = {}): NewPart => ({
  uploadId: 'u 1+/=',
  number: 7,
  size: BYTES.length,
  body: BYTES,
  ...more,
});

export async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Starts a COS that returns these responses, and a client for it. */
export async function startScriptedCos(...responders: [Responder, ...Responder[]]) {
  const { endpoint, requests, arrived } = await startScriptedServer(...responders);
  return { cos: connectToCos(endpoint), requests, arrived, endpoint };
}

export function connectToCos(endpoint: string): CosClient {
  const cos = createCosClient({ endpoint: new URL(endpoint) });
  onTestFinished(() => cos.close());
  return cos;
}

/** Confirms the bytes of a request as COS does. */
export const confirm: Responder = (response, { body }) =>
  response
    .writeHead(200, { etag: `"${hash('md5', body)}"`, 'x-cos-hash-crc64ecma': `${crcsOf(body).crc64}` })
    .end();

export const respondXml =
  (xml: string, status = 200, headers: Record<string, string> = {}): Responder =>
  (response) =>
    response
      .writeHead(status, { 'content-type': 'application/xml', ...headers })
      .end(`<?xml version='1.0' encoding='utf-8' ?>\n${xml}`);

export const respondError = (status: number, code: string, message = 'no'): Responder =>
  respondXml(`<Error>\n\t<Code>${code}</Code>\n\t<Message>${message}</Message>\n</Error>`, status);
