import type { ServerResponse } from 'node:http';
import { onTestFinished } from 'vitest';
import type { VodSettings } from '../../lib/config.ts';
import { createVodClient, type NewFile, type VodClient } from '../../lib/vod/v2/client.ts';
import { createAmpleQuota } from './quota.ts';
import { type Responder, startScriptedServer } from './scripted-server.ts';
import { sha1 } from './values.ts';

export const KEY = 'the-very-secret-key-4711';
export const TOKEN = 'the-very-secret-token-4712';
export const FILE: NewFile = {
  sha1: sha1('a film'),
  size: 6_000_000,
  fileName: '电影 (1)',
  fileType: 'mp4',
  options: {},
};

const DEFAULTS = { message: '', codeDesc: '', canRetry: 0 };
export const respond =
  (fields: object): Responder =>
  (response) =>
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ ...DEFAULTS, ...fields }));
export const respondHttp =
  (status: number, text: string, headers: Record<string, string> = {}): Responder =>
  (response) =>
    response.writeHead(status, headers).end(text);
export const resetConnection: Responder = (response) => response.destroy();
/** Sends fewer bytes than announced. */
export const truncateBody: Responder = (response: ServerResponse) => {
  response.writeHead(200, { 'content-length': '100' }).write('{"code":0,', () => response.destroy());
};

/** Starts a VOD service that returns these responses, and a client for it. */
export async function startScriptedVod(...responders: [Responder, ...Responder[]]) {
  const { endpoint, requests, arrived } = await startScriptedServer(...responders);
  return { vod: connectTo(`${endpoint}/v2/index.php`), requests, arrived, endpoint };
}

export function connectTo(endpoint: string, more: Partial<VodSettings> = {}): VodClient {
  const secrets = { secretId: 'the-id', secretKey: KEY };
  const settings = { endpoint: new URL(endpoint), host: 'vod2.qcloud.com', region: 'gz', secrets, ...more };
  const vod = createVodClient(settings, createAmpleQuota());
  onTestFinished(() => vod.close());
  return vod;
}
