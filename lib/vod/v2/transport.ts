import { randomInt } from 'node:crypto';
import * as v from 'valibot';
import type { VodSettings } from '../../config.ts';
import { VodUnavailable } from '../../errors.ts';
import {
  createRedactor,
  createVodHttp,
  isTemporaryStatus,
  toResponseError,
  type VodHttpResponse,
} from '../../invocation/http.ts';
import { type PartList, readPartList } from './part-list.ts';
import { parseResponse, type VodResponse } from './responses.ts';
import { type Params, signedQuery } from './signature.ts';

/** Signs and sends the calls of the vod2 protocol, and parses their responses. */

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
export function createTransport({ endpoint, host, region, secrets }: VodSettings) {
  const http = createVodHttp();

  /**
   * Sends one request with a new time, nonce, and signature.
   * @throws {VodRejected} {VodUnavailable} also for network errors; the reason of the signal
   */
  async function send(call: VodCall, signal: AbortSignal): Promise<ReceivedResponse> {
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
    const signature = new URLSearchParams(query).get('Signature') ?? '';
    const redact = createRedactor([secrets.secretKey, secrets.token, signature]);
    const request = {
      at: `${action} ${target}`,
      endpoint,
      method,
      path: `${endpoint.pathname}?${query}`,
      headers: body && {
        'content-type': 'application/octet-stream',
        'content-length': String(body.byteLength),
      },
      body,
      timeoutMs: TIMEOUT_MS[action],
    } as const;
    return http.send(request, signal, (response) => readResponse(call, response, redact));
  }

  return { send, close: http.close };
}

async function readResponse(
  { action, target }: VodCall,
  { status, body }: VodHttpResponse,
  redact: (text: string) => string,
): Promise<ReceivedResponse> {
  const at = `${action} ${target}: HTTP ${status}`;
  const { text, parts } = await readPartList(body).catch((error: unknown) => {
    if (!(error instanceof SyntaxError || error instanceof v.ValiError)) throw error;
    throw new VodUnavailable(`${at}: unexpected response: ${redact(error.message)}`);
  });
  if (isTemporaryStatus(status))
    throw new VodUnavailable(`${at}: ${JSON.stringify(redact(text).slice(0, 80))}`);
  const parsed = parseResponse(text, redact);
  if ('response' in parsed) return { response: parsed.response, parts };
  throw toResponseError(at, status, parsed.problem);
}
