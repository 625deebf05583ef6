import type { Readable } from 'node:stream';
import { HttpRequest } from '@smithy/core/protocols';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { errorMessage, VodRejected, VodUnavailable } from '../errors.ts';

/** Sends the HTTP requests to VOD and to its storage. No other module does. */

/** `at` names the call and its target in errors. `path` includes the query. */
export type VodHttpRequest = Readonly<{
  at: string;
  endpoint: URL;
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  path: string;
  headers?: Readonly<Record<string, string>> | undefined;
  body?: Uint8Array | Readable | undefined;
  /** The limit for the whole request, in milliseconds. Without it, only the signal ends the request. */
  timeoutMs?: number | undefined;
}>;

/** `body` ends with an error when it stalls. */
export type VodHttpResponse = Readonly<{
  status: number;
  headers: Readonly<Record<string, string>>;
  body: AsyncIterable<Uint8Array>;
}>;

/** Keeps connections alive until `close`. It never follows a redirect: a signed request goes to the configured host only. */
export function createVodHttp() {
  const agent = { keepAlive: true, maxSockets: 128 };
  const http = new NodeHttpHandler({ connectionTimeout: 5_000, httpAgent: agent, httpsAgent: agent });

  /**
   * @param read reads the whole body. The time limit includes it
   * @throws {VodUnavailable} for network errors; the errors of `read`; the reason of the signal
   */
  async function send<T>(
    { at, endpoint, method, path, headers, body, timeoutMs }: VodHttpRequest,
    signal: AbortSignal,
    read: (response: VodHttpResponse) => Promise<T>,
  ): Promise<T> {
    const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    try {
      const { response } = await http.handle(
        new HttpRequest({
          method,
          protocol: endpoint.protocol,
          hostname: endpoint.hostname,
          ...(endpoint.port !== '' && { port: Number(endpoint.port) }),
          path,
          ...(headers && { headers: { ...headers } }),
          ...(body && { body }),
        }),
        { abortSignal: timeout ? AbortSignal.any([signal, timeout]) : signal },
      );
      const { statusCode: status } = response;
      return await read({ status, headers: response.headers, body: withStallTimeout(response.body) });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof VodRejected || error instanceof VodUnavailable) throw error;
      const reason = timeout?.aborted ? `no response within ${timeoutMs} ms` : errorMessage(error);
      throw new VodUnavailable(`${at}: ${endpoint.host} cannot be reached: ${reason}`, { cause: error });
    }
  }

  return { send, close: () => http.destroy() };
}

/** The longest response lists 1,000 parts or uploads. */
const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;

/** Reads a body. @throws {VodUnavailable} if it is too long */
export async function readText(at: string, body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > MAX_RESPONSE_BYTES)
      throw new VodUnavailable(`${at}: expected a response of at most ${MAX_RESPONSE_BYTES} bytes, got more`);
  }
  return Buffer.concat(chunks).toString();
}

/** VOD, or a proxy before it, is overloaded or broken. */
export const isTemporaryStatus = (status: number): boolean => status >= 500 || status === 429;

/**
 * The error for a response that another server sent, or VOD in a form that is not documented.
 * @param problem what was expected, and what came
 */
export function toResponseError(at: string, status: number, problem: string): Error {
  if (status < 300) return new VodUnavailable(`${at}: ${problem}`);
  const redirect = status < 400 ? ', a redirect, which is not followed' : '';
  return new VodRejected(`${at}${redirect}: ${problem}. Check VOD_ENDPOINT.`);
}

/** Returns a function that removes secrets from text, because VOD or a proxy may quote the request. */
export function createRedactor(secrets: readonly (string | undefined)[]): (text: string) => string {
  const forms = secrets.flatMap((secret) => (secret ? [secret, encodeURIComponent(secret)] : []));
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
