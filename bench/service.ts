import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import type { NetworkLimits } from '../local/network-simulator.ts';
import { startS3 } from '../local/s3/server.ts';
import { startVod } from '../local/vod/server.ts';
import { LOCAL_S3, LOCAL_VOD, VOD_HOST } from './credentials.ts';

/** One local service in a process of its own: its work shall not slow, nor its memory count for, what is measured. */

export type ServiceOptions = Readonly<{
  kind: 's3' | 'vod';
  dir: string;
  network?: NetworkLimits;
  quota?: Readonly<{ minuteMs: number; parts?: number }> | false;
}>;

/** What the service did; `quotaErrors` counts code 4400. */
export type ServiceTally = Readonly<{ requests: Record<string, number>; quotaErrors: number; cpuMs: number }>;

export type FromService = { ready: string } | { event: unknown; id: number } | { tally: ServiceTally };
export type ToService = { taken: number } | 'tally';

const requests: Record<string, number> = {};
let quotaErrors = 0;
/** Loading is not what is measured. */
let before = process.cpuUsage();
const waiting = new Map<number, () => void>();

const tell = (message: FromService): void => void process.send?.(message);

function nameOf({ method = '', url = '' }: IncomingMessage): string {
  return /[?&]Action=(\w+)/.exec(url)?.[1] ?? method;
}

subscribe('http.server.request.start', (message) => {
  const name = nameOf((message as { request: IncomingMessage }).request);
  requests[name] = (requests[name] ?? 0) + 1;
});

/** Settles when whoever is measured has taken the event, as S3's own delivery would. */
function announce(event: unknown): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const id = waiting.size + 1;
  waiting.set(id, resolve);
  tell({ event, id });
  return promise;
}

async function start({ kind, dir, network = {}, quota = false }: ServiceOptions): Promise<void> {
  const service =
    kind === 's3'
      ? await startS3({ dir, port: 0, network, credentials: LOCAL_S3, onObjectCreated: announce })
      : await startVod({
          dir,
          port: 0,
          network,
          quota,
          discard: true,
          secrets: LOCAL_VOD,
          signedHost: VOD_HOST,
          onReply: (code) => {
            if (code === 4400) quotaErrors++;
          },
        });
  process.on('message', (message: ToService) => {
    if (message !== 'tally') return waiting.get(message.taken)?.();
    const { user, system } = process.cpuUsage(before);
    tell({ tally: { requests, quotaErrors, cpuMs: (user + system) / 1000 } });
  });
  // The process that measures is done.
  process.on('disconnect', () => void service.close().then(() => process.exit(0)));
  before = process.cpuUsage();
  tell({ ready: service.endpoint });
}

await start(JSON.parse(process.argv[2] ?? ''));
