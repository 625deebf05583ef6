import { randomInt } from 'node:crypto';
import type { Readable } from 'node:stream';
import { HttpRequest, type HttpResponse } from '@smithy/core/protocols';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import * as v from 'valibot';
import type { VodSecrets, VodSettings } from '../../config.ts';
import { errorMessage, VodRejected, VodUnavailable } from '../../errors.ts';
import { type PartList, readPartList } from './part-list.ts';
import { parseResponse, type VodResponse } from './responses.ts';
import { type Params, signedQuery } from './signature.ts';

/** Sends signed requests. No other module sends HTTP to VOD. */

/** Milliseconds for a whole call. During FinishUpload, VOD assembles the file. */
const TIMEOUT_MS = {
  InitUpload: 60_000,
  UploadPart: 60_000,
  FinishUpload: 180_000,
  SmallFileUpload: 60_000,
} as const;
type Action = keyof typeof TIMEOUT_MS;

/** `target` names the file or part in errors. */
export type VodCall = Readonly<{ action: Action; target: string; params: Params; body?: Uint8Array }>;

/** A response, and the parts that it lists. */
type ReceivedResponse = Readonly<{ response: VodResponse; parts: PartList }>;

/** Creates `send`, and `close` for idle connections. */
export function createTransport(settings: VodSettings) {
  const agent = { keepAlive: true, maxSockets: 128 };
  // It never follows a redirect: a signed request goes to the configured host only.
  const http = new NodeHttpHandler({ connectionTimeout: 5_000, httpAgent: agent, httpsAgent: agent });
  return {
    send: (call: VodCall, signal: AbortSignal) => send(http, settings, call, signal),
    close: () => http.destroy(),
  };
}

/**
 * Sends one request with a new time, nonce, and signature.
 * @throws {VodRejected} {VodUnavailable} also for network errors; the reason of the signal
 */
async function send(
  http: NodeHttpHandler,
  { endpoint, host, region, secrets }: VodSettings,
  call: VodCall,
  signal: AbortSignal,
): Promise<ReceivedResponse> {
  const { action, target, params, body } = call;
  const method = body ? 'POST' : 'GET';
  const query = signedQuery(secrets.secretKey, method, host, endpoint.pathname, {
    ...params,
    Action: action,
    Region: region,
    SecretId: secrets.secretId,
    SignatureMethod: 'HmacSHA256',
    Timestamp: String(Math.floor(Date.now() / 1000)),
    Nonce: String(randomInt(1, 2 ** 47)), // the nonces of one day do not collide
    ...(secrets.token !== undefined && { Token: secrets.token }),
  });
  const timeout = AbortSignal.timeout(TIMEOUT_MS[action]);
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
      { abortSignal: AbortSignal.any([signal, timeout]) },
    );
    return await readResponse(call, response, createRedactor(secrets, query));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof VodRejected || error instanceof VodUnavailable) throw error;
    const reason = timeout.aborted ? `no response within ${TIMEOUT_MS[action]} ms` : errorMessage(error);
    throw new VodUnavailable(`${action} ${target}: ${endpoint.host} cannot be reached: ${reason}`, {
      cause: error,
    });
  }
}

/** Removes secrets from a response. VOD or a proxy may quote the request, with its signature. */
function createRedactor({ secretKey, token = '' }: VodSecrets, query: string): (text: string) => string {
  const signature = new URLSearchParams(query).get('Signature') ?? '';
  const secrets = [secretKey, token, signature].filter((secret) => secret !== '');
  const forms = secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]);
  return (text) => forms.reduce((rest, secret) => rest.replaceAll(secret, '…'), text);
}

const STALL_MS = 10_000;

/** Ends the body with an error when no bytes arrive for this time. */
async function* withStallTimeout(body: Readable): AsyncGenerator<Uint8Array> {
  const fail = (): void => void body.destroy(new Error(`the response stalled for ${STALL_MS} ms`));
  const timer = setTimeout(fail, STALL_MS);
  try {
    for await (const chunk of body) {
      timer.refresh();
      yield chunk;
    }
  } finally {
    clearTimeout(timer);
  }
}

async function readResponse(
  { action, target }: VodCall,
  { statusCode: status, body }: HttpResponse,
  redact: (text: string) => string,
): Promise<ReceivedResponse> {
  const at = `${action} ${target}: HTTP ${status}`;
  const { text, parts } = await readPartList(withStallTimeout(body)).catch((error: unknown) => {
    if (!(error instanceof SyntaxError || error instanceof v.ValiError)) throw error;
    throw new VodUnavailable(`${at}: unexpected response: ${redact(error.message)}`);
  });
  if (status >= 500 || status === 429)
    throw new VodUnavailable(`${at}: ${JSON.stringify(redact(text).slice(0, 80))}`);
  const parsed = parseResponse(text, redact);
  if ('response' in parsed) return { response: parsed.response, parts };
  if (status < 300) throw new VodUnavailable(`${at}: ${parsed.problem}`);
  const redirect = status < 400 ? ', a redirect, which is not followed' : '';
  throw new VodRejected(`${at}${redirect}: ${parsed.problem}. Check VOD_ENDPOINT.`);
}
