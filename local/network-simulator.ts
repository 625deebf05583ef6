import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { finished, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** The network that a local service pretends to be at the far end of, so that a measurement on loopback means something. */
export type NetworkLimits = Readonly<{
  /** Of each connection, for bodies in both directions. */
  bytesPerSecond?: number | undefined;
  /** Added to every request before it is answered. */
  latencyMs?: number | undefined;
}>;

/** How much of its own lateness a paced body may make good: what timers are late by, not what the peer is. */
const CATCH_UP_MS = 20;

/** The next chunk's time on one connection, on any clock of milliseconds. */
export class BandwidthLimit {
  readonly #bytesPerMs: number;
  #free = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** A body begins: idle time before it is not saved up. */
  begin(now: number): void {
    this.#free = Math.max(this.#free, now);
  }

  /** Milliseconds until a chunk that is put on the line now has crossed it. */
  take(bytes: number, now: number): number {
    this.#free = Math.max(this.#free, now - CATCH_UP_MS) + bytes / this.#bytesPerMs;
    return Math.max(0, this.#free - now);
  }
}

/** Nothing is limited unless it is said: then a body is passed on as it is. */
export function createNetworkSimulator({ bytesPerSecond, latencyMs = 0 }: NetworkLimits = {}) {
  const paces = new WeakMap<Socket, BandwidthLimit>();

  function paceOf(socket: Socket, bytes: number): BandwidthLimit {
    const pace = paces.get(socket) ?? new BandwidthLimit(bytes);
    paces.set(socket, pace);
    pace.begin(performance.now());
    return pace;
  }

  async function* paced(source: AsyncIterable<Buffer>, pace: BandwidthLimit): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      await delay(pace.take(chunk.length, performance.now()));
      yield chunk;
    }
  }

  return {
    latency: async (): Promise<void> => {
      if (latencyMs > 0) await delay(latencyMs);
    },

    /** A request's body. Whoever stops early leaves the connection open, for the answer. */
    incoming: (request: IncomingMessage): AsyncIterable<Buffer> => {
      const bytes = request.iterator({ destroyOnReturn: false });
      return bytesPerSecond === undefined ? bytes : paced(bytes, paceOf(request.socket, bytesPerSecond));
    },

    /** Where a response's body is to be written. */
    outgoing: (response: ServerResponse): Writable => {
      const { socket } = response;
      if (bytesPerSecond === undefined || !socket) return response;
      const pace = paceOf(socket, bytesPerSecond);
      const line = new Writable({
        write(chunk: Buffer, _, done) {
          delay(pace.take(chunk.length, performance.now())).then(() => response.write(chunk, done), done);
        },
        final: (done) => void response.end(done),
        destroy: (error, done) => {
          if (error) response.destroy();
          done(error);
        },
      });
      finished(response, (error) => error && line.destroy(error));
      return line;
    },
  };
}

export type NetworkSimulator = ReturnType<typeof createNetworkSimulator>;
