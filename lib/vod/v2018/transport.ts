import type { VodSecrets } from '../../config.ts';
import { VodRejected, VodUnavailable } from '../../errors.ts';
import {
  createRedactor,
  createVodHttp,
  isTemporaryStatus,
  readText,
  toResponseError,
} from '../../invocation/http.ts';
import { VodQuotaExceeded } from '../retries.ts';
import { describeError, errorActionFor, parseResponse } from './responses.ts';
import { authorization } from './signature.ts';

/** Signs and sends the calls of API 2018-07-17, and parses the envelopes of their responses. */

export type VodApiSettings = Readonly<{
  /** `https://vod.tencentcloudapi.com/`, or `https://vod.intl.tencentcloudapi.com/` for international accounts. */
  endpoint: URL;
  /** The application that owns the files. Accounts opened since 2023-12-25 must name it. */
  subAppId?: number | undefined;
  region?: string | undefined;
  secrets: VodSecrets;
}>;

/** Milliseconds for a whole call. During CommitUpload, VOD takes over the file. */
const TIMEOUT_MS = {
  ApplyUpload: 30_000,
  CommitUpload: 60_000,
  ModifyMediaInfo: 60_000,
  DescribeMediaInfos: 30_000,
  DescribeFileAttributes: 30_000,
  DescribeTaskDetail: 30_000,
  PullUpload: 30_000,
} as const;

/** `target` names the file in errors. `secrets`: values of the parameters that no error may quote. */
export type VodApiCall = Readonly<{
  action: keyof typeof TIMEOUT_MS;
  target: string;
  params: Readonly<Record<string, unknown>>;
  secrets?: readonly string[];
}>;

/** VOD rejects a call with an error code, such as `InvalidParameterValue.MediaType`. */
export class ApiRejected extends VodRejected {
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

const CONTENT_TYPE = 'application/json; charset=utf-8';

/** Creates `send`, and `close` for idle connections. */
export function createTransport({ endpoint, subAppId, region, secrets }: VodApiSettings) {
  const http = createVodHttp();

  /**
   * Sends one request with a new time and signature.
   * @returns the fields of a success
   * @throws {ApiRejected} {VodRejected} {VodUnavailable} {VodQuotaExceeded}, the reason of the signal
   */
  async function send(call: VodApiCall, signal: AbortSignal): Promise<unknown> {
    const { action, target, params } = call;
    const body = JSON.stringify({ ...params, ...(subAppId !== undefined && { SubAppId: subAppId }) });
    const timestamp = Math.floor(Date.now() / 1000);
    const signed = { 'content-type': CONTENT_TYPE, host: endpoint.host };
    const header = authorization({ ...secrets, service: 'vod', timestamp, headers: signed, body });
    const bytes = Buffer.from(body);
    const signature = header.slice(header.lastIndexOf('=') + 1);
    const redact = createRedactor([secrets.secretKey, secrets.token, signature, ...(call.secrets ?? [])]);
    const request = {
      at: `${action} ${target}`,
      endpoint,
      method: 'POST',
      path: endpoint.pathname,
      headers: {
        ...signed,
        authorization: header,
        'content-length': String(bytes.byteLength),
        'x-tc-action': action,
        'x-tc-version': '2018-07-17',
        'x-tc-timestamp': String(timestamp),
        ...(region !== undefined && { 'x-tc-region': region }),
        ...(secrets.token !== undefined && { 'x-tc-token': secrets.token }),
      },
      body: bytes,
      timeoutMs: TIMEOUT_MS[action],
    } as const;
    const received = await http.send(request, signal, async ({ status, body }) => ({
      status,
      text: await readText(request.at, body),
    }));
    return parseReceived(request.at, received, redact);
  }

  return { send, close: http.close };
}

function parseReceived(
  call: string,
  { status, text }: Readonly<{ status: number; text: string }>,
  redact: (text: string) => string,
): unknown {
  const at = `${call}: HTTP ${status}`;
  if (isTemporaryStatus(status)) throw new VodUnavailable(at);
  const parsed = parseResponse(text, redact);
  if ('problem' in parsed) {
    if (parsed.isOlderApi) throw new VodRejected(`${at}: ${parsed.problem}. Check VOD_API and VOD_ENDPOINT.`);
    throw toResponseError(at, status, parsed.problem);
  }
  if ('error' in parsed) {
    const { error } = parsed;
    const message = `${call}: ${describeError(error)}`;
    switch (errorActionFor(error.code)) {
      case 'stop':
        throw new ApiRejected(message, error.code);
      case 'repeat':
        throw new VodUnavailable(message);
      case 'wait':
        throw new VodQuotaExceeded(message);
    }
  }
  if (status !== 200) throw toResponseError(at, status, 'expected HTTP 200 for a success');
  return parsed.response;
}
