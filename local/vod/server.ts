import { createServer } from 'node:http';
import { lock } from '../../cli/data-lock.ts';
import type { VodSecrets } from '../../lib/config.ts';
import type { FaultSelector } from '../fault-injection.ts';
import { type ListeningServer, listen } from '../http-server.ts';
import { createNetworkSimulator, type NetworkLimits } from '../network-simulator.ts';
import { Actions } from './actions.ts';
import { FileStore, type StoredFile } from './file-store.ts';
import { HttpHandler } from './http-handler.ts';
import type { QuotaOptions } from './quota.ts';
import { RequestGuard } from './request-guard.ts';
import { Uploads } from './uploads.ts';

export type VodOptions = Readonly<{
  /** Where everything lies: `files/` and `index.json`, and `uploads/` for what is not finished. One server each: it is locked. */
  dir: string;
  /** 0: any free one. */
  port: number;
  secrets: VodSecrets;
  /** The host that clients sign for; the Host header may be anything. */
  signedHost: string;
  network?: NetworkLimits;
  faults?: FaultSelector | undefined;
  /** A minute may be made shorter for tests; the calls within it stay as many, but for `parts`. */
  quota?: QuotaOptions | false;
  /**
   * Checks each part's MD5 and keeps none of its bytes; FinishUpload takes the SHA-1 as announced, and the file is a
   * hole of its size. For measuring: the disk of a service far away costs those who send to it nothing.
   */
  discard?: boolean;
  /** Hears the code of every reply. */
  onReply?: (code: number) => void;
  now?: () => number;
}>;

export type { StoredFile } from './file-store.ts';
export type Vod = ListeningServer & Readonly<{ files(): readonly StoredFile[] }>;

/** Long enough that a keep-alive client is not hung up on just as it sends its next request. */
const IDLE_CONNECTION_MS = 65_000;

/** More than the longest query, so that one that is too long is told so in JSON. */
const LARGEST_HEADER = 64 * 1024;

/** Starts the local VOD service. What it refuses, and with which codes, is told in `refusal.ts`. */
export async function startVod(options: VodOptions): Promise<Vod> {
  const { dir, port, now = Date.now, quota = { minuteMs: 60_000 }, onReply = () => {} } = options;
  const opened = Promise.withResolvers<HttpHandler>();
  const busy = new Set<Promise<void>>();
  const server = createServer(
    { maxHeaderSize: LARGEST_HEADER, keepAliveTimeout: IDLE_CONNECTION_MS },
    (request, response) => {
      const work = opened.promise
        .then((replies) => replies.give(request, response))
        .finally(() => busy.delete(work));
      busy.add(work);
    },
  );

  // The port first: where it is taken, perhaps by this very service, the folder is not touched.
  const listening = await listen(server, port);
  let unlock: (() => Promise<void>) | undefined;
  try {
    unlock = await lock(dir);
    const library = await FileStore.open(dir, listening.endpoint);
    const uploads = await Uploads.open(`${dir}/uploads`, library, options.discard ?? false);
    const door = new RequestGuard({ ...options, quota, now });
    opened.resolve(
      new HttpHandler(
        door,
        new Actions(library, uploads, now),
        library,
        createNetworkSimulator(options.network),
        onReply,
        options.faults,
      ),
    );
    const close = async () => {
      await listening.close();
      await Promise.all(busy);
      await uploads.close();
      await unlock?.();
    };
    let closed: Promise<void> | undefined;
    return {
      ...listening,
      files: () => library.files(),
      close: () => {
        closed ??= close();
        return closed;
      },
    };
  } catch (error) {
    await listening.close();
    await unlock?.();
    throw error;
  }
}
