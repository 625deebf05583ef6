import type { VirtualClock } from './clock.ts';
import { SQS } from './model.ts';

export type QueueMessage = {
  readonly messageId: string;
  readonly body: string;
  readonly sentAt: number;
  receiveCount: number;
};

export type Queue = Readonly<{
  send(body: string): void;
  /** Waits for messages, up to the time of a long poll, and hides them. */
  receive(limit: number): Promise<QueueMessage[]>;
  delete(message: QueueMessage): Promise<void>;
  /** Makes a received message visible again after `ms`. */
  changeVisibility(messageId: string, ms: number): Promise<void>;
  deadLetters: string[];
  requests(): number;
  /** Messages that are visible or hidden. */
  size(): number;
}>;

/** An SQS queue: at least once, with visibility, receive counts, and dead letters. */
export function createQueue(
  clock: VirtualClock,
  random: () => number,
  { visibilityMs, maxReceives }: { visibilityMs: number; maxReceives: number },
): Queue {
  const visible: QueueMessage[] = [];
  const hidden = new Map<string, { message: QueueMessage; cancel: () => void }>();
  const deadLetters: string[] = [];
  let [first, sent, requests] = [0, 0, 0];
  let wake: (() => void)[] = [];

  const show = (message: QueueMessage): void => {
    hidden.delete(message.messageId);
    visible.push(message);
    const [next, ...others] = wake;
    wake = others;
    next?.();
  };
  const hide = (message: QueueMessage, ms: number): void => {
    hidden.get(message.messageId)?.cancel();
    const cancel = clock.schedule(ms, () => show(message));
    hidden.set(message.messageId, { message, cancel });
  };
  function take(limit: number): QueueMessage[] {
    const taken: QueueMessage[] = [];
    while (taken.length < limit && first < visible.length) {
      const message = visible[first++];
      if (!message) break;
      message.receiveCount++;
      if (message.receiveCount > maxReceives || clock.now() - message.sentAt > SQS.retentionMs) {
        deadLetters.push(message.body);
        continue;
      }
      hide(message, visibilityMs);
      taken.push(message);
    }
    if (first > 10_000) {
      visible.splice(0, first);
      first = 0;
    }
    return taken;
  }

  return {
    deadLetters,
    requests: () => requests,
    size: () => visible.length - first + hidden.size,
    send(body) {
      requests++;
      const create = (): QueueMessage => ({
        messageId: `message-${sent++}`,
        body,
        sentAt: clock.now(),
        receiveCount: 0,
      });
      show(create());
      if (random() < SQS.duplicates) clock.schedule(1000 * random(), () => show(create()));
    },
    async receive(limit) {
      requests++;
      await clock.sleep(SQS.requestMs);
      const messages = take(limit);
      if (messages.length > 0) return messages;
      await new Promise<void>((resolve) => {
        const stop = clock.schedule(SQS.longPollMs, () => {
          wake = wake.filter((other) => other !== end);
          resolve();
        });
        const end = (): void => {
          stop();
          resolve();
        };
        wake.push(end);
      });
      return take(limit);
    },
    async delete({ messageId }) {
      requests += 0.1; // DeleteMessageBatch of ten
      hidden.get(messageId)?.cancel();
      hidden.delete(messageId);
    },
    async changeVisibility(messageId, ms) {
      requests++;
      await clock.sleep(SQS.requestMs);
      const entry = hidden.get(messageId);
      if (entry) hide(entry.message, ms);
    },
  };
}
