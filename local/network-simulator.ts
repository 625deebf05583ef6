import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { finished, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** Limits of the simulated network. A missing limit does not apply. */
export type NetworkLimits = Readonly<{
  /** Per connection, for bodies in both directions together. */
  bytesPerSecond?: number | undefined;
  /** Added before the response to each request. */
  latencyMs?: number | undefined;
}>;

/** A body may catch up at most this much of its delay: timers fire late. A slow peer must not produce a burst. */
const MAX_CATCH_UP_MS = 20;

/** Schedules the chunks of one connection. `now`: milliseconds of any clock. */
export class BandwidthLimit {
  readonly #bytesPerMs: number;
  #freeAt = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Starts a body. The idle time before it gives no credit. */
  begin(now: number): void {
    this.#freeAt = Math.max(this.#freeAt, now);
  }

  /** Returns the milliseconds until a chunk that is sent now has arrived. */
  take(bytes: number, now: number): number {
    this.#freeAt = Math.max(this.#freeAt, now - MAX_CATCH_UP_MS) + bytes / this.#bytesPerMs;
    return Math.max(0, this.#freeAt - now);
  }
}

/** Gives a local service the latency and bandwidth of a remote one, for measurements on loopback. */
export function createNetworkSimulator({ bytesPerSecond, latencyMs = 0 }: NetworkLimits = {}) {
  const limits = new WeakMap<Socket, BandwidthLimit>();

  function beginBody(socket: Socket, bytesPerSecond: number): BandwidthLimit {
    const limit = limits.get(socket) ?? new BandwidthLimit(bytesPerSecond);
    limits.set(socket, limit);
    limit.begin(performance.now());
    return limit;
  }

  async function* delayChunks(source: AsyncIterable<Buffer>, limit: BandwidthLimit): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      await delay(limit.take(chunk.length, performance.now()));
      yield chunk;
    }
  }

  return {
    latency: async (): Promise<void> => {
      if (latencyMs > 0) await delay(latencyMs);
    },

    /** The body of a request. A reader that stops early leaves the connection open for the response. */
    incoming: (request: IncomingMessage): AsyncIterable<Buffer> => {
      const body = request.iterator({ destroyOnReturn: false });
      return bytesPerSecond === undefined
        ? body
        : delayChunks(body, beginBody(request.socket, bytesPerSecond));
    },

    /** The stream for the body of a response. */
    outgoing: (response: ServerResponse): Writable => {
      const { socket } = response;
      if (bytesPerSecond === undefined || !socket) return response;
      const limit = beginBody(socket, bytesPerSecond);
      const body = new Writable({
        write(chunk: Buffer, _, done) {
          delay(limit.take(chunk.length, performance.now())).then(() => response.write(chunk, done), done);
        },
        final: (done) => void response.end(done),
        destroy: (error, done) => {
          if (error) response.destroy();
          done(error);
        },
      });
      finished(response, (error) => error && body.destroy(error));
      return body;
    },
  };
}

export type NetworkSimulator = ReturnType<typeof createNetworkSimulator>;
