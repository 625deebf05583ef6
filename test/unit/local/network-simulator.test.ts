import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { listen } from '../../../local/http-server.ts';
import { BandwidthLimit, createNetworkSimulator } from '../../../local/network-simulator.ts';
import { createBytes } from '../../support/values.ts';

describe('BandwidthLimit', () => {
  test('delays a body by the time of its bytes, whatever the size of its chunks', () => {
    const limit = new BandwidthLimit(1_000_000);
    limit.begin(0);
    expect(limit.take(100_000, 0)).toBeCloseTo(100);
    expect(limit.take(50_000, 100)).toBeCloseTo(50);
    expect(limit.take(50_000, 100)).toBeCloseTo(100);
  });

  test('catches up after a late timer, but not after a slow peer', () => {
    const limit = new BandwidthLimit(1_000_000);
    limit.begin(0);
    limit.take(100_000, 0);
    expect(limit.take(100_000, 105)).toBeCloseTo(95);
    expect(limit.take(100_000, 1_200)).toBeCloseTo(80);
  });

  test('gives no credit for the idle time between two bodies', () => {
    const limit = new BandwidthLimit(1_000_000);
    limit.begin(0);
    limit.take(100_000, 0);
    limit.begin(5_000);
    expect(limit.take(100_000, 5_000)).toBeCloseTo(100);
  });
});

describe('createNetworkSimulator', () => {
  /** Starts a server that returns each body, through a simulated network. */
  async function startEcho(bytesPerSecond: number): Promise<string> {
    const network = createNetworkSimulator({ bytesPerSecond, latencyMs: 1 });
    const server = createServer(async (request, response) => {
      const body = await buffer(Readable.from(network.incoming(request)));
      await network.latency();
      const chunks = Readable.from([body.subarray(0, 1_000), body.subarray(1_000)]);
      await pipeline(chunks, network.outgoing(response)).catch(() => response.destroy());
    });
    const { endpoint, close } = await listen(server, 0);
    onTestFinished(close);
    return endpoint;
  }

  test('transfers bodies completely in both directions, also several on one connection', async () => {
    const endpoint = await startEcho(50_000_000);
    for (const size of [0, 1, 500_000]) {
      const body = createBytes(size);
      const response = await fetch(endpoint, { method: 'POST', body });
      expect(body.equals(await response.bytes())).toBe(true);
    }
  });

  test('waits for nothing when a client disconnects in the middle of a body', async () => {
    const endpoint = await startEcho(1_000_000);
    const controller = new AbortController();
    const { signal } = controller;
    const response = await fetch(endpoint, { method: 'POST', body: createBytes(300_000), signal });
    controller.abort();
    await expect(response.bytes()).rejects.toThrow('aborted');
  });
});
