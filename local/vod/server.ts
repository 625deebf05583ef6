import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { lock } from '../../cli/data-lock.ts';
import type { VodSecrets } from '../../lib/config.ts';
import type { FaultSelector } from '../fault-injection.ts';
import { type ListeningServer, listen } from '../http-server.ts';
import { createNetworkSimulator, type NetworkLimits } from '../network-simulator.ts';
import { FileStore, type StoredFile } from './file-store.ts';
import type { QuotaOptions } from './quota.ts';
import { createActions } from './v2/actions.ts';
import { createHttpHandler } from './v2/http-handler.ts';
import { createRequestGuard } from './v2/request-guard.ts';
import { Uploads } from './v2/uploads.ts';
import { isApiCall } from './v2018/http-handler.ts';
import { type ApiOptions, startApi } from './v2018/service.ts';

export type VodOptions = ApiOptions &
  Readonly<{
    /** Data folder: `files/`, `index.json`, and `uploads/` for unfinished uploads. A lock admits one server at a time. */
    dir: string;
    /** 0: any free port. */
    port: number;
    /** The keys of the account. An account has two while it rotates them. */
    secrets: VodSecrets | readonly VodSecrets[];
    /** The host that clients must sign. The Host header may differ. */
    signedHost: string;
    network?: NetworkLimits;
    faults?: FaultSelector | undefined;
    /** Tests may shorten the minute. The limits stay the same, except `parts`. */
    quota?: QuotaOptions | false;
    /**
     * Verifies the MD5 of each part but stores no bytes. FinishUpload trusts the announced SHA-1, and the file is a hole of
     * its size. For benchmarks: the disk of a remote service costs its clients nothing.
     */
    discard?: boolean;
    /** Receives the code of every response of API 2.0. */
    onResponse?: (code: number) => void;
    now?: () => number;
  }>;

export type { StoredFile } from './file-store.ts';
export type Vod = ListeningServer &
  Readonly<{
    /** The address of COS. */
    cosEndpoint: string;
    files(): readonly StoredFile[];
    /** The keys of the objects in COS with a multipart upload in progress. */
    openUploads(): readonly string[];
  }>;

/** Longer than clients keep an idle connection, so that they never reuse one that is being closed. */
const KEEP_ALIVE_MS = 65_000;

type RequestHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** More than the longest query, so that a query that is too long still gets a JSON response. */
const MAX_HEADER_BYTES = 64 * 1024;

/**
 * Starts the local VOD service: both APIs on one port, and COS on another. `v2/vod-error.ts` and `v2018/api-error.ts` list
 * their errors.
 */
export async function startVod(options: VodOptions): Promise<Vod> {
  const { dir, port, now = Date.now, quota = { minuteMs: 60_000 }, faults, onResponse = () => {} } = options;
  const { discard = false } = options;
  const ready = Promise.withResolvers<RequestHandler | undefined>();
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_MS });
  await using startup = new AsyncDisposableStack();
  // The port comes first: if it is in use, perhaps by this service, the folder stays untouched.
  const listening = await listen(server, port, async (request, response) =>
    (await ready.promise)?.(request, response),
  );
  startup.defer(listening.close);
  startup.defer(() => ready.resolve(undefined)); // ends requests that arrived during a failed start
  startup.defer(await lock(dir));
  const files = await FileStore.open(dir, listening.endpoint);
  const uploads = await Uploads.open(`${dir}/uploads`, files, discard);
  startup.defer(() => uploads.close());
  startup.defer(listening.close); // while the folder is still locked
  const guard = createRequestGuard({ ...options, quota, now });
  const actions = createActions(files, uploads, now);
  const network = createNetworkSimulator(options.network);
  const handleV2 = createHttpHandler({ guard, actions, files, network, faults, onResponse });
  const api = await startApi({ ...options, quota, now, discard, files, simulator: network }, startup);
  ready.resolve((request, response) => (isApiCall(request) ? api.handle : handleV2)(request, response));
  const resources = startup.move();
  return {
    ...listening,
    cosEndpoint: api.cosEndpoint,
    files: () => files.list(),
    openUploads: api.openUploads,
    close: () => resources.disposeAsync(),
  };
}
