import { InvalidInput, QuotaExceeded } from '../errors.ts';
import type { Clock, Deadline } from '../invocation/deadline.ts';
import type { Admission } from '../quota/admission.ts';
import type { Quota } from '../quota/quota.ts';
import type { UploadRequest } from '../schemas.ts';
import type { Message, ObjectCreated, ReceivedMessage } from './events.ts';
import { executionName, type Started } from './executions.ts';
import type { QueueClient } from './queue.ts';

/**
 * Decides what happens to each message: docs/decisions/0012-the-queue-is-the-buffer.md. The queue holds back what cannot
 * start yet. A message that can never work goes to the dead letters. Nothing else leaves the queue without its executions.
 */

export type DispatchServices = Readonly<{
  startExecution(name: string, request: UploadRequest, signal: AbortSignal): Promise<Started>;
  /** Whether the object is the copy that a write-back made, so that nothing is left to do. */
  isWrittenBack(request: UploadRequest, signal: AbortSignal): Promise<boolean>;
  quota: Pick<Quota, 'take'>;
  admission: Pick<Admission, 'appliesTo' | 'count'>;
  queue: Pick<QueueClient, 'postpone' | 'reject'>;
  clock: Pick<Clock, 'now'>;
  /** At least 0 and less than 1. */
  random(): number;
}>;

/** `unchanged`: the event is the echo of a write-back. */
export type ObjectResult = Readonly<{ request: UploadRequest }> &
  (Started | Readonly<{ status: 'unchanged' }>);

/**
 * `done`: the queue may delete the message. `rejected`: the same, and the dead letters have a copy. `waiting`: the message
 * comes back when it may have its turn. `failed`: it comes back, and an operator may have to correct something until then.
 * `seconds`: until it comes back, or after the visibility timeout of the queue.
 */
export type MessageResult = Readonly<{ messageId: string | undefined; objects: readonly ObjectResult[] }> &
  (Readonly<{ outcome: 'done' }> | Settlement);

/** With more objects than this, further large objects wait in the queue and not in executions. */
const MAX_ADMISSION_ENTRIES = 100;

/** An older message starts its execution, which can wait for a year. The queue deletes a message after 14 days. */
const MAX_POSTPONED_MS = 10 * 86_400_000;

/**
 * Handles messages one after the other, and yields the result of each.
 * @throws any error of an event outside a queue, which fails as a whole
 */
export async function* dispatch(
  messages: readonly Message[],
  services: DispatchServices,
  deadline: Deadline,
  invocationId: string,
): AsyncGenerator<MessageResult> {
  for (const message of messages) yield await dispatchMessage(message, services, deadline, invocationId);
}

async function dispatchMessage(
  { received, parseObjects }: Message,
  services: DispatchServices,
  { signal }: Deadline,
  invocationId: string,
): Promise<MessageResult> {
  const objects: ObjectResult[] = [];
  const messageId = received?.messageId;
  try {
    for (const object of parseObjects())
      objects.push(await dispatchObject(object, received, services, signal, invocationId));
    return { messageId, objects, outcome: 'done' };
  } catch (error) {
    if (received === undefined) throw error;
    return { messageId, objects, ...(await settle(received, error, services, signal.aborted)) };
  }
}

async function dispatchObject(
  { request, dedupeKey, isCopy }: ObjectCreated,
  received: ReceivedMessage | undefined,
  { startExecution, isWrittenBack, quota, admission, clock }: DispatchServices,
  signal: AbortSignal,
  invocationId: string,
): Promise<ObjectResult> {
  signal.throwIfAborted();
  if (isCopy && (await isWrittenBack(request, signal))) return { request, status: 'unchanged' };
  const canWait = received && clock.now() < received.sentAt + MAX_POSTPONED_MS;
  if (canWait && request.size !== undefined && admission.appliesTo(request.size)) {
    const entries = await admission.count();
    if (entries > MAX_ADMISSION_ENTRIES) throw new TooManyLargeObjects(entries);
  }
  await quota.take('StartExecution', signal);
  // Each manual request starts an execution, even for a known version.
  const salt = dedupeKey === 'manual' ? (received?.messageId ?? invocationId) : dedupeKey;
  const name = executionName(request, salt);
  return { request, ...(await startExecution(name, request, signal)) };
}

type Settlement =
  | Readonly<{ outcome: 'rejected'; error: InvalidInput }>
  | Readonly<{ outcome: 'waiting' | 'failed'; error: unknown; seconds: number | undefined }>;

async function settle(
  message: ReceivedMessage,
  error: unknown,
  services: DispatchServices,
  isOutOfTime: boolean,
): Promise<Settlement> {
  if (!(error instanceof InvalidInput)) return postpone(message, error, services, isOutOfTime);
  try {
    await services.queue.reject(message.body, error.message);
    return { outcome: 'rejected', error };
  } catch (failure) {
    return postpone(message, failure, services, isOutOfTime);
  }
}

async function postpone(
  { receiptHandle, receives }: ReceivedMessage,
  error: unknown,
  { queue, random }: DispatchServices,
  isOutOfTime: boolean,
): Promise<Settlement> {
  const isWaiting = isOutOfTime || error instanceof QuotaExceeded || error instanceof TooManyLargeObjects;
  const outcome = isWaiting ? 'waiting' : 'failed';
  const seconds = retrySeconds(error, receives, isWaiting, random());
  try {
    await queue.postpone(receiptHandle, seconds);
    return { outcome, error, seconds };
  } catch {
    return { outcome, error, seconds: undefined }; // the visibility timeout brings the message back
  }
}

/**
 * Seconds until a message is tried again. They grow with the receives, so that an outage of two weeks stays far below the
 * `maxReceives` of the queue.
 * @param random at least 0 and less than 1
 */
function retrySeconds(error: unknown, receives: number, isWaiting: boolean, random: number): number {
  if (error instanceof TooManyLargeObjects) return Math.round(900 + 2700 * random);
  const seconds = Math.min(MAX_RETRY_SECONDS, (isWaiting ? 60 : 30) * 1.5 ** (receives - 1));
  return Math.round(seconds * (0.75 + random / 4));
}

const MAX_RETRY_SECONDS = 900;

/** The object waits in the queue, because many others are ahead of it. */
class TooManyLargeObjects extends Error {
  constructor(entries: number) {
    super(`expected at most ${MAX_ADMISSION_ENTRIES} large objects in work, got ${entries}. Trying later.`);
  }
}
