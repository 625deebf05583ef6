import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export type ListeningServer = Readonly<{ port: number; endpoint: string; close: () => Promise<void> }>;

/**
 * Makes a server listen on loopback. Port 0 is any free port.
 * `close` stops accepting connections, ends the open ones, and resolves when all are closed.
 */
export async function listen(server: Server, port: number): Promise<ListeningServer> {
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
