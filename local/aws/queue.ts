import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import * as v from 'valibot';
import { JsonStore } from '../../cli/json-store.ts';
import { DEPLOYMENT_DEFAULTS } from '../../deploy/defaults.ts';

const Message = v.object({ messageId: v.string(), body: v.string(), receives: v.number() });
export type Message = v.InferOutput<typeof Message>;

/** The event that the trigger receives from SQS. */
export type SqsEvent = Readonly<{
  Records: readonly Readonly<{ eventSource: 'aws:sqs'; messageId: string; body: string }>[];
}>;

/** Invokes the trigger. Returns the IDs of the messages that failed. */
export type Deliver = (event: SqsEvent) => Promise<readonly string[]>;

/**
 * The queue in front of the trigger. Messages are stored on disk until the trigger accepts them, or until they have failed
 * as often as the deployed redrive policy permits. Then they become dead letters.
 */
export class Queue extends EventEmitter<{ deadLetter: [Message] }> {
  readonly #messages: JsonStore<typeof Message>;
  readonly #deadLetters: JsonStore<typeof Message>;
  readonly #deliver: Deliver;
  readonly #waiting: Message[];
  #delivering: Promise<void> | undefined;
  #isStopped = false;
  #sent = 0;

  constructor(dir: string, deliver: Deliver) {
    super();
    this.#messages = new JsonStore(join(dir, 'queue'), Message);
    this.#deadLetters = new JsonStore(join(dir, 'dead-letters'), Message);
    this.#deliver = deliver;
    this.#waiting = this.#messages.all();
  }

  /** The message is on disk when this returns. It is delivered soon after. */
  send(body: unknown): void {
    this.#put(JSON.stringify(body));
  }

  /** Messages that wait for the trigger. */
  get waiting(): number {
    return this.#waiting.length;
  }

  deadLetters(): Message[] {
    return this.#deadLetters.all();
  }

  /** Sends the dead letters again, as new messages. Returns their number. */
  redrive(): number {
    const letters = this.#deadLetters.all();
    for (const { messageId, body } of letters) {
      this.#put(body); // before the deletion: a message that arrives twice is harmless, a lost one is not
      this.#deadLetters.delete(messageId);
    }
    return letters.length;
  }

  #put(body: string): void {
    // The IDs sort by the time of sending, also after a restart.
    const order = `${String(Date.now()).padStart(15, '0')}-${String(this.#sent++).padStart(9, '0')}`;
    const message = { messageId: `${order}-${randomUUID()}`, body, receives: 0 };
    this.#messages.put(message.messageId, message);
    this.#waiting.push(message);
    this.start();
  }

  /** Delivers the waiting messages. */
  start(): void {
    if (this.#isStopped || this.#waiting.length === 0) return;
    this.#delivering ??= this.#run().finally(() => {
      this.#delivering = undefined;
      this.start();
    });
  }

  get isBusy(): boolean {
    return this.#delivering !== undefined;
  }

  /** Resolves when no message is waiting. */
  async idle(): Promise<void> {
    while (this.#delivering) await this.#delivering;
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    await this.#delivering;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped && this.#waiting.length > 0) {
      const batch = this.#waiting
        .splice(0, DEPLOYMENT_DEFAULTS.batchSize)
        .map((message) => ({ ...message, receives: message.receives + 1 }));
      const Records = batch.map(({ messageId, body }) => ({
        eventSource: 'aws:sqs' as const,
        messageId,
        body,
      }));
      const failed = await this.#deliver({ Records }).catch(() => batch.map(({ messageId }) => messageId));
      if (this.#isStopped) return; // the result is unknown: the next start delivers the batch again
      for (const message of batch) this.#settle(message, failed.includes(message.messageId));
    }
  }

  #settle(message: Message, isFailed: boolean): void {
    if (isFailed && message.receives < DEPLOYMENT_DEFAULTS.maxReceives) {
      this.#messages.put(message.messageId, message);
      this.#waiting.push(message);
      return;
    }
    if (isFailed) this.#deadLetters.put(message.messageId, message);
    this.#messages.delete(message.messageId);
    if (isFailed) this.emit('deadLetter', message);
  }
}
