import { randomInt } from 'node:crypto';
import type { Readable } from 'node:stream';
import { HttpRequest, type HttpResponse } from '@smithy/core/protocols';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import * as v from 'valibot';
import type { VodSecrets, VodSettings } from '../config.ts';
import { errorMessage, VodRejected, VodUnavailable } from '../errors.ts';
import { type PartList, readPartList } from './part-list.ts';
import { parseResponse, type VodReply } from './responses.ts';
import { type Params, signedQuery } from './signature.ts';

/** One signed request and its reply: the only sender of HTTP to the service. */

/** Longest wait for a whole call, in milliseconds. Finish makes the service put the file together. */
const TIMEOUT_MS = {
  InitUpload: 60_000,
  UploadPart: 60_000,
  FinishUpload: 180_000,
  SmallFileUpload: 60_000,
} as const;
type Action = keyof typeof TIMEOUT_MS;

/** `about`: what an error says it was about. */
export type VodCall = Readonly<{ action: Action; about: string; params: Params; body?: Uint8Array }>;

/** A reply, with the parts that it lists. */
export type VodResponse = Readonly<{ reply: VodReply; parts: PartList }>;

export type VodTransport = Readonly<{
  /** @throws {VodRejected} {VodUnavailable} the signal's reason */
  send(request: VodCall, signal: AbortSignal): Promise<VodResponse>;
  /** Closes idle connections. */
  close(): void;
}>;

export function createTransport(settings: VodSettings): VodTransport {
  const agent = { keepAlive: true, maxSockets: 128 };
  // Without a redirect ever followed: a signed request goes to the configured host and nowhere else.
  const http = new NodeHttpHandler({ connectionTimeout: 5_000, httpAgent: agent, httpsAgent: agent });
  return { send: (request, signal) => send(http, settings, request, signal), close: () => http.destroy() };
}

/** One request: new time, new nonce, new signature. Everything that goes wrong on the way is a passing fault. */
async function send(
  http: NodeHttpHandler,
  { endpoint, host, region, secrets }: VodSettings,
  request: VodCall,
  signal: AbortSignal,
): Promise<VodResponse> {
  const { action, params, body } = request;
  const method = body ? 'POST' : 'GET';
  const query = signedQuery(secrets.secretKey, method, host, endpoint.pathname, {
    ...params,
    Action: action,
    Region: region,
    SecretId: secrets.secretId,
    SignatureMethod: 'HmacSHA256',
    Timestamp: String(Math.floor(Date.now() / 1000)),
    Nonce: String(randomInt(1, 2 ** 47)), // wide enough that no two of a day's requests meet
    ...(secrets.token !== undefined && { Token: secrets.token }),
  });
  const limit = AbortSignal.timeout(TIMEOUT_MS[action]);
  try {
    const { response } = await http.handle(
      new HttpRequest({
        method,
        protocol: endpoint.protocol,
        hostname: endpoint.hostname,
        ...(endpoint.port !== '' && { port: Number(endpoint.port) }),
        path: `${endpoint.pathname}?${query}`,
        ...(body && {
          headers: { 'content-type': 'application/octet-stream', 'content-length': String(body.byteLength) },
          body,
        }),
      }),
      { abortSignal: AbortSignal.any([signal, limit]) },
    );
    return await readResponse(request, response, createRedactor(secrets, query));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof VodRejected || error instanceof VodUnavailable) throw error;
    const reason = limit.aborted ? `no reply within ${TIMEOUT_MS[action]} ms` : errorMessage(error);
    throw new VodUnavailable(`${action} ${request.about}: ${endpoint.host} cannot be reached: ${reason}`, {
      cause: error,
    });
  }
}

/** For words from outside: a proxy's page, or the service, may repeat the address that was asked, and what it was signed with. */
function createRedactor({ secretKey, token = '' }: VodSecrets, query: string): (text: string) => string {
  const signature = new URLSearchParams(query).get('Signature') ?? '';
  const secrets = [secretKey, token, signature].filter((secret) => secret !== '');
  const forms = secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]);
  return (text) => forms.reduce((left, secret) => left.replaceAll(secret, '…'), text);
}

/** A reply that has begun and brings nothing for this long is given up, milliseconds. */
const STALL_MS = 10_000;

async function* withStallTimeout(body: Readable): AsyncGenerator<Uint8Array> {
  const stalled = (): void => void body.destroy(new Error(`the reply stood still for ${STALL_MS} ms`));
  const watch = setTimeout(stalled, STALL_MS);
  try {
    for await (const chunk of body) {
      watch.refresh();
      yield chunk;
    }
  } finally {
    clearTimeout(watch);
  }
}

async function readResponse(
  request: VodCall,
  { statusCode: status, body }: HttpResponse,
  hide: (text: string) => string,
): Promise<VodResponse> {
  const at = `${request.action} ${request.about}: HTTP ${status}`;
  const { text, parts } = await readPartList(withStallTimeout(body)).catch((error: unknown) => {
    if (!(error instanceof SyntaxError || error instanceof v.ValiError)) throw error;
    throw new VodUnavailable(`${at}: unexpected reply: ${hide(error.message)}`);
  });
  const read = parseResponse(text, hide);
  if (status >= 500 || status === 429)
    throw new VodUnavailable(`${at}: ${JSON.stringify(hide(text).slice(0, 80))}`);
  if ('reply' in read) return { reply: read.reply, parts };
  const moved = status >= 300 && status < 400 ? ', a redirect, which is not followed' : '';
  if (status >= 300) throw new VodRejected(`${at}${moved}: ${read.fault}: check VOD_ENDPOINT`);
  throw new VodUnavailable(`${at}: ${read.fault}`);
}
