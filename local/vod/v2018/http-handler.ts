import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { VodSecrets } from '../../../lib/config.ts';
import { type Fault, type FaultSelector, injectFault, selectFault } from '../../fault-injection.ts';
import type { NetworkSimulator } from '../../network-simulator.ts';
import { receiveBody } from '../body.ts';
import { reportError, writeJson } from '../json-response.ts';
import type { RequestLimit } from '../quota.ts';
import type { ApiActions } from './actions.ts';
import { ApiError } from './api-error.ts';
import { FAULT_RESPONSES } from './fault-responses.ts';
import { type ApiAction, isApiAction, readParameters } from './parameters.ts';
import { APP_ID, type Sessions } from './sessions.ts';
import { authenticate } from './signature.ts';

const VERSION = '2018-07-17';

/** The largest body of a call with a TC3 signature. */
const MAX_BODY_BYTES = 10 * 1024 ** 2;

type HandlerContext = Readonly<{
  actions: ApiActions;
  sessions: Sessions;
  /** The keys of the account. Read at each request. */
  secrets: VodSecrets | readonly VodSecrets[];
  /** Mandatory in every call if set, as for accounts opened since 2023-12-25. */
  subAppId: number | undefined;
  limit: RequestLimit | undefined;
  network: NetworkSimulator;
  faults: FaultSelector | undefined;
  now: () => number;
  onResponse: (code: string) => void;
}>;

/** Whether a request belongs to API 2018-07-17. */
export const isApiCall = ({ method, url }: IncomingMessage): boolean => method === 'POST' && url === '/';

/**
 * Translates between HTTP and the calls of API 2018-07-17. The handler never throws: an error becomes a response, or nothing
 * if the client has disconnected.
 */
export function createApiHandler(context: HandlerContext) {
  const { actions, sessions, limit, network, faults, now, onResponse } = context;

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      const call = readHeader(request, 'x-tc-action') ?? '';
      const fault = await selectFault(faults, request, () => ({ service: 'vod2018', call }));
      if (fault && (await injectFault(fault, request))) return;
      const { status, text } = await respond(request, fault);
      request.resume();
      await network.latency();
      writeJson(response, status, fault === 'truncated-json' ? text.slice(0, text.length >> 1) : text, fault);
    } catch (error) {
      if (request.socket.destroyed) return;
      reportError(error);
      response.destroy();
    }
  };

  async function respond(request: IncomingMessage, fault: Fault | undefined) {
    const RequestId = randomUUID();
    try {
      using body = await receiveBody(network.incoming(request), MAX_BODY_BYTES);
      if (body.length > MAX_BODY_BYTES) {
        throw new ApiError('RequestSizeLimitExceeded', `The body: expected at most ${MAX_BODY_BYTES} bytes.`);
      }
      const action = checkRequest(request, body.bytes);
      const injected = fault && FAULT_RESPONSES[fault];
      if (injected) return injected;
      const result = await run(action, readJson(body.bytes), fault);
      onResponse('');
      return { status: 200, text: JSON.stringify({ Response: { ...result, RequestId } }) };
    } catch (error) {
      // The connection broke during the body: nothing can receive a response.
      if (request.socket.destroyed) throw error;
      if (!(error instanceof ApiError)) reportError(error);
      const message = 'Internal error; see the console of this service.';
      const { code, message: Message } =
        error instanceof ApiError ? error : new ApiError('InternalError', message);
      onResponse(code);
      return {
        status: 200,
        text: JSON.stringify({ Response: { Error: { Code: code, Message }, RequestId } }),
      };
    }
  }

  /** Checks everything but the parameters. */
  function checkRequest(request: IncomingMessage, body: Buffer): ApiAction {
    const action = readHeader(request, 'x-tc-action');
    const version = readHeader(request, 'x-tc-version');
    if (action === undefined) throw new ApiError('MissingParameter', 'X-TC-Action: missing.');
    if (version === undefined) throw new ApiError('MissingParameter', 'X-TC-Version: missing.');
    if (version !== VERSION)
      throw new ApiError('NoSuchVersion', `X-TC-Version: expected ${VERSION}, got ${version}.`);
    const time = now();
    authenticate({ headers: request.headers, body }, [context.secrets].flat(), time);
    const contentType = request.headers['content-type'] ?? '';
    if (!/^application\/json(; ?charset=utf-8)?$/i.test(contentType)) {
      throw new ApiError(
        'UnsupportedProtocol',
        `Content-Type: expected application/json, got ${contentType}.`,
      );
    }
    if (!isApiAction(action)) {
      throw new ApiError('InvalidAction', `X-TC-Action: ${action} is not an action of this local VOD.`);
    }
    const waitMs = limit?.take(action, time) ?? 0;
    if (waitMs > 0) {
      const message = `${action}: too many calls in a second; retry in ${Math.ceil(waitMs)} ms.`;
      throw new ApiError('RequestLimitExceeded', message);
    }
    return action;
  }

  async function run<A extends ApiAction>(action: A, body: unknown, fault: Fault | undefined) {
    const params = readParameters(action, body);
    checkSubAppId(params.SubAppId, context.subAppId);
    if (fault === 'session-gone' && 'VodSessionKey' in params) sessions.end(params.VodSessionKey);
    return actions[action](params, { keysEndSoon: fault === 'keys-end-soon' });
  }
}

function checkSubAppId(given: number | undefined, expected: number | undefined): void {
  if (given === undefined && expected !== undefined) {
    throw new ApiError('MissingParameter', 'SubAppId: missing. This account needs it in every call.');
  }
  if (given === undefined || given === (expected ?? APP_ID)) return;
  throw new ApiError('InvalidParameterValue.SubAppId', `SubAppId: no subapplication ${given}.`);
}

const readHeader = (request: IncomingMessage, name: string): string | undefined =>
  request.headers[name]?.toString();

function readJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw new ApiError('InvalidParameter', 'The body: expected JSON in UTF-8.', { cause });
  }
}
