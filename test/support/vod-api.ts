import { onTestFinished } from 'vitest';
import { createVodApi, type VodApi } from '../../lib/vod/v2018/api.ts';
import type { VodApiSettings } from '../../lib/vod/v2018/transport.ts';
import { createAmpleQuota } from './quota.ts';
import { type Responder, startScriptedServer } from './scripted-server.ts';
import { KEY } from './vod-account.ts';

export const REQUEST_ID = 'f3a9c2d0-request';

/** A response of API 2018-07-17 with these fields. */
export const reply =
  (fields: object): Responder =>
  (response) =>
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ Response: { RequestId: REQUEST_ID, ...fields } }));

export const replyError = (code: string, message = 'no'): Responder =>
  reply({ Error: { Code: code, Message: message } });

/** Starts a server that returns these responses, and a client for it. */
export async function startScriptedApi(...responders: [Responder, ...Responder[]]) {
  const { endpoint, requests, arrived } = await startScriptedServer(...responders);
  return { api: connectToApi(endpoint), requests, arrived, endpoint };
}

export function connectToApi(endpoint: string, more: Partial<VodApiSettings> = {}): VodApi {
  const secrets = { secretId: 'the-id', secretKey: KEY };
  const api = createVodApi({ endpoint: new URL(endpoint), secrets, ...more }, createAmpleQuota());
  onTestFinished(() => api.close());
  return api;
}
