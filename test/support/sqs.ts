/** A record of an event that Lambda makes of a message in SQS. */
export const sqsRecord = (messageId: string, body: string, receives = 1, sentAt = Date.now()) => ({
  eventSource: 'aws:sqs',
  messageId,
  receiptHandle: `handle of ${messageId}`,
  body,
  attributes: { ApproximateReceiveCount: String(receives), SentTimestamp: String(sentAt) },
});
