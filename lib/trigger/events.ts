import * as v from 'valibot';
import { InvalidInput } from '../errors.ts';
import { BucketName, Key, ManualRequest, parse, truncate, type UploadRequest } from '../schemas.ts';

/** Every shape in which word of an object comes, read into requests. */

/**
 * What an event says of one object. `dedupeKey` tells apart asking again from hearing twice: it is empty for an event, which
 * may come doubled, names the replay for a replayed one, and `manual` where a person asks.
 */
export type ObjectCreated = Readonly<{ request: UploadRequest; dedupeKey: string }>;

/** A message of a queue, or the whole of any other event. `read` throws {InvalidInput} on a shape that is not known. */
export type Message = Readonly<{
  messageId: string | undefined;
  parseObjects: () => readonly ObjectCreated[];
}>;

const Sqs = v.object({
  Records: v.pipe(
    v.array(v.object({ eventSource: v.literal('aws:sqs'), messageId: v.string(), body: v.string() })),
    v.nonEmpty(),
  ),
});

const Sns = v.object({
  Records: v.pipe(
    v.array(v.object({ EventSource: v.literal('aws:sns'), Sns: v.object({ Message: v.string() }) })),
    v.nonEmpty(),
  ),
});

/** What SNS puts into a queue, unless the subscription asks for raw messages. */
const SnsEnvelope = v.object({ Type: v.literal('Notification'), TopicArn: v.string(), Message: v.string() });

/** S3 sends it once when notifications are set up: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
const TestEvent = v.object({ Service: v.literal('Amazon S3'), Event: v.literal('s3:TestEvent') });

const Optional = v.nullish(v.string());
const Size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html: minor versions add fields only. */
const Notification = v.object({
  Records: v.pipe(
    v.array(
      v.object({
        eventSource: v.literal('aws:s3'),
        eventVersion: v.pipe(v.string(), v.regex(/^2\.[0-9]+$/, 'Expected event version 2.x')),
        eventName: v.string(),
        s3: v.object({
          bucket: v.object({ name: BucketName }),
          object: v.object({
            key: Key,
            size: v.nullish(Size),
            eTag: Optional,
            versionId: Optional,
            sequencer: Optional,
          }),
        }),
      }),
    ),
    v.nonEmpty(),
  ),
});

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html: the key is as it is, not encoded. */
const ObjectEvent = v.object({
  source: v.literal('aws.s3'),
  'detail-type': v.string(),
  'replay-name': v.optional(v.string()),
  detail: v.object({
    version: v.optional(v.literal('0', 'Expected event version 0')),
    bucket: v.object({ name: BucketName }),
    object: v.object({
      key: Key,
      size: v.nullish(Size),
      etag: Optional,
      'version-id': Optional,
      sequencer: Optional,
    }),
  }),
});

/** The messages of an event: each is read, and may fail, alone. */
export function messagesOf(event: unknown): readonly Message[] {
  if (!v.is(Sqs, event))
    return [{ messageId: undefined, parseObjects: () => parseEvents(event, 'the event') }];
  return event.Records.map(({ messageId, body }) => ({
    messageId,
    parseObjects: () => parseEvents(parseJson(body, `message ${messageId}`), `message ${messageId}`),
  }));
}

function parseEvents(event: unknown, what: string): readonly ObjectCreated[] {
  if (v.is(TestEvent, event)) return [];
  if (v.is(SnsEnvelope, event)) return parseEvents(parseJson(event.Message, what), what);
  if (v.is(Sns, event)) {
    return event.Records.flatMap(({ Sns: { Message } }) => parseEvents(parseJson(Message, what), what));
  }
  if (!isObject(event)) throw unknownShape(event, what);
  if ('Records' in event)
    return parse(Notification, event, `${what} (S3 notification)`).Records.flatMap((record) =>
      fromS3Notification(record, what),
    );
  if ('detail-type' in event) return fromEventBridge(parse(ObjectEvent, event, `${what} (EventBridge)`));
  if ('bucket' in event || 'key' in event) {
    return [{ request: parse(ManualRequest, event, what), dedupeKey: 'manual' }];
  }
  throw unknownShape(event, what);
}

type NotificationRecord = v.InferOutput<typeof Notification>['Records'][number];

function fromS3Notification(
  { eventName, s3: { bucket, object } }: NotificationRecord,
  what: string,
): ObjectCreated[] {
  if (!eventName.replace(/^s3:/, '').startsWith('ObjectCreated:')) return [];
  const request = uploadRequest(bucket.name, decodeFormKey(object.key, what), {
    ...object,
    etag: object.eTag,
  });
  return [{ request, dedupeKey: '' }];
}

function fromEventBridge(event: v.InferOutput<typeof ObjectEvent>): ObjectCreated[] {
  if (event['detail-type'] !== 'Object Created') return [];
  const { bucket, object } = event.detail;
  const request = uploadRequest(bucket.name, object.key, { ...object, versionId: object['version-id'] });
  const replay = event['replay-name'];
  return [{ request, dedupeKey: replay ? `replay ${replay}` : '' }];
}

type State = { [Name in 'versionId' | 'etag' | 'sequencer']?: string | null | undefined } & {
  size?: number | null | undefined;
};

const uploadRequest = (
  bucket: string,
  key: string,
  { versionId, etag, size, sequencer }: State,
): UploadRequest => ({
  bucket,
  key,
  // `null` where versioning is off or suspended: no name for a state.
  ...(versionId && versionId !== 'null' && { versionId }),
  ...(etag && { etag }),
  ...(typeof size === 'number' && { size }),
  ...(sequencer && { sequencer }),
});

/** Keys in notifications are form-encoded: `+` is a space, and is decoded before the `%XX`, one of which may be a `+`. */
function decodeFormKey(key: string, what: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '));
  } catch (cause) {
    throw new InvalidInput(
      `${what} (S3 notification): the key ${JSON.stringify(truncate(key))} is not form-encoded`,
      {
        cause,
      },
    );
  }
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InvalidInput(`${what}: expected JSON, got ${JSON.stringify(text.slice(0, 80))}`, { cause });
  }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const unknownShape = (event: unknown, what: string): InvalidInput =>
  new InvalidInput(
    `${what}: expected an S3 notification, an EventBridge "Object Created", either of them in SQS or SNS, or ` +
      `{"bucket": …, "key": …}; got ${describeShape(event)}`,
  );

/** By its outermost names alone: an event may be nested deeper than can be written out. */
function describeShape(event: unknown): string {
  if (Array.isArray(event)) return `a list of ${event.length}`;
  if (isObject(event)) return `an object of ${JSON.stringify(Object.keys(event).slice(0, 10)).slice(0, 120)}`;
  return (JSON.stringify(event) ?? 'nothing').slice(0, 120);
}
