import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { DEPLOYMENT_DEFAULTS } from '../../deploy/defaults.ts';
import { type Message, MessageQueue, type Received, sentAtOf } from './message-queue.ts';

/** The event that the trigger receives from SQS. https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
export type SqsEvent = Readonly<{ Records: readonly SqsRecord[] }>;
type SqsRecord = Readonly<{
  eventSource: 'aws:sqs';
  messageId: string;
  receiptHandle: string;
  body: string;
  attributes: Readonly<{ ApproximateReceiveCount: string; SentTimestamp: string }>;
}>;

/** Invokes the trigger. Returns the IDs of the messages that failed. */
export type Deliver = (event: SqsEvent) => Promise<readonly string[]>;

const { batchSize, maxReceives, visibilityTimeoutMs } = DEPLOYMENT_DEFAULTS;

/** A postponed message waits a sixtieth of its time in the cloud, at most 2 s: a local run must not wait for minutes. */
export const localPostponementMs = (seconds: number): number => Math.min(2000, (seconds * 1000) / 60);

/**
 * The queue in front of the trigger, its dead letters, and the event source mapping that delivers the messages, one batch
 * after the other. A message stays on disk until the trigger accepts it.
 */
export class Queue extends EventEmitter<{ deadLetter: [Message] }> {
  readonly messages: MessageQueue;
  readonly deadLetters: MessageQueue;
  readonly #deliver: Deliver;
  #polling: Promise<void> | undefined;
  #wake = (): void => {};
  #isStopped = false;

  constructor(dir: string, deliver: Deliver) {
    super();
    this.deadLetters = new MessageQueue(join(dir, 'dead-letters'));
    this.messages = new MessageQueue(join(dir, 'queue'), { maxReceives, deadLetters: this.deadLetters });
    this.deadLetters.onArrival = (message) => this.emit('deadLetter', message);
    this.messages.onArrival = () => this.start();
    this.#deliver = deliver;
  }

  /** The message is on disk when this returns. It is delivered soon after. */
  send(body: unknown): void {
    this.messages.send(JSON.stringify(body));
  }

  /** Sends the dead letters again, as new messages. Returns their number. */
  redrive(): number {
    return this.deadLetters.moveTo(this.messages);
  }

  /** Delivers the messages. */
  start(): void {
    this.#wake();
    if (this.#isStopped || this.messages.size === 0) return;
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined;
      this.start();
    });
  }

  get isBusy(): boolean {
    return this.#polling !== undefined;
  }

  /** Resolves when no message is left. */
  async idle(): Promise<void> {
    while (this.#polling) await this.#polling;
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await this.#polling;
  }

  async #poll(): Promise<void> {
    while (!this.#isStopped && this.messages.size > 0) {
      const batch = this.messages.receive(batchSize, visibilityTimeoutMs);
      if (batch.length > 0) await this.#process(batch);
      else if (this.messages.size > 0) await this.#sleep(this.messages.nextVisibleAt - Date.now());
    }
  }

  async #process(batch: readonly Received[]): Promise<void> {
    const Records = batch.map(({ messageId, receiptHandle, body, receives }) => ({
      eventSource: 'aws:sqs' as const,
      ...{ messageId, receiptHandle, body },
      attributes: { ApproximateReceiveCount: String(receives), SentTimestamp: String(sentAtOf(messageId)) },
    }));
    const failed = await this.#deliver({ Records }).catch(() => undefined);
    if (this.#isStopped) return; // the result is unknown: the next start delivers the batch again
    for (const { messageId, receiptHandle } of batch) {
      if (failed === undefined)
        this.messages.changeVisibility(receiptHandle, localPostponementMs(visibilityTimeoutMs / 1000));
      else if (!failed.includes(messageId)) this.messages.delete(receiptHandle);
    }
  }

  /** Ends early when a message arrives. */
  async #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, Math.max(0, ms));
    await promise;
    clearTimeout(timer);
  }
}
