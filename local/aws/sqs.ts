import { hash } from 'node:crypto';
import * as v from 'valibot';
import { ApiError, type Operations, parseBody } from './api-error.ts';
import { type Message, MessageAttributes, type MessageQueue } from './message-queue.ts';
import { localPostponementMs, type Queue } from './queue.ts';

export const QUEUE_ARN = 'arn:aws:sqs:us-east-1:000000000000:queue';
export const DEAD_LETTER_QUEUE_ARN = 'arn:aws:sqs:us-east-1:000000000000:dead-letters';

export const queueUrl = (endpoint: string, arn: string): string =>
  `${endpoint}/000000000000/${arn.slice(arn.lastIndexOf(':') + 1)}`;

const QueueUrl = v.string();
/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html */
const VisibilityTimeout = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(43_200));
/** SQS accepts what XML can represent. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html */
const XmlText = v.pipe(
  v.string(),
  v.nonEmpty(),
  v.regex(/^[\t\n\r\x20-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]*$/u, 'Expected characters that XML has'),
);
const MAX_MESSAGE_BYTES = 1024 * 1024;

const GetQueueAttributesInput = v.strictObject({
  QueueUrl,
  AttributeNames: v.optional(v.array(v.literal('ApproximateNumberOfMessages'))),
});
const ChangeMessageVisibilityInput = v.strictObject({
  QueueUrl,
  ReceiptHandle: v.string(),
  VisibilityTimeout,
});
const SendMessageInput = v.pipe(
  v.strictObject({
    QueueUrl,
    MessageBody: XmlText,
    MessageAttributes: v.optional(
      v.record(v.string(), v.strictObject({ ...MessageAttributes.value.entries, StringValue: XmlText })),
      {},
    ),
  }),
  v.check(
    (input) =>
      Buffer.byteLength(JSON.stringify([input.MessageBody, input.MessageAttributes])) <= MAX_MESSAGE_BYTES,
    'Expected a message of at most 1 MiB',
  ),
);
const ReceiveMessageInput = v.strictObject({
  QueueUrl,
  MaxNumberOfMessages: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10)), 1),
  VisibilityTimeout,
  /** Not needed: all messages are in one place. */
  WaitTimeSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(20))),
  MessageAttributeNames: v.optional(v.array(v.string()), []),
});
const StartMoveInput = v.strictObject({
  SourceArn: v.string(),
  DestinationArn: v.optional(v.literal(QUEUE_ARN), QUEUE_ARN),
});
const ListMovesInput = v.object({ SourceArn: v.string() });

/**
 * The SQS actions of the trigger and of the operators' commands. Each rejects fields that it does not implement.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
 */
export function sqsOperations({ messages, deadLetters }: Queue): Operations {
  const tasks: { moved: number; started: number }[] = [];
  const queues: Readonly<Record<string, MessageQueue>> = { queue: messages, 'dead-letters': deadLetters };

  function queueAt(url: string): MessageQueue {
    const name = url.slice(url.lastIndexOf('/') + 1);
    const queue = Object.hasOwn(queues, name) ? queues[name] : undefined;
    if (queue) return queue;
    throw new ApiError('QueueDoesNotExist', `The specified queue does not exist: ${url}`);
  }

  return {
    GetQueueAttributes(body) {
      const input = parseBody(GetQueueAttributesInput, body);
      return { Attributes: { ApproximateNumberOfMessages: String(queueAt(input.QueueUrl).visible) } };
    },

    ChangeMessageVisibility(body) {
      const input = parseBody(ChangeMessageVisibilityInput, body);
      const ms = localPostponementMs(input.VisibilityTimeout);
      queueAt(input.QueueUrl).changeVisibility(input.ReceiptHandle, ms);
      return undefined;
    },

    SendMessage(body) {
      const input = parseBody(SendMessageInput, body);
      const MessageId = queueAt(input.QueueUrl).send(input.MessageBody, input.MessageAttributes);
      return { MessageId, MD5OfMessageBody: md5(input.MessageBody) };
    },

    ReceiveMessage(body) {
      const input = parseBody(ReceiveMessageInput, body);
      const received = queueAt(input.QueueUrl).receive(
        input.MaxNumberOfMessages,
        input.VisibilityTimeout * 1000,
      );
      if (received.length === 0) return {};
      return {
        Messages: received.map((message) => ({
          MessageId: message.messageId,
          ReceiptHandle: message.receiptHandle,
          Body: message.body,
          MD5OfBody: md5(message.body),
          ...selectAttributes(message, input.MessageAttributeNames),
        })),
      };
    },

    StartMessageMoveTask(body) {
      assertDeadLetterQueue(parseBody(StartMoveInput, body).SourceArn);
      tasks.unshift({ moved: deadLetters.moveTo(messages), started: Date.now() });
      return { TaskHandle: String(tasks.length) };
    },

    ListMessageMoveTasks(body) {
      assertDeadLetterQueue(parseBody(ListMovesInput, body).SourceArn);
      const results = tasks.slice(0, 10).map(({ moved, started }) => ({
        Status: 'COMPLETED',
        SourceArn: DEAD_LETTER_QUEUE_ARN,
        DestinationArn: QUEUE_ARN,
        ApproximateNumberOfMessagesMoved: moved,
        ApproximateNumberOfMessagesToMove: moved,
        StartedTimestamp: started,
      }));
      return { Results: results };
    },
  };
}

/** The SDK compares it with the body. */
const md5 = (body: string): string => hash('md5', body);

/** SQS leaves the field out when no attribute was asked for or none is there. */
function selectAttributes({ attributes }: Message, names: readonly string[]) {
  const selected = Object.entries(attributes).filter(
    ([name]) => names.includes(name) || names.includes('All'),
  );
  return selected.length > 0 ? { MessageAttributes: Object.fromEntries(selected) } : {};
}

function assertDeadLetterQueue(arn: string): void {
  if (arn === DEAD_LETTER_QUEUE_ARN) return;
  throw new ApiError('ResourceNotFoundException', `${arn} is not the dead-letter queue`);
}
