import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type ListeningServer = Readonly<{ port: number; endpoint: string; close: () => Promise<void> }>;

/**
 * Makes a server listen on loopback. Port 0 is any free port. `close` stops accepting connections, ends the open ones, and
 * resolves when all are closed and `handle`, which must not reject, has returned for every request.
 */
export async function listen(
  server: Server,
  port: number,
  handle?: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<ListeningServer> {
  const inProgress = new Set<Promise<void>>();
  if (handle) {
    server.on('request', (request, response) => {
      const handled = handle(request, response).finally(() => inProgress.delete(handled));
      inProgress.add(handled);
    });
  }
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const { port: bound } = server.address() as AddressInfo;
  return {
    port: bound,
    endpoint: `http://127.0.0.1:${bound}`,
    close: async () => {
      if (server.listening) {
        const closed = once(server, 'close');
        server.close();
        server.closeAllConnections();
        await closed;
      }
      await Promise.all(inProgress);
    },
  };
}
