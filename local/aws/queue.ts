import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import * as v from 'valibot';
import { JsonStore } from '../../cli/json-store.ts';

/** The queue before the trigger, on disk: a message is gone only when the trigger has taken it, or given up on it. */

const Message = v.object({ messageId: v.string(), body: v.string(), receives: v.number() });
export type Message = v.InferOutput<typeof Message>;

/** What the trigger is invoked with, and what it answers: messages that failed, by id. */
export type Deliver = (event: SqsEvent) => Promise<readonly string[]>;
export type SqsEvent = Readonly<{
  Records: readonly Readonly<{ eventSource: 'aws:sqs'; messageId: string; body: string }>[];
}>;

/** Tries of one message before it goes to the dead letters, as the deployment's redrive policy has it. */
const MAX_RECEIVES = 3;
const BATCH = 10;

export class Queue extends EventEmitter<{ deadLetter: [Message] }> {
  readonly #journal: JsonStore<typeof Message>;
  readonly #deadLetters: JsonStore<typeof Message>;
  readonly #deliver: Deliver;
  readonly #waiting: Message[];
  #delivering: Promise<void> | undefined;
  #stopped = false;
  #sent = 0;

  constructor(dir: string, deliver: Deliver) {
    super();
    this.#journal = new JsonStore(join(dir, 'queue'), Message);
    this.#deadLetters = new JsonStore(join(dir, 'dead-letters'), Message);
    this.#deliver = deliver;
    this.#waiting = this.#journal.all();
  }

  /** On disk when it returns; delivered soon after. */
  send(body: unknown): void {
    this.#put(JSON.stringify(body));
  }

  /** How many wait for the trigger. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** What the trigger could not take, with its body as it came. */
  deadLetters(): Message[] {
    return this.#deadLetters.all();
  }

  /** The dead letters become messages like any other, new ones. Answers how many. */
  redrive(): number {
    const letters = this.#deadLetters.all();
    for (const { messageId, body } of letters) {
      this.#put(body); // first, since a message that comes twice is nothing, a lost one is
      this.#deadLetters.delete(messageId);
    }
    return letters.length;
  }

  #put(body: string): void {
    // Names sort as they were sent, also across restarts.
    const order = `${String(Date.now()).padStart(15, '0')}-${String(this.#sent++).padStart(9, '0')}`;
    const message = { messageId: `${order}-${randomUUID()}`, body, receives: 0 };
    this.#journal.put(message.messageId, message);
    this.#waiting.push(message);
    this.start();
  }

  /** Delivers what is waiting. */
  start(): void {
    if (this.#stopped || this.#waiting.length === 0) return;
    this.#delivering ??= this.#run().finally(() => {
      this.#delivering = undefined;
      this.start();
    });
  }

  get isBusy(): boolean {
    return this.#delivering !== undefined;
  }

  /** Settles when nothing is waiting. */
  async idle(): Promise<void> {
    while (this.#delivering) await this.#delivering;
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await this.#delivering;
  }

  async #run(): Promise<void> {
    while (!this.#stopped && this.#waiting.length > 0) {
      const batch = this.#waiting
        .splice(0, BATCH)
        .map((message) => ({ ...message, receives: message.receives + 1 }));
      const failed = new Set(
        await this.#deliver({ Records: batch.map(recordOf) }).catch(() => batch.map(idOf)),
      );
      if (this.#stopped) return; // undecided: it is delivered again at the next start
      for (const message of batch) this.#settle(message, failed.has(message.messageId));
    }
  }

  #settle(message: Message, failed: boolean): void {
    if (failed && message.receives < MAX_RECEIVES) {
      this.#journal.put(message.messageId, message);
      this.#waiting.push(message);
      return;
    }
    if (failed) this.#deadLetters.put(message.messageId, message);
    this.#journal.delete(message.messageId);
    if (failed) this.emit('deadLetter', message);
  }
}

const idOf = ({ messageId }: Message): string => messageId;
const recordOf = ({ messageId, body }: Message) => ({ eventSource: 'aws:sqs' as const, messageId, body });
