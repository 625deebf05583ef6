import * as v from 'valibot';
import { InvalidInput } from '../errors.ts';
import {
  BucketName,
  Key,
  ManualRequest,
  NonNegativeInt,
  parse,
  truncate,
  type UploadRequest,
} from '../schemas.ts';

/** Parses events of every supported shape into upload requests. */

/**
 * `dedupeKey` is empty for an event, because S3 can deliver it twice. It names the replay of a replayed event and is
 * `manual` for a request from a console. `isCopy`: S3 made the object by a copy or from parts, as a write-back does.
 */
export type ObjectCreated = Readonly<{ request: UploadRequest; dedupeKey: string; isCopy: boolean }>;

/**
 * A message as the queue delivers it. `receives`: how often it was received, this time included. `sentAt`: when it entered
 * the queue, in milliseconds since 1970.
 */
export type ReceivedMessage = Readonly<{
  messageId: string;
  receiptHandle: string;
  body: string;
  receives: number;
  sentAt: number;
}>;

/** A message of a queue, or any other event as a whole. */
export type Message = Readonly<{
  received: ReceivedMessage | undefined;
  /** @throws {InvalidInput} if the shape is unknown */
  parseObjects: () => readonly ObjectCreated[];
}>;

const recordsOf = <const T extends v.GenericSchema>(record: T) =>
  v.object({ Records: v.pipe(v.array(record), v.nonEmpty()) });

const Digits = v.pipe(v.string(), v.digits(), v.transform(Number));

/** https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
const Sqs = recordsOf(
  v.object({
    eventSource: v.literal('aws:sqs'),
    messageId: v.string(),
    receiptHandle: v.string(),
    body: v.string(),
    attributes: v.object({ ApproximateReceiveCount: Digits, SentTimestamp: Digits }),
  }),
);

const Sns = recordsOf(
  v.object({ EventSource: v.literal('aws:sns'), Sns: v.object({ Message: v.string() }) }),
);

/** SNS puts this into a queue, unless the subscription uses raw message delivery. */
const SnsEnvelope = v.object({ Type: v.literal('Notification'), TopicArn: v.string(), Message: v.string() });

/** S3 sends it once, when notifications are configured: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
const TestEvent = v.object({ Service: v.literal('Amazon S3'), Event: v.literal('s3:TestEvent') });

const OptionalText = v.nullish(v.string());
const ObjectFields = v.object({ key: Key, size: v.nullish(NonNegativeInt), sequencer: OptionalText });

/** Minor versions only add fields: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
const NotificationRecord = v.object({
  eventSource: v.literal('aws:s3'),
  eventVersion: v.pipe(v.string(), v.regex(/^2\.[0-9]+$/, 'Expected event version 2.x')),
  eventName: v.string(),
  s3: v.object({
    bucket: v.object({ name: BucketName }),
    object: v.object({ ...ObjectFields.entries, eTag: OptionalText, versionId: OptionalText }),
  }),
});

/** The key is not encoded: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html */
const ObjectEvent = v.object({
  source: v.literal('aws.s3'),
  'detail-type': v.string(),
  'replay-name': v.optional(v.string()),
  detail: v.object({
    version: v.optional(v.literal('0', 'Expected event version 0')),
    bucket: v.object({ name: BucketName }),
    object: v.object({ ...ObjectFields.entries, etag: OptionalText, 'version-id': OptionalText }),
    reason: OptionalText,
  }),
});

/** Splits an event into messages that succeed or fail independently. */
export function messagesOf(event: unknown): readonly Message[] {
  const batch = v.safeParse(Sqs, event);
  if (!batch.success) return [{ received: undefined, parseObjects: () => parseEvents(event, 'the event') }];
  return batch.output.Records.map(({ messageId, receiptHandle, body, attributes }) => ({
    received: {
      ...{ messageId, receiptHandle, body },
      receives: attributes.ApproximateReceiveCount,
      sentAt: attributes.SentTimestamp,
    },
    parseObjects: () => parseEvents(parseJson(body, `message ${messageId}`), `message ${messageId}`),
  }));
}

/** @param source names the event in errors */
function parseEvents(event: unknown, source: string): readonly ObjectCreated[] {
  if (v.is(TestEvent, event)) return [];
  if (v.is(SnsEnvelope, event)) return parseEvents(parseJson(event.Message, source), source);
  if (v.is(Sns, event))
    return event.Records.flatMap(({ Sns: { Message } }) => parseEvents(parseJson(Message, source), source));
  if (isObject(event)) {
    if ('Records' in event)
      return parse(recordsOf(NotificationRecord), event, `${source} (S3 notification)`).Records.flatMap(
        (record) => fromS3Notification(record, source),
      );
    if ('detail-type' in event) return fromEventBridge(parse(ObjectEvent, event, `${source} (EventBridge)`));
    if ('bucket' in event || 'key' in event)
      return [{ request: parse(ManualRequest, event, source), dedupeKey: 'manual', isCopy: false }];
  }
  throw new InvalidInput(
    `${source}: expected an S3 notification, an EventBridge event "Object Created", one of them in SQS or SNS, or ` +
      `{"bucket": …, "key": …}; got ${describeShape(event)}`,
  );
}

/** How a write-back makes an object: by a copy, or, if the object is large, from copied parts. In S3's and in EventBridge's words. */
const COPIES = new Set(['Copy', 'CopyObject', 'CompleteMultipartUpload']);

function fromS3Notification(
  { eventName, s3: { bucket, object } }: v.InferOutput<typeof NotificationRecord>,
  source: string,
): ObjectCreated[] {
  const [, method] = /^(?:s3:)?ObjectCreated:(.+)$/.exec(eventName) ?? [];
  if (method === undefined) return [];
  const key = decodeFormKey(object.key, source);
  const request = uploadRequest(bucket.name, { ...object, key }, object.eTag, object.versionId);
  return [{ request, dedupeKey: '', isCopy: COPIES.has(method) }];
}

function fromEventBridge(event: v.InferOutput<typeof ObjectEvent>): ObjectCreated[] {
  if (event['detail-type'] !== 'Object Created') return [];
  const { bucket, object, reason } = event.detail;
  const replay = event['replay-name'];
  const request = uploadRequest(bucket.name, object, object.etag, object['version-id']);
  return [{ request, dedupeKey: replay ? `replay ${replay}` : '', isCopy: COPIES.has(reason ?? '') }];
}

/** The version ID is `null` if versioning is off or suspended. It then identifies no version. */
const uploadRequest = (
  bucket: string,
  { key, size, sequencer }: v.InferOutput<typeof ObjectFields>,
  etag: string | null | undefined,
  versionId: string | null | undefined,
): UploadRequest => ({
  bucket,
  key,
  ...(versionId && versionId !== 'null' && { versionId }),
  ...(etag && { etag }),
  ...(typeof size === 'number' && { size }),
  ...(sequencer && { sequencer }),
});

/** Keys in notifications are form-encoded. A `+` is a space, unless it results from decoding `%2B`. */
function decodeFormKey(key: string, source: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch (cause) {
    throw new InvalidInput(
      `${source} (S3 notification): expected a form-encoded key, got ${JSON.stringify(truncate(key))}`,
      { cause },
    );
  }
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InvalidInput(`${source}: expected JSON, got ${JSON.stringify(truncate(text))}`, { cause });
  }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Lists only the outermost names: an event can be nested too deeply for `JSON.stringify`. */
function describeShape(event: unknown): string {
  if (Array.isArray(event)) return `a list of ${event.length}`;
  if (isObject(event))
    return `an object with ${truncate(JSON.stringify(Object.keys(event).slice(0, 10)), 120)}`;
  return truncate(JSON.stringify(event) ?? 'nothing', 120);
}
