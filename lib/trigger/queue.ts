import * as v from 'valibot';
import { type AwsServiceDefinition, createJsonClient } from '../aws/json-client.ts';

/** Postpones and rejects messages. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html */

const SQS: AwsServiceDefinition = {
  name: 'sqs',
  target: 'AmazonSQS',
  json: '1.0',
  timeouts: { connect: 1_000, response: 2_000, call: 3_000 },
  retryDelayMs: 100,
};

export type QueueSettings = Readonly<{ url: string; deadLetterUrl: string; region: string }>;

export type QueueClient = Readonly<{
  /**
   * Hides a received message for `seconds` from now, at most 12 hours after it was received.
   * @throws {AwsServiceError} for an error response, and {Error} of the connection
   */
  postpone(receiptHandle: string, seconds: number): Promise<void>;
  /** Sends a copy of a message to the dead letters, with the reason as an attribute. @throws as `postpone` does */
  reject(body: string, reason: string): Promise<void>;
  /** Closes idle connections. */
  close(): void;
}>;

export function createQueueClient({ url, deadLetterUrl, region }: QueueSettings): QueueClient {
  const client = createJsonClient(SQS, { region, endpoint: new URL(url).origin });
  return {
    async postpone(receiptHandle, seconds) {
      const input = { QueueUrl: url, ReceiptHandle: receiptHandle, VisibilityTimeout: seconds };
      await client.call('ChangeMessageVisibility', input, v.unknown());
    },
    async reject(body, reason) {
      const MessageAttributes = { reason: { DataType: 'String', StringValue: toAttributeValue(reason) } };
      const input = { QueueUrl: deadLetterUrl, MessageBody: body, MessageAttributes };
      await client.call('SendMessage', input, v.object({ MessageId: v.string() }));
    },
    close: () => client.close(),
  };
}

/** A message and its attributes have a limit together, so the reason must not be long. */
const MAX_REASON_CHARS = 1000;

/** Replaces the characters that SQS rejects: those that XML cannot represent. */
const toAttributeValue = (text: string): string =>
  text
    .slice(0, MAX_REASON_CHARS)
    .toWellFormed()
    .replace(/[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD') || 'unknown';
