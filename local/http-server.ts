import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tuneGarbageCollector } from '../lib/upload/gc-tuning.ts';

export type ListeningServer = Readonly<{ port: number; endpoint: string; close: () => Promise<void> }>;

/**
 * Starts a local service on loopback, on `port` (0: any free one).
 * `close` stops accepting, ends idle and busy connections alike, and settles when all are gone.
 */
export async function listen(server: Server, port: number): Promise<ListeningServer> {
  server.once('connection', tuneGarbageCollector);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { port: bound } = server.address() as AddressInfo;
  return {
    port: bound,
    endpoint: `http://127.0.0.1:${bound}`,
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
