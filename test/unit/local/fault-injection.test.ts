import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createSeededFaults,
  type Fault,
  injectFault,
  listFaults,
  PIPELINE_CALLS,
  type ServiceCall,
} from '../../../local/fault-injection.ts';
import { listen } from '../../../local/http-server.ts';
import { accelerateTimers } from '../../support/accelerate-timers.ts';
import { newStack } from '../../support/stack.ts';
import { createBytes, sha1 } from '../../support/values.ts';

describe('createSeededFaults', () => {
  const calls: ServiceCall[] = [
    ...PIPELINE_CALLS.s3.map((call) => ({ service: 's3' as const, call })),
    ...PIPELINE_CALLS.vod.map((call) => ({ service: 'vod' as const, call })),
  ];

  test('selects the same faults for a seed, in whatever order the calls arrive', () => {
    const select = (seed: number, requests: readonly ServiceCall[]) => {
      const faults = createSeededFaults(0.5, seed);
      const selected = requests.map((request) => ({ call: request.call, fault: faults(request) }));
      return Object.groupBy(selected, ({ call }) => call);
    };
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.constantFrom(...calls), { maxLength: 60 }), (seed, requests) => {
        const byCall = requests.toSorted((a, b) => a.call.localeCompare(b.call));
        expect(select(seed, requests)).toEqual(select(seed, byCall));
      }),
    );
  });

  test('selects faults at the given rate, and only those that the call can meet', () => {
    const uploadPart = { service: 'vod', call: 'UploadPart' } as const;
    for (const rate of [0, 0.05, 1]) {
      const faults = createSeededFaults(rate, 7);
      const selected = Array.from({ length: 4000 }, () => faults(uploadPart)).filter((fault) => fault);
      expect(Math.abs(selected.length / 4000 - rate)).toBeLessThan(0.01);
      expect(listFaults(uploadPart)).toEqual(expect.arrayContaining(selected));
    }
    expect(createSeededFaults(1, 7)({ service: 's3', call: 'PutObject' })).toBeUndefined();
    expect(listFaults({ service: 's3', call: 'HeadObject' })).not.toContain('part-lost');
  });
});

test('injectFault closes a connection that is already ending', async () => {
  const countSockets = () =>
    process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
  const before = countSockets();
  const server = createServer((request) => {
    request.socket.end();
    void injectFault('early-reset', request);
  });
  const { port, close } = await listen(server, 0);
  const client = connect(port, '127.0.0.1').resume();
  client.write('GET / HTTP/1.1\r\nHost: here\r\n\r\n');
  await once(client, 'close');
  await close();
  await expect.poll(countSockets).toBe(before);
});

describe('an upload of three parts, the first request of one call meets a fault', () => {
  /** Returns the calls that VOD received, in order, and the error of the execution. */
  async function uploadWith(call: string, fault: Fault) {
    accelerateTimers(); // most of these tests is the wait before a retry
    const received: string[] = [];
    let isInjected = false;
    const stack = await newStack({
      env: { QUOTA_MINUTE_MS: '100' },
      faults: (request) => {
        if (request.service === 'vod') received.push(request.call.replace(/Upload|Part/g, '') || 'part');
        if (isInjected || request.call !== call) return undefined;
        isInjected = true;
        return fault;
      },
    });
    const body = createBytes(2 * 1_048_576 + 5);
    await stack.put('film.mp4', body);
    await stack.idle();
    const [first] = stack.ended;
    if (first?.status === 'SUCCEEDED') {
      const { Metadata } = await stack.head('film.mp4');
      expect(sha1(await stack.readStoredFile(Metadata?.['vod-file-id']))).toBe(sha1(body));
    }
    return { received: received.join(' '), error: first?.error };
  }

  const NO_REPEAT = 'Init part part part Finish';

  test.each<[string, Fault, string]>([
    ['UploadPart', 'part-lost', 'Init part part part Finish Init part Finish'],
    ['UploadPart', 'lost-response', 'Init part part part part Finish'],
    ['UploadPart', 'truncated-body', 'Init part part part part Finish'],
    ['InitUpload', 'lost-response', 'Init Init part part part Finish'],
    ['InitUpload', 'truncated-json', 'Init Init part part part Finish'],
    ['InitUpload', 'parts-unlisted', NO_REPEAT],
    ['FinishUpload', 'lost-response', 'Init part part part Finish Finish'],
    ['FinishUpload', 'parts-not-visible', 'Init part part part Finish Init Finish'],
    ['FinishUpload', 'upload-lost', 'Init part part part Finish Init part part part Finish'],
    ['GetObject', 'truncated-body', NO_REPEAT],
    ['GetObject', 'slow-body', NO_REPEAT],
    ['CopyObject', 'error-in-200', NO_REPEAT],
    ['CopyObject', '503', NO_REPEAT],
  ])('%s, %s: succeeds with %s', async (call, fault, received) => {
    expect(await uploadWith(call, fault)).toEqual({ received, error: undefined });
  });

  test.each<[string, Fault, string]>([
    ['InitUpload', 'rejected', 'VodRejected'],
    ['FinishUpload', 'rejected', 'VodRejected'],
  ])('%s, %s: fails with %s', async (call, fault, error) => {
    expect(await uploadWith(call, fault)).toMatchObject({ error });
  });
});
