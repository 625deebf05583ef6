import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { extendedEncodeURIComponent as encode } from '@smithy/core/protocols';
import { errorMessage, VodRejected, VodUnavailable } from '../errors.ts';
import {
  createRedactor,
  createVodHttp,
  readText,
  type VodHttpRequest,
  type VodHttpResponse,
} from '../invocation/http.ts';
import { appendCrcs, type Crcs, NO_CRCS } from '../upload/crc64.ts';
import type { CosResponse } from './responses.ts';
import { authorizationOf } from './signature.ts';

/** Sends signed requests to COS. */

/** `token` and `expires` (seconds since 1970): of temporary keys. */
export type CosKeys = Readonly<{
  secretId: string;
  secretKey: string;
  token?: string | undefined;
  expires?: number | undefined;
}>;

/** `bucket` contains the APPID. `key` has no leading slash. */
export type CosObject = Readonly<{ bucket: string; region: string; key: string; keys: CosKeys }>;

/** `operation` names the request in errors. `timeoutMs`: from the end of a streamed body, or else from the start. */
export type CosCall = Readonly<{
  operation: string;
  method: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'HEAD';
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  body?: Uint8Array | StreamedBody | undefined;
  timeoutMs?: number;
}>;

const TIMEOUT_MS = 60_000;
/** A request that sends nothing for this time has stalled. */
const STALL_MS = 10_000;

/** A clock that differs by less makes a valid signature. */
const MAX_CLOCK_SKEW_S = 300;

/** @param endpoint replaces the address of the bucket, but not its name in the header `Host`, which is signed */
export function createCosTransport(endpoint: URL | undefined) {
  const http = createVodHttp();
  return {
    send: (at: CosObject, call: CosCall, signal: AbortSignal) => send(http, endpoint, at, call, signal),
    close: http.close,
  };
}

/** Part of a host name. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

function hostOf({ bucket, region }: CosObject, operation: string): string {
  if (LABEL.test(bucket) && LABEL.test(region)) return `${bucket}.cos.${region}.myqcloud.com`;
  throw new VodRejected(
    `${operation}: expected the name of a bucket and a region, got ${bucket}, ${region}.`,
  );
}

/**
 * Sends one request.
 * @returns any response, also that of an error
 * @throws {VodRejected} {VodUnavailable} for network errors and timeouts; the error of the body; the reason of the signal
 */
async function send(
  http: ReturnType<typeof createVodHttp>,
  endpoint: URL | undefined,
  at: CosObject,
  { operation, method, query = {}, headers = {}, body, timeoutMs = TIMEOUT_MS }: CosCall,
  signal: AbortSignal,
): Promise<CosResponse> {
  signal.throwIfAborted();
  const { keys } = at;
  const host = hostOf(at, operation);
  const size = body instanceof Uint8Array ? body.byteLength : (body?.size ?? 0);
  const signed = {
    ...headers,
    host,
    ...((method === 'PUT' || method === 'POST') && { 'content-length': String(size) }),
  };
  const seconds = Math.floor(Date.now() / 1000);
  const authorization = authorizationOf({ method, path: `/${at.key}`, query, headers: signed }, keys, {
    start: seconds - MAX_CLOCK_SKEW_S,
    end: seconds + MAX_CLOCK_SKEW_S,
  });
  const redact = createRedactor([
    keys.secretKey,
    keys.token,
    authorization.slice(authorization.lastIndexOf('=') + 1),
  ]);
  const request = {
    at: operation,
    endpoint: endpoint ?? new URL(`https://${host}`),
    method,
    path: `/${at.key.split('/').map(encode).join('/')}${queryString(query)}`,
    headers: {
      ...signed,
      authorization,
      ...(keys.token !== undefined && { 'x-cos-security-token': keys.token }),
    },
  };
  const read = async (response: VodHttpResponse): Promise<CosResponse> => ({
    status: response.status,
    headers: response.headers,
    text: redact(await readText(operation, response.body)),
    areKeysExpired: keys.expires !== undefined && seconds >= keys.expires - MAX_CLOCK_SKEW_S,
  });
  return body instanceof StreamedBody
    ? sendStream(http, request, body, timeoutMs, signal, read)
    : http.send({ ...request, body, timeoutMs }, signal, read);
}

async function sendStream(
  http: ReturnType<typeof createVodHttp>,
  request: VodHttpRequest,
  body: StreamedBody,
  timeoutMs: number,
  signal: AbortSignal,
  read: (response: VodHttpResponse) => Promise<CosResponse>,
): Promise<CosResponse> {
  const limit = createTimeLimit();
  const stream = body.open(limit, timeoutMs);
  try {
    return await http.send({ ...request, body: stream }, AbortSignal.any([signal, limit.signal]), read);
  } catch (error) {
    signal.throwIfAborted();
    body.throwIfFailed();
    if (!limit.signal.aborted) throw error;
    const reason = errorMessage(limit.signal.reason);
    throw new VodUnavailable(`${request.at}: ${request.endpoint.host} cannot be reached: ${reason}`);
  } finally {
    await closeStream(stream, limit);
    limit.stop();
  }
}

/** Waits until nothing uses the pieces of the body. After an early response, the connection would wait for the rest of the body. */
async function closeStream(stream: Readable, limit: TimeLimit): Promise<void> {
  if (!stream.readableEnded) limit.abort(new Error('the response came before the end of the body'));
  stream.destroy();
  await finished(stream).catch(() => {});
}

const queryString = (query: Readonly<Record<string, string>>): string => {
  const pairs = Object.entries(query).map(([name, value]) =>
    value === '' ? encode(name) : `${encode(name)}=${encode(value)}`,
  );
  return pairs.length > 0 ? `?${pairs.join('&')}` : '';
};

/** Aborts a request whose current phase takes too long. */
type TimeLimit = ReturnType<typeof createTimeLimit>;
function createTimeLimit() {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const abort = (reason: Error): void => controller.abort(reason);
  const stop = (): void => clearTimeout(timer);
  return {
    signal: controller.signal,
    abort,
    stop,
    /** Starts the next phase. */
    start: (ms: number, problem: string): void => {
      stop();
      timer = setTimeout(() => abort(new Error(problem)), ms);
    },
  };
}

/** The bytes that a stream hashes and sends at a time. The event loop runs other work between two of them. */
const SLICE_BYTES = 1024 * 1024;

/** `md5` is in hex. */
export type Checks = Readonly<{ md5: string; crcs: Crcs }>;

/** A body of known size, which is hashed while it is sent, and read again for each attempt. */
export class StreamedBody {
  readonly size: number;
  readonly #read: () => AsyncIterable<Uint8Array>;
  readonly #crcsOf: (bytes: Uint8Array) => Crcs;
  #md5 = '';
  #crcs = NO_CRCS;
  #failure: { error: unknown } | undefined;

  constructor(size: number, read: () => AsyncIterable<Uint8Array>, crcsOf: (bytes: Uint8Array) => Crcs) {
    this.size = size;
    this.#read = read;
    this.#crcsOf = crcsOf;
  }

  /** The checksums of the last attempt, or undefined if it did not read all bytes. */
  get checks(): Checks | undefined {
    return this.#md5 === '' ? undefined : { md5: this.#md5, crcs: this.#crcs };
  }

  /** @throws what `read` threw */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /**
   * Reads the body. A piece is still in use when the next one is read, but not when the one after that is read.
   * @param limit stops while the next piece is read
   */
  open(limit: TimeLimit, responseMs: number): Readable {
    this.#md5 = '';
    this.#crcs = NO_CRCS;
    this.#failure = undefined;
    const stream = Readable.from(this.#slices(limit, responseMs), { objectMode: false, highWaterMark: 1 });
    stream.on('error', (error) => limit.abort(error));
    return stream;
  }

  async *#slices(limit: TimeLimit, responseMs: number): AsyncGenerator<Uint8Array> {
    const md5 = createHash('md5');
    let sent = 0;
    try {
      for await (const piece of this.#read()) {
        for (let at = 0; at < piece.byteLength; at += SLICE_BYTES) {
          const slice = piece.subarray(at, at + SLICE_BYTES);
          sent += slice.byteLength;
          if (sent > this.size) throw new RangeError(`expected a body of ${this.size} bytes, got more`);
          md5.update(slice);
          this.#crcs = appendCrcs(this.#crcs, this.#crcsOf(slice), slice.byteLength);
          // COS may respond to the last byte before the next line runs.
          if (sent === this.size) this.#md5 = md5.digest('hex');
          limit.start(STALL_MS, `the request stalled for ${STALL_MS} ms`);
          yield slice;
          limit.stop();
        }
      }
      if (sent < this.size) throw new RangeError(`expected a body of ${this.size} bytes, got ${sent}`);
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    limit.start(responseMs, `no response within ${responseMs} ms`);
  }
}
