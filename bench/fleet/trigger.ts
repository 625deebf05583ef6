import { DEPLOYMENT_DEFAULTS } from '../../deploy/defaults.ts';
import { type DispatchServices, dispatch } from '../../lib/trigger/dispatch.ts';
import { messagesOf } from '../../lib/trigger/events.ts';
import type { VirtualClock } from './clock.ts';
import type { Lambda } from './lambda.ts';
import type { Queue, QueueMessage } from './queue.ts';

/** The mapping between the queue and the trigger: it polls, invokes the trigger, and deletes what the trigger handled. */
export function startTrigger<Clients>(
  clock: VirtualClock,
  queue: Queue,
  lambda: Lambda<Clients>,
  concurrency: number,
  visibilityMs: number,
  servicesOf: (clients: Clients) => DispatchServices,
): void {
  async function invoke(messages: readonly QueueMessage[]): Promise<Set<string>> {
    const waiting = new Set<string>();
    await lambda.invoke('trigger', async ({ clients }, deadline) => {
      const batch = messagesOf({ Records: messages.map(toRecord) });
      for await (const { messageId, outcome } of dispatch(batch, servicesOf(clients), deadline, 'invocation'))
        if (messageId !== undefined && (outcome === 'waiting' || outcome === 'failed'))
          waiting.add(messageId);
    });
    return waiting;
  }

  /** A throttled invocation is tried again until the messages are visible to others again. */
  async function deliver(messages: readonly QueueMessage[]): Promise<void> {
    const receivedAt = clock.now();
    for (let delay = 1_000; ; delay = Math.min(2 * delay, 30_000)) {
      try {
        const waiting = await invoke(messages);
        for (const message of messages) if (!waiting.has(message.messageId)) await queue.delete(message);
        return;
      } catch {
        if (clock.now() + delay - receivedAt > visibilityMs) return;
        await clock.sleep(delay);
      }
    }
  }

  async function poll(): Promise<void> {
    for (;;) {
      const messages = await queue.receive(DEPLOYMENT_DEFAULTS.batchSize);
      if (messages.length > 0) await deliver(messages);
    }
  }
  for (let n = 0; n < concurrency; n++) void poll();
}

/** https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
const toRecord = ({ messageId, body, receiveCount, sentAt }: QueueMessage) => ({
  eventSource: 'aws:sqs',
  messageId,
  receiptHandle: messageId,
  body,
  attributes: {
    ApproximateReceiveCount: String(receiveCount),
    SentTimestamp: String(Math.floor(sentAt)),
  },
});
