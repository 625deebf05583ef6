import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from '../../../local/http-server.ts';
import { createNetworkSimulator } from '../../../local/network-simulator.ts';
import { createBytes, sha1 } from '../../support/values.ts';

/** Answers each body with itself, over a link. */
async function echo(bytesPerSecond: number) {
  const link = createNetworkSimulator({ bytesPerSecond, latencyMs: 1 });
  const server = createServer(async (request, response) => {
    const body = await buffer(Readable.from(link.incoming(request)));
    await link.latency();
    await pipeline(
      Readable.from([body.subarray(0, 1_000), body.subarray(1_000)]),
      link.outgoing(response),
    ).catch(() => response.destroy());
  });
  const { endpoint, close } = await listen(server, 0);
  onTestFinished(close);
  return endpoint;
}

test('a paced body arrives whole, both ways, also a second one on the same connection', async () => {
  const endpoint = await echo(50_000_000);
  for (const size of [0, 1, 500_000]) {
    const body = createBytes(size);
    const reply = await fetch(endpoint, { method: 'POST', body });
    expect(sha1(await reply.bytes())).toBe(sha1(body));
  }
});

test('a client that goes in the middle of a paced body leaves nothing waiting', async () => {
  const endpoint = await echo(1_000_000);
  const leaving = new AbortController();
  const reply = await fetch(endpoint, { method: 'POST', body: createBytes(300_000), signal: leaving.signal });
  leaving.abort();
  await expect(reply.bytes()).rejects.toThrow('aborted');
});
