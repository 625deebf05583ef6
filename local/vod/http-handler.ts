import { createReadStream } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import {
  corruptResponse,
  type Fault,
  type FaultSelector,
  injectFault,
  selectFault,
} from '../fault-injection.ts';
import type { NetworkSimulator } from '../network-simulator.ts';
import type { Actions } from './actions.ts';
import { receive } from './body.ts';
import { faultResponse, writeResponse } from './fault-responses.ts';
import type { FileStore } from './file-store.ts';
import { checkMethod, type RequestGuard } from './request-guard.ts';
import { type Reply, VodError } from './vod-error.ts';

const FILES_PATH = '/files/';

/** Some clients send a little something with calls that have no body. */
const NEEDLESS_BODY_AT_MOST = 1024 * 1024;

const CONTENT_TYPES = new Map([
  ['mp4', 'video/mp4'],
  ['mov', 'video/quicktime'],
  ['webm', 'video/webm'],
  ['jpg', 'image/jpeg'],
  ['jpeg', 'image/jpeg'],
  ['png', 'image/png'],
  ['gif', 'image/gif'],
  ['webp', 'image/webp'],
  ['bmp', 'image/bmp'],
]);

/** Turns HTTP requests into calls, and what comes of them into HTTP replies. */
export class HttpHandler {
  readonly #door: RequestGuard;
  readonly #calls: Actions;
  readonly #library: FileStore;
  readonly #link: NetworkSimulator;
  readonly #onReply: (code: number) => void;
  readonly #faults: FaultSelector | undefined;

  constructor(
    door: RequestGuard,
    calls: Actions,
    library: FileStore,
    link: NetworkSimulator,
    onReply: (code: number) => void,
    faults?: FaultSelector,
  ) {
    this.#door = door;
    this.#calls = calls;
    this.#library = library;
    this.#link = link;
    this.#onReply = onReply;
    this.#faults = faults;
  }

  /** Never throws: what goes wrong becomes a reply, or nothing where the client is gone. */
  async give(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const fault = await selectFault(this.#faults, request, () => ({
        service: 'vod',
        call: actionOf(request),
      }));
      if (fault && (await injectFault(fault, request))) return;
      const send = await this.#prepare(request, response, fault).catch((error) =>
        this.#refusing(error, request, response),
      );
      // Also of a call that is refused: a client that is still sending would not see the reply.
      if (!request.readableEnded) await receive(this.#link.incoming(request), 0);
      await this.#link.latency();
      await send();
    } catch (error) {
      if (!request.socket.destroyed) {
        report(error);
        response.destroy();
      }
    }
  }

  async #prepare(
    request: IncomingMessage,
    response: ServerResponse,
    fault: Fault | undefined,
  ): Promise<() => unknown> {
    const { method = '', url = '', headers } = request;
    const cut = url.includes('?') ? url.indexOf('?') : url.length;
    const [path, query] = [url.slice(0, cut), url.slice(cut + 1)];
    if (path.startsWith(FILES_PATH)) return this.#file(method, path.slice(FILES_PATH.length), response);

    const { action, params } = this.#door.admit(method, path, query, headers.host ?? '');
    const spoken = faultResponse(fault);
    if (spoken) return () => this.#write(response, spoken.status, spoken.text);
    if (action === 'InitUpload' || action === 'FinishUpload') await this.#readNeedless(request, action);
    if (fault === 'upload-lost') await this.#calls.forgetUpload(params);
    const reply = await this.#calls.answer(action, params, (most) => {
      checkDeclared(request);
      return receive(this.#link.incoming(request), most);
    });
    if (fault === 'part-lost') await this.#calls.forgetPart(params);
    return () => this.#send(response, 200, reply, { fault });
  }

  #refusing(error: unknown, request: IncomingMessage, response: ServerResponse): () => void {
    // The connection broke in mid-body: there is nobody to tell.
    if (request.socket.destroyed) throw error;
    if (!(error instanceof VodError)) report(error);
    const { reply, status, allow } =
      error instanceof VodError
        ? error
        : new VodError('internal', 'a fault of this service; its console tells more');
    return () => this.#send(response, status, reply, { allow });
  }

  #send(response: ServerResponse, status: number, reply: Reply, { allow, fault }: Sending = {}): void {
    this.#onReply(reply.code);
    if (allow !== undefined) response.setHeader('Allow', allow);
    this.#write(response, status, writeResponse(reply, fault), fault);
  }

  #write(response: ServerResponse, status: number, text: string, fault?: Fault): void {
    const body = Buffer.from(text);
    response.writeHead(status, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': body.length,
    });
    corruptResponse(fault, response, response).end(body);
  }

  async #readNeedless(request: IncomingMessage, action: string): Promise<void> {
    const { length } = await receive(this.#link.incoming(request), 0);
    if (length <= NEEDLESS_BODY_AT_MOST) return;
    throw new VodError('body', `${action} has no body, got one of at least ${length} bytes`, { canRetry: 0 });
  }

  /** So that the url of a stored file can be opened in a browser. Ranges are not served. */
  #file(method: string, name: string, response: ServerResponse): () => Promise<void> {
    checkMethod(method, ['GET', 'HEAD'], FILES_PATH);
    const file = this.#library.named(name);
    if (!file) throw new VodError('noSuchCall', `${FILES_PATH}${name}: no such file`, { status: 404 });
    return async () => {
      response.writeHead(200, {
        'Content-Type': CONTENT_TYPES.get(file.fileType.toLowerCase()) ?? 'application/octet-stream',
        'Content-Length': file.size,
      });
      if (method === 'HEAD') response.end();
      else await pipeline(createReadStream(this.#library.path(file)), this.#link.outgoing(response));
    };
  }
}

type Sending = Readonly<{ allow?: string | undefined; fault?: Fault | undefined }>;

const actionOf = ({ url = '' }: IncomingMessage): string =>
  new URLSearchParams(url.slice(url.indexOf('?') + 1)).get('Action') ?? '';

/** "Body: exactly `dataSize` bytes, `Content-Length` set." */
function checkDeclared({ headers }: IncomingMessage): void {
  if (headers['content-length'] !== undefined) return;
  throw new VodError('body', 'the body: expected a Content-Length, got none', { canRetry: 0 });
}

/** The stack of an unexpected error is for whoever runs the service, not for the client. */
function report(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
}
