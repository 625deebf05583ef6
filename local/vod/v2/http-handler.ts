import { createReadStream } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { IMAGE_EXTENSIONS } from '../../../lib/upload/media-type.ts';
import { type Fault, type FaultSelector, injectFault, selectFault } from '../../fault-injection.ts';
import type { NetworkSimulator } from '../../network-simulator.ts';
import { receiveBody } from '../body.ts';
import type { FileStore } from '../file-store.ts';
import { reportError, writeJson } from '../json-response.ts';
import type { Actions } from './actions.ts';
import { FAULT_RESPONSES, writeResponse } from './fault-responses.ts';
import { checkMethod, type RequestGuard } from './request-guard.ts';
import { VodError, type VodResponse } from './vod-error.ts';

const FILES_PATH = '/files/';

/** Some clients send a short body with calls that have none. */
const MAX_NEEDLESS_BODY_BYTES = 1024 * 1024;

const VIDEO_TYPES = new Map(Object.entries({ mp4: 'video/mp4', mov: 'video/quicktime', webm: 'video/webm' }));

type HandlerContext = Readonly<{
  guard: RequestGuard;
  actions: Actions;
  files: FileStore;
  network: NetworkSimulator;
  faults: FaultSelector | undefined;
  onResponse: (code: number) => void;
}>;

/**
 * Translates between HTTP and the calls of the protocol. The handler never throws: an error becomes a response, or nothing
 * if the client has disconnected.
 */
export function createHttpHandler({ guard, actions, files, network, faults, onResponse }: HandlerContext) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      const call = readAction(request);
      const fault = await selectFault(faults, request, () => ({ service: 'vod', call }));
      if (fault && (await injectFault(fault, request))) return;
      const send = await prepare(request, response, fault).catch((error) =>
        prepareError(error, request, response),
      );
      // Also after an error: a client that is still sending would not read the response.
      if (!request.readableEnded) await receiveBody(network.incoming(request), 0);
      // Discards the rest of a longer body, which would block the next request on this connection.
      request.resume();
      await network.latency();
      await send();
    } catch (error) {
      if (request.socket.destroyed) return;
      reportError(error);
      response.destroy();
    }
  };

  /** Executes the request. Returns a function that sends the response. */
  async function prepare(
    request: IncomingMessage,
    response: ServerResponse,
    fault: Fault | undefined,
  ): Promise<() => unknown> {
    const { method = '', url = '', headers } = request;
    const [path = '', ...query] = url.split('?');
    if (path.startsWith(FILES_PATH)) return prepareFile(method, path.slice(FILES_PATH.length), response);

    const { action, params } = guard(method, path, query.join('?'), headers.host ?? '');
    const faultResponse = fault && FAULT_RESPONSES[fault];
    if (faultResponse) return () => writeJson(response, faultResponse.status, faultResponse.text);
    if (action === 'InitUpload' || action === 'FinishUpload') await discardBody(request, action);
    if (fault === 'upload-lost') await actions.loseUpload(params);
    const result = await actions.calls[action](params, (max) => receiveBody(network.incoming(request), max));
    if (fault === 'part-lost') await actions.losePart(params);
    return () => send(response, 200, result, fault);
  }

  function prepareError(error: unknown, request: IncomingMessage, response: ServerResponse): () => void {
    // The connection broke during the body: nothing can receive a response.
    if (request.socket.destroyed) throw error;
    if (!(error instanceof VodError)) reportError(error);
    const message = 'internal error; see the console of this service';
    const rejection = error instanceof VodError ? error : new VodError('internal', message);
    return () => {
      if (rejection.allow !== undefined) response.setHeader('Allow', rejection.allow);
      send(response, rejection.status, rejection.response);
    };
  }

  function send(response: ServerResponse, status: number, result: VodResponse, fault?: Fault): void {
    onResponse(result.code);
    writeJson(response, status, writeResponse(result, fault), fault);
  }

  async function discardBody(request: IncomingMessage, action: string): Promise<void> {
    const { length } = await receiveBody(network.incoming(request), 0);
    if (length <= MAX_NEEDLESS_BODY_BYTES) return;
    throw new VodError('body', `${action} has no body, got one of at least ${length} bytes`, { canRetry: 0 });
  }

  /** Serves a stored file, so that its URL opens in a browser. Does not support ranges. */
  function prepareFile(method: string, name: string, response: ServerResponse): () => Promise<void> {
    checkMethod(method, ['GET', 'HEAD'], FILES_PATH);
    const file = files.findByName(name);
    if (!file) throw new VodError('noSuchCall', `${FILES_PATH}${name}: no such file`, { status: 404 });
    return async () => {
      const contentType = contentTypeOf(file.fileType.toLowerCase());
      response.writeHead(200, { 'Content-Type': contentType, 'Content-Length': file.size });
      if (method === 'HEAD') response.end();
      else await pipeline(createReadStream(files.path(file)), network.outgoing(response));
    };
  }
}

const readAction = ({ url = '' }: IncomingMessage): string =>
  new URLSearchParams(url.slice(url.indexOf('?') + 1)).get('Action') ?? '';

function contentTypeOf(fileType: string): string {
  if (IMAGE_EXTENSIONS.has(fileType)) return `image/${fileType === 'jpg' ? 'jpeg' : fileType}`;
  return VIDEO_TYPES.get(fileType) ?? 'application/octet-stream';
}
