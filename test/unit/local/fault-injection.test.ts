import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  createScriptedFaults,
  createSeededFaults,
  type Fault,
  injectFault,
  listFaults,
  PIPELINE_CALLS,
  type ServiceCall,
} from '../../../local/fault-injection.ts';
import { listen } from '../../../local/http-server.ts';
import { newStack } from '../../support/stack.ts';
import { createBytes, sha1 } from '../../support/values.ts';

/** The fault switches of the local services: which requests meet what, and that each does what it says. */

const calls: ServiceCall[] = [
  ...PIPELINE_CALLS.s3.map((call) => ({ service: 's3' as const, call })),
  ...PIPELINE_CALLS.vod.map((call) => ({ service: 'vod' as const, call })),
];
const call = fc.constantFrom(...calls);

test('a seed says which requests meet what, in whatever order the calls come', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(call, { maxLength: 60 }), async (seed, requests) => {
      const met = (order: readonly ServiceCall[]) => {
        const faults = createSeededFaults(0.5, seed);
        return Map.groupBy(
          order.map((request) => ({ call: request.call, fault: faults(request) })),
          ({ call }) => call,
        );
      };
      const byCall = requests.toSorted((a, b) => a.call.localeCompare(b.call));
      expect(Object.fromEntries(met(requests))).toEqual(Object.fromEntries(met(byCall)));
    }),
  );
});

test('as many requests as the rate says, of a call only what can happen to it, to others nothing', () => {
  for (const rate of [0, 0.05, 1]) {
    const faults = createSeededFaults(rate, 7);
    const met = Array.from({ length: 4000 }, () => faults({ service: 'vod', call: 'UploadPart' }));
    const struck = met.filter((fault) => fault !== undefined);
    expect(Math.abs(struck.length / met.length - rate)).toBeLessThan(0.01);
    expect(listFaults({ service: 'vod', call: 'UploadPart' })).toEqual(expect.arrayContaining(struck));
  }
  expect(createSeededFaults(1, 7)({ service: 's3', call: 'PutObject' })).toBeUndefined();
  expect(listFaults({ service: 's3', call: 'HeadObject' })).not.toContain('part-lost');
});

test('a script names the requests of a call by their number', () => {
  const faults = createScriptedFaults([{ call: 'GetObject', nth: 1, times: 2, fault: 'truncated-body' }]);
  const met = Array.from({ length: 4 }, () => [
    faults({ service: 's3', call: 'HeadObject' }),
    faults({ service: 's3', call: 'GetObject' }),
  ]);
  expect(met.map(([head]) => head)).toEqual([undefined, undefined, undefined, undefined]);
  expect(met.map(([, get]) => get)).toEqual([undefined, 'truncated-body', 'truncated-body', undefined]);
});

test('reset while it is ending, a connection is closed all the same', async () => {
  const sockets = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
  const before = sockets();
  const server = createServer((request) => {
    request.socket.end();
    void injectFault('early-reset', request);
  });
  const { port, close } = await listen(server, 0);
  const client = connect(port, '127.0.0.1').resume();
  client.write('GET / HTTP/1.1\r\nHost: here\r\n\r\n');
  await once(client, 'close');
  await close();
  await expect.poll(sockets).toBe(before);
});

const MIB = 1_048_576;

/** A film of three parts under one fault: the calls that VOD saw, in their order but for the parts, and how it ended. */
async function under(call: string, fault: Fault) {
  const seen: string[] = [];
  const script = createScriptedFaults([{ call, nth: 0, fault }]);
  const world = await newStack({
    env: { QUOTA_MINUTE_MS: '100' },
    faults: (request) => {
      if (request.service === 'vod') seen.push(request.call.replace(/Upload|Part/g, '') || 'part');
      return script(request);
    },
  });
  const body = createBytes(2 * MIB + 5);
  await world.put('film.mp4', body);
  await world.idle();
  const [first] = world.ended;
  if (first?.status === 'SUCCEEDED') {
    const { Metadata } = await world.head('film.mp4');
    expect(sha1(await world.stored(Metadata?.['vod-file-id']))).toBe(sha1(body));
  }
  return { seen: seen.join(' '), error: first?.error };
}

const ALL = 'Init part part part Finish';

test.each<[string, Fault, string]>([
  ['UploadPart', 'part-lost', 'Init part part part Finish Init part Finish'],
  ['UploadPart', 'lost-response', 'Init part part part part Finish'],
  ['UploadPart', 'truncated-body', 'Init part part part part Finish'],
  ['InitUpload', 'lost-response', 'Init Init part part part Finish'],
  ['InitUpload', 'truncated-json', 'Init Init part part part Finish'],
  ['InitUpload', 'parts-unlisted', ALL],
  ['FinishUpload', 'lost-response', 'Init part part part Finish Finish'],
  ['FinishUpload', 'parts-not-visible', 'Init part part part Finish Init Finish'],
  ['FinishUpload', 'upload-lost', 'Init part part part Finish Init part part part Finish'],
  ['GetObject', 'truncated-body', ALL],
  ['GetObject', 'slow-body', ALL],
  ['CopyObject', 'error-in-200', ALL],
  ['CopyObject', '503', ALL],
])('%s, %s: brought over by %s', async (call, fault, seen) => {
  expect(await under(call, fault)).toEqual({ seen, error: undefined });
});

test.each<[string, Fault, string]>([
  ['InitUpload', 'rejected', 'VodRejected'],
  ['FinishUpload', 'rejected', 'VodRejected'],
])('%s, %s: the execution says so', async (call, fault, error) => {
  expect(await under(call, fault)).toMatchObject({ error });
});
