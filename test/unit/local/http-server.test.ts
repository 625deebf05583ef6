import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Server } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { newStack } from '../../support/stack.ts';

test('only S3, VOD, COS, and the AWS server listen, and only on loopback', async () => {
  const addresses: ReturnType<Server['address']>[] = [];
  // Node publishes every server of the process that starts to listen.
  const record = (message: unknown): void => {
    const { server } = message as { server: Server };
    addresses.push(server.address());
  };
  subscribe('tracing:net.server.listen:asyncEnd', record);
  onTestFinished(() => void unsubscribe('tracing:net.server.listen:asyncEnd', record));
  await newStack();
  const tcp = addresses.filter((address) => typeof address !== 'string'); // the data lock is a socket file
  expect(tcp).toHaveLength(4);
  for (const address of tcp) expect(['127.0.0.1', '::1']).toContain(address?.address);
});
