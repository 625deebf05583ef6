import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Server } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { newStack } from '../../support/stack.ts';

test('S3, VOD, and the engine listen on loopback, and nothing else listens', async () => {
  const addresses: ReturnType<Server['address']>[] = [];
  // Of every server in this process, when it has begun to listen.
  const heard = (message: unknown): void => {
    const { server } = message as { server: Server };
    addresses.push(server.address());
  };
  subscribe('tracing:net.server.listen:asyncEnd', heard);
  onTestFinished(() => void unsubscribe('tracing:net.server.listen:asyncEnd', heard));
  await newStack();
  const open = addresses.filter((address) => typeof address !== 'string'); // the folder's lock is a socket file
  expect(open).toHaveLength(3);
  for (const address of open) expect(['127.0.0.1', '::1']).toContain(address?.address);
});
