import { randomBytes, randomUUID } from 'node:crypto';
import * as v from 'valibot';
import { JsonStore } from '../../cli/json-store.ts';
import { ApiError } from './api-error.ts';

const MessageAttribute = v.strictObject({ DataType: v.literal('String'), StringValue: v.string() });
export const MessageAttributes = v.record(v.string(), MessageAttribute);

const Message = v.object({
  messageId: v.string(),
  body: v.string(),
  receives: v.number(),
  attributes: v.optional(MessageAttributes, {}),
});
export type Message = v.InferOutput<typeof Message>;

/** When a message was sent, in milliseconds since 1970. Its ID begins with the time. */
export const sentAtOf = (messageId: string): number => Number.parseInt(messageId, 10);

export type Received = Message & Readonly<{ receiptHandle: string }>;

type Entry = { message: Message; visibleAt: number; receiptHandle?: string };

export type RedrivePolicy = Readonly<{ maxReceives: number; deadLetters: MessageQueue }>;

/**
 * A standard queue of SQS with its messages on disk. Received messages stay hidden until their visibility timeout. Unlike
 * SQS, it delivers in the order of sending, and a restart makes all messages visible.
 */
export class MessageQueue {
  readonly #store: JsonStore<typeof Message>;
  readonly #entries = new Map<string, Entry>();
  readonly #redrivePolicy: RedrivePolicy | undefined;
  #sent = 0;
  /** Called when a message arrives. */
  onArrival: (message: Message) => void = () => {};

  constructor(dir: string, redrivePolicy?: RedrivePolicy) {
    this.#store = new JsonStore(dir, Message);
    this.#redrivePolicy = redrivePolicy;
    for (const message of this.#store.all()) this.#entries.set(message.messageId, { message, visibleAt: 0 });
  }

  /** The message is on disk when this returns. Returns its ID. */
  send(body: string, attributes: Message['attributes'] = {}): string {
    // The IDs sort by the time of sending, also after a restart.
    const order = `${String(Date.now()).padStart(15, '0')}-${String(this.#sent++).padStart(9, '0')}`;
    const messageId = `${order}-${randomUUID()}`;
    this.#add({ messageId, body, receives: 0, attributes });
    return messageId;
  }

  /** Hides up to `max` visible messages for `ms`, and returns them with their receipt handles. */
  receive(max: number, ms: number): Received[] {
    const now = Date.now();
    const received: Received[] = [];
    for (const entry of this.#entries.values()) {
      if (received.length === max) break;
      if (entry.visibleAt > now || this.#moveIfReceivedTooOften(entry.message)) continue;
      entry.message = { ...entry.message, receives: entry.message.receives + 1 };
      entry.visibleAt = now + ms;
      entry.receiptHandle = `${entry.message.messageId} ${randomBytes(8).toString('hex')}`;
      this.#store.put(entry.message.messageId, entry.message);
      received.push({ ...entry.message, receiptHandle: entry.receiptHandle });
    }
    return received;
  }

  /** Ignores a handle that is not the newest of its message, as SQS does. */
  delete(receiptHandle: string): void {
    const entry = this.#find(receiptHandle);
    if (entry) this.#remove(entry.message.messageId);
  }

  /** @throws {ApiError} for a handle that is not the newest of a hidden message */
  changeVisibility(receiptHandle: string, ms: number): void {
    const entry = this.#find(receiptHandle);
    if (!entry) {
      const problem = 'Message does not exist or is not available for visibility timeout change';
      throw new ApiError(
        'InvalidParameterValue',
        `Value ${receiptHandle} for parameter ReceiptHandle is invalid. Reason: ${problem}.`,
      );
    }
    if (entry.visibleAt <= Date.now())
      throw new ApiError('MessageNotInflight', `The message ${entry.message.messageId} is not in flight.`);
    entry.visibleAt = Date.now() + ms;
  }

  /** All messages in the order of sending, hidden ones too. */
  all(): Message[] {
    return [...this.#entries.values()].map(({ message }) => message);
  }

  get size(): number {
    return this.#entries.size;
  }

  get visible(): number {
    const now = Date.now();
    return [...this.#entries.values()].filter(({ visibleAt }) => visibleAt <= now).length;
  }

  /** When the next message becomes visible, in milliseconds since 1970. `Infinity` if there is none. */
  get nextVisibleAt(): number {
    return [...this.#entries.values()].reduce(
      (min, { visibleAt }) => Math.min(min, visibleAt),
      Number.POSITIVE_INFINITY,
    );
  }

  /** Moves all visible messages to another queue as new messages. Returns their number. */
  moveTo(target: MessageQueue): number {
    const now = Date.now();
    const visible = [...this.#entries.values()].filter(({ visibleAt }) => visibleAt <= now);
    for (const { message } of visible) {
      target.send(message.body, message.attributes); // first: a message that arrives twice is harmless, a lost one is not
      this.#remove(message.messageId);
    }
    return visible.length;
  }

  #add(message: Message): void {
    this.#store.put(message.messageId, message);
    this.#entries.set(message.messageId, { message, visibleAt: 0 });
    this.onArrival(message);
  }

  #remove(messageId: string): void {
    this.#store.delete(messageId);
    this.#entries.delete(messageId);
  }

  #moveIfReceivedTooOften(message: Message): boolean {
    if (!this.#redrivePolicy || message.receives < this.#redrivePolicy.maxReceives) return false;
    this.#redrivePolicy.deadLetters.#add(message);
    this.#remove(message.messageId);
    return true;
  }

  #find(receiptHandle: string): Entry | undefined {
    const entry = this.#entries.get(receiptHandle.split(' ', 1)[0] ?? '');
    return entry?.receiptHandle === receiptHandle ? entry : undefined;
  }
}
