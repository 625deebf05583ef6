import { describe, expect, test } from 'vitest';
import { InvalidInput, InvalidSetting, QuotaExceeded } from '../../../lib/errors.ts';
import { DeadlineExceeded, deadlineFrom } from '../../../lib/invocation/deadline.ts';
import { type DispatchServices, dispatch, type MessageResult } from '../../../lib/trigger/dispatch.ts';
import { messagesOf } from '../../../lib/trigger/events.ts';
import { sqsRecord } from '../../support/sqs.ts';

const eventBridge = (key: string, detail: object = {}, object: object = {}): string =>
  JSON.stringify({
    source: 'aws.s3',
    'detail-type': 'Object Created',
    detail: { bucket: { name: 'films' }, object: { key, etag: 'e', size: 5, ...object }, ...detail },
  });

/** Services that record what is asked of them. Each can be replaced. */
function fakeServices(replaced: Partial<DispatchServices> = {}) {
  const calls: string[] = [];
  const services: DispatchServices = {
    startExecution: async (name, { key }) => {
      calls.push(`start ${key}`);
      return { name, status: 'started' };
    },
    isWrittenBack: async ({ key }) => {
      calls.push(`head ${key}`);
      return false;
    },
    quota: { take: async (action) => void calls.push(`take ${action}`) },
    admission: { count: async () => 0, appliesTo: (bytes) => bytes > 1000 },
    queue: {
      postpone: async (handle, seconds) => void calls.push(`postpone ${handle} ${seconds}`),
      reject: async (body, reason) => void calls.push(`reject ${body} ${reason}`),
    },
    clock: { now: Date.now },
    random: () => 0.5,
    ...replaced,
  };
  return { services, calls };
}

const later = () => deadlineFrom(() => 60_000);

async function run(event: unknown, services: DispatchServices, deadline = later()): Promise<MessageResult[]> {
  try {
    const results: MessageResult[] = [];
    for await (const result of dispatch(messagesOf(event), services, deadline, 'invocation'))
      results.push(result);
    return results;
  } finally {
    deadline.release();
  }
}

const batchOf = (...bodies: string[]) => ({ Records: bodies.map((body, n) => sqsRecord(`m${n}`, body)) });
const failing = (error: unknown) => async () => {
  throw error;
};

test('takes the quota before each execution, in the order of the messages', async () => {
  const { services, calls } = fakeServices();
  const results = await run(batchOf(eventBridge('a.mp4'), eventBridge('b.mp4')), services);
  expect(calls).toEqual(['take StartExecution', 'start a.mp4', 'take StartExecution', 'start b.mp4']);
  expect(results).toMatchObject([
    { messageId: 'm0', outcome: 'done', objects: [{ status: 'started', request: { key: 'a.mp4' } }] },
    { messageId: 'm1', outcome: 'done', objects: [{ status: 'started', request: { key: 'b.mp4' } }] },
  ]);
});

describe('a message that can never work', () => {
  test('goes to the dead letters with the reason, and the others do not', async () => {
    const { services, calls } = fakeServices();
    const results = await run(batchOf('{"order":1}', eventBridge('b.mp4')), services);
    expect(calls[0]).toMatch(/^reject \{"order":1\} message m0: expected an S3 notification/);
    expect(results.map(({ outcome }) => outcome)).toEqual(['rejected', 'done']);
  });

  test('includes an event whose execution name belongs to another object', async () => {
    const { services, calls } = fakeServices({ startExecution: failing(new InvalidInput('another object')) });
    const results = await run(batchOf(eventBridge('a.mp4')), services);
    expect(calls.at(-1)).toMatch(/^reject .* another object$/);
    expect(results).toMatchObject([{ outcome: 'rejected' }]);
  });

  test('stays in the queue when the dead-letter queue is not available', async () => {
    const { services, calls } = fakeServices();
    const queue = { ...services.queue, reject: failing(new Error('down')) };
    const results = await run(batchOf('{}'), { ...services, queue });
    expect(calls).toEqual([expect.stringMatching(/^postpone handle of m0 \d+$/)]);
    expect(results).toMatchObject([{ outcome: 'failed', error: { message: 'down' } }]);
  });
});

describe('an error that may pass', () => {
  const postponements = async (error: unknown, receives: number, random: number): Promise<MessageResult> => {
    const { services } = fakeServices({ startExecution: failing(error), random: () => random });
    const [result] = await run({ Records: [sqsRecord('m', eventBridge('a.mp4'), receives)] }, services);
    if (!result) throw new Error('no result');
    return result;
  };

  test.each([
    ['InvalidSetting', new InvalidSetting('x'), 'failed'],
    ['throttling', Object.assign(new Error('x'), { name: 'ThrottlingException' }), 'failed'],
    ['QuotaExceeded', new QuotaExceeded('x'), 'waiting'],
  ])('%s postpones the message, and %3$s is its outcome', async (_, error, outcome) => {
    expect(await postponements(error, 1, 0)).toMatchObject({ outcome, error });
  });

  test('postpones for longer each time, from half a minute to a quarter of an hour', async () => {
    const seconds = async (error: Error, random: number) =>
      Promise.all(
        [1, 2, 5, 10, 1000].map(async (receives) => {
          const result = await postponements(error, receives, random);
          return 'seconds' in result ? result.seconds : undefined;
        }),
      );
    expect(await seconds(new Error('x'), 0.999_999)).toEqual([30, 45, 152, 900, 900]);
    expect(await seconds(new Error('x'), 0)).toEqual([23, 34, 114, 675, 675]);
    expect(await seconds(new QuotaExceeded('x'), 0.999_999)).toEqual([60, 90, 304, 900, 900]);
  });

  test('leaves a message to the visibility timeout when it cannot be postponed', async () => {
    const { services } = fakeServices({ startExecution: failing(new Error('x')) });
    const queue = { ...services.queue, postpone: failing(new Error('down')) };
    const results = await run(batchOf(eventBridge('a.mp4')), { ...services, queue });
    expect(results).toMatchObject([{ outcome: 'failed', seconds: undefined, error: { message: 'x' } }]);
  });
});

test('postpones the rest of the batch when the time is over', async () => {
  const stop = new AbortController();
  const { services, calls } = fakeServices({
    quota: {
      async take(_, signal) {
        if (calls.includes('start a.mp4')) stop.abort(new DeadlineExceeded('over'));
        signal.throwIfAborted();
      },
    },
  });
  const deadline = { ...later(), signal: stop.signal };
  const results = await run(
    batchOf(...['a.mp4', 'b.mp4', 'c.mp4'].map((key) => eventBridge(key))),
    services,
    deadline,
  );
  expect(results.map(({ outcome }) => outcome)).toEqual(['done', 'waiting', 'waiting']);
  expect(calls).toEqual([
    'start a.mp4',
    expect.stringMatching(/^postpone.*m1/),
    expect.stringMatching(/^postpone.*m2/),
  ]);
});

describe('the echo of a write-back', () => {
  test.each(['CopyObject', 'CompleteMultipartUpload'])(
    'starts nothing and takes no quota (%s)',
    async (reason) => {
      const { services, calls } = fakeServices({ isWrittenBack: async () => true });
      const results = await run(batchOf(eventBridge('a.mp4', { reason })), services);
      expect(calls).toEqual([]);
      expect(results).toMatchObject([{ outcome: 'done', objects: [{ status: 'unchanged' }] }]);
    },
  );

  test('is not looked for when the object was put', async () => {
    const { services, calls } = fakeServices({ isWrittenBack: async () => true });
    await run(batchOf(eventBridge('a.mp4', { reason: 'PutObject' })), services);
    expect(calls).toContain('start a.mp4');
  });

  test('starts an execution in any doubt', async () => {
    const { services, calls } = fakeServices();
    await run(batchOf(eventBridge('a.mp4', { reason: 'CopyObject' })), services);
    expect(calls).toEqual(['head a.mp4', 'take StartExecution', 'start a.mp4']);
  });
});

test('postpones large objects for up to an hour when a hundred others are ahead, and starts small ones', async () => {
  const { services, calls } = fakeServices({
    admission: { count: async () => 101, appliesTo: (bytes) => bytes > 1000 },
  });
  const results = await run(
    batchOf(eventBridge('a.mp4', {}, { size: 2000 }), eventBridge('b.mp4')),
    services,
  );
  expect(results).toMatchObject([{ outcome: 'waiting', seconds: 2250 }, { outcome: 'done' }]);
  expect(calls).toEqual(['postpone handle of m0 2250', 'take StartExecution', 'start b.mp4']);
});

test('starts a large object whose message is ten days old, before the queue deletes it', async () => {
  const { services, calls } = fakeServices({
    admission: { count: async () => 101, appliesTo: () => true },
  });
  const record = sqsRecord('m', eventBridge('a.mp4'), 400, Date.now() - 10 * 86_400_000);
  await run({ Records: [record] }, services);
  expect(calls).toEqual(['take StartExecution', 'start a.mp4']);
});

describe('an event outside a queue', () => {
  test('starts an execution for each manual request', async () => {
    const { services } = fakeServices();
    const results = await run({ bucket: 'films', key: 'a.mp4' }, services);
    expect(results).toMatchObject([
      { messageId: undefined, outcome: 'done', objects: [{ status: 'started' }] },
    ]);
  });

  test('fails as a whole, also for want of quota', async () => {
    const full = new QuotaExceeded('later');
    const { services, calls } = fakeServices({ quota: { take: failing(full) } });
    await expect(run({ bucket: 'films', key: 'a.mp4' }, services)).rejects.toBe(full);
    await expect(run({ order: 1 }, services)).rejects.toThrow(InvalidInput);
    expect(calls).toEqual([]);
  });
});
