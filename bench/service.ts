import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { LOCAL_S3_CREDENTIALS } from '../cli/running-file.ts';
import type { ListeningServer } from '../local/http-server.ts';
import { startS3 } from '../local/s3/server.ts';
import { startVod } from '../local/vod/server.ts';
import { sum } from './cost.ts';
import {
  type Endpoints,
  type FromService,
  type ServiceOptions,
  type ToService,
  VOD_HOST,
  VOD_SECRETS,
} from './messages.ts';

/** Runs one local service in a separate process, so that its time and memory do not count as the pipeline's. */

const requests: Record<string, number> = {};
const sockets = new Set<Socket>();
let quotaErrors = 0;
const undelivered = new Map<number, () => void>();

const send = (message: FromService): void => void process.send?.(message);

subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage };
  const name = nameOf(request);
  requests[name] = (requests[name] ?? 0) + 1;
  sockets.add(request.socket);
});

/** The action of a call to VOD, or the method of a request to S3 or COS. */
function nameOf({ method = '', url = '', headers }: IncomingMessage): string {
  const isCos = headers.authorization?.startsWith('q-sign-algorithm');
  if (isCos) return `COS ${method}`;
  return /[?&]Action=(\w+)/.exec(url)?.[1] ?? headers['x-tc-action']?.toString() ?? method;
}

const countQuotaErrors = (isQuotaError: boolean): void => {
  if (isQuotaError) quotaErrors++;
};

/** Resolves when the measuring process has taken the event. */
function deliver(event: unknown): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const id = undelivered.size + 1;
  undelivered.set(id, resolve);
  send({ event, id });
  return promise;
}

const { kind, dir, network = {}, quota = false }: ServiceOptions = JSON.parse(process.argv[2] ?? '');
const service: ListeningServer & Endpoints =
  kind === 's3'
    ? await startS3({ dir, port: 0, network, credentials: LOCAL_S3_CREDENTIALS, onObjectCreated: deliver })
    : await startVod({
        dir,
        port: 0,
        network,
        quota,
        discard: true,
        secrets: VOD_SECRETS,
        signedHost: VOD_HOST,
        uploadsPerObject: 50,
        onResponse: (code) => countQuotaErrors(code === 4400),
        onApiResponse: (code) => countQuotaErrors(code === 'RequestLimitExceeded'),
      });
/** Loading and starting do not count. */
const startCpu = process.cpuUsage();
process.on('message', (message: ToService) => {
  if (message !== 'stop') return undelivered.get(message.taken)?.();
  const { user, system } = process.cpuUsage(startCpu);
  const sentBytes = sum([...sockets].map(({ bytesWritten }) => bytesWritten));
  send({ tally: { requests, quotaErrors, sentBytes, cpuMs: (user + system) / 1000 } });
});
// The measuring process has received the counters, or has exited.
process.on('disconnect', () => void service.close().then(() => process.exit(0)));
const { endpoint, cosEndpoint } = service;
send({ ready: { endpoint, cosEndpoint } });
