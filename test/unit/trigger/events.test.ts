import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { InvalidInput } from '../../../lib/errors.ts';
import { UploadRequest } from '../../../lib/schemas.ts';
import { messagesOf, type ObjectCreated } from '../../../lib/trigger/events.ts';
import { sqsRecord } from '../../support/sqs.ts';

const EVENTS = new URL('../../support/events/', import.meta.url);
const event = (name: string): unknown => JSON.parse(readFileSync(new URL(`${name}.json`, EVENTS), 'utf8'));
const parseAll = (value: unknown): ObjectCreated[] =>
  messagesOf(value).flatMap(({ parseObjects }) => [...parseObjects()]);

const CLIP = {
  bucket: 'films',
  key: '2026/My clip (v1+2) 电影.mp4',
  etag: 'd41d8cd98f00b204e9800998ecf8427e',
  size: 6_000_000,
};
const byS3 = { ...CLIP, sequencer: '0055AED6DCD90281E5' };
const byEventBridge = { ...CLIP, sequencer: '00617F08299329D189' };
const multipart = { etag: '9b2cf535f27731c974343645a3985328-6' };
const OPTIONS = { classId: 7, tags: ['x'], transcode: true, fileName: 'A' };
const once = (request: object, dedupeKey = '', isCopy = false): object[] => [{ request, dedupeKey, isCopy }];
const copied = (request: object): object[] => once(request, '', true);

/** The requests of each file in `test/support/events`. */
const EXPECTED: Readonly<Record<string, object[]>> = {
  's3-put': once(byS3),
  's3-2.0': once(byS3),
  's3-post': once(byS3),
  's3-copy': copied(byS3),
  's3-put-2.3': copied({ ...byS3, ...multipart }),
  's3-2.9': once(byS3),
  's3-versioned': once({ ...byS3, versionId: '096fKKXTRTtl3on89fVO.nfljtsv6qko' }),
  's3-removed': [],
  's3-several': [...once({ ...byS3, key: 'one.mp4' }), ...once({ ...byS3, key: 'two.mp4' })],
  's3-test-event': [],
  'eventbridge-put': once(byEventBridge),
  'eventbridge-post': once(byEventBridge),
  'eventbridge-copy': copied(byEventBridge),
  'eventbridge-multipart': copied({ ...byEventBridge, ...multipart }),
  'eventbridge-versioned': once({ ...byEventBridge, versionId: 'IYV3p45BT0ac8hjHg1houSdS1a.Mro8e' }),
  'eventbridge-deleted': [],
  'eventbridge-replayed': once(byEventBridge, 'replay after-the-outage'),
  'sqs-s3': once(byS3),
  'sqs-eventbridge': once(byEventBridge),
  'sqs-test-event': [],
  'sqs-manual': once({ bucket: 'films', key: 'a.mp4' }, 'manual'),
  'sqs-sns-s3': once(byS3),
  'sqs-sns-eventbridge': once(byEventBridge),
  'sqs-sns-raw-delivery': once(byS3),
  'sqs-sns-test-event': [],
  'sns-s3': once(byS3),
  'sns-eventbridge': once(byEventBridge),
  manual: once({ bucket: 'films', key: 'a b+c%20.mp4' }, 'manual'),
  'manual-options': once({ bucket: 'films', key: 'a.mp4', versionId: 'v1', options: OPTIONS }, 'manual'),
  'manual-force': once({ bucket: 'films', key: 'a.mp4', force: true }, 'manual'),
};

/** The error of each other file. */
const REJECTED: Readonly<Record<string, RegExp>> = {
  's3-1.0': /^the event \(S3 notification\): Records\.0\.eventVersion: Expected event version 2\.x$/,
  's3-3.0': /^the event \(S3 notification\): Records\.0\.eventVersion: Expected event version 2\.x$/,
  's3-no-key': /^the event \(S3 notification\): Records\.0\.s3\.object\.key: .*"key"/,
  's3-key-not-encoded': /^the event \(S3 notification\): expected a form-encoded key, got "100%\.mp4"$/,
  'sqs-s3-3.0':
    /^message 059f[^ ]+ \(S3 notification\): Records\.0\.eventVersion: Expected event version 2\.x$/,
  'sns-s3-3.0': /^the event \(S3 notification\): Records\.0\.eventVersion: Expected event version 2\.x$/,
  'eventbridge-1': /^the event \(EventBridge\): detail\.version: Expected event version 0$/,
  'eventbridge-no-bucket': /^the event \(EventBridge\): detail\.bucket: .*"bucket"/,
  'eventbridge-other-source': /^the event \(EventBridge\): source: .*"aws\.s3".*"aws\.ec2"/,
  'sqs-one-bad': /^message 059f[^ ]+: expected JSON, got "not JSON"$/,
  'sqs-not-json': /^message 059f[^ ]+: expected JSON, got "hello"$/,
  'sqs-unknown': /^message 059f[^ ]+: expected .*; got an object with \["orderId","items"\]$/,
  'sqs-sns-unknown': /^message 059f[^ ]+: expected .*; got an object with \["alarm"\]$/,
  unknown:
    /^the event: expected .*; got an object with \["version","routeKey","rawPath","isBase64Encoded"\]$/,
  dynamodb: /^the event \(S3 notification\): Records\.0\.eventSource: .*"aws:s3".*"aws:dynamodb"/,
  'manual-misspelt': /^the event: verionId: /,
};

test.each(Object.keys(EXPECTED))('parses %s', (name) => {
  expect(parseAll(event(name))).toEqual(EXPECTED[name]);
});

test.each(Object.entries(REJECTED))('rejects %s in one line', (name, message) => {
  expect(() => parseAll(event(name))).toThrow(
    expect.objectContaining({ name: 'InvalidInput', message: expect.stringMatching(message) }),
  );
  expect(() => parseAll(event(name))).toThrow(/^[^\n]*$/);
});

test('the two tables above contain every file', () => {
  const files = readdirSync(EVENTS).map((file) => file.replace(/\.json$/, ''));
  expect(files.sort()).toEqual([...Object.keys(EXPECTED), ...Object.keys(REJECTED)].sort());
});

/** An S3 notification with another event version and other fields of the object. */
function notification(version: string, fields: object = {}): unknown {
  const changed = JSON.parse(JSON.stringify(event('s3-put')));
  changed.Records[0].eventVersion = version;
  Object.assign(changed.Records[0].s3.object, fields);
  return changed;
}

test.each(['2.0', '2.1', '2.2', '2.3', '2.6', '2.10'])('accepts version %s with new fields', (version) => {
  expect(parseAll(notification(version, { storageClass: 'STANDARD' }))).toEqual(once(byS3));
});

test.each(['1.9', '3.0', '20.1', '2', '2.x', ''])('rejects version %j', (version) => {
  expect(() => parseAll(notification(version))).toThrow('Records.0.eventVersion: Expected event version 2.x');
});

// S3 documents versionId as "object version if bucket is versioning-enabled, otherwise null".
test('ignores a version ID that is null', () => {
  expect(parseAll(notification('2.1', { versionId: null }))).toEqual(once(byS3));
});

test('messages of a queue succeed and fail independently', () => {
  const messages = messagesOf(event('sqs-one-bad'));
  const id = '059f36b4-87a3-44ab-83d2-66197571000';
  expect(messages.map(({ received }) => received?.messageId)).toEqual([1, 2, 3, 4].map((n) => `${id}${n}`));
  const [first, second, third, fourth] = messages;
  expect(first?.parseObjects()).toEqual(once(byS3));
  expect(() => second?.parseObjects()).toThrow(`message ${id}2: expected JSON, got "not JSON"`);
  expect(third?.parseObjects()).toEqual(once(byEventBridge));
  expect(() => fourth?.parseObjects()).toThrow(`message ${id}4 (S3 notification): Records.0.eventVersion`);
});

test('an event outside a queue is one message without an ID', () => {
  expect(messagesOf(event('s3-several')).map(({ received }) => received)).toEqual([undefined]);
});

test('a message has the count of its receives, and the time of its sending', () => {
  const [message] = messagesOf({ Records: [sqsRecord('m', '{}', 7, 1_700_000_000_000)] });
  expect(message?.received).toEqual({
    messageId: 'm',
    receiptHandle: 'handle of m',
    body: '{}',
    receives: 7,
    sentAt: 1_700_000_000_000,
  });
});

const inQueue = (body: string) => ({ Records: [sqsRecord('m-17', body)] });
function expectRejectedInQueue(body: string): void {
  expect(() => parseAll(inQueue(body))).toThrow(InvalidInput);
  expect(() => parseAll(inQueue(body))).toThrow(/message m-17/);
}

describe('rejects', () => {
  const record = JSON.parse(JSON.stringify(event('s3-put'))).Records[0];

  test.each([
    ['null', null],
    ['a string', 'a.mp4'],
    ['a list', [event('s3-put')]],
    ['an empty object', {}],
    ['no records', { Records: [] }],
    ['records of two services', { Records: [record, ...inQueue('{}').Records] }],
    ['a record without an object', { Records: [{ ...record, s3: { bucket: { name: 'b' } } }] }],
    ['a negative size', notification('2.1', { size: -1 })],
    ['a key that is not form-encoded', notification('2.1', { key: '%' })],
    ['a bucket without a key', { bucket: 'films' }],
    ['an empty key', { bucket: 'films', key: '' }],
    ['a misspelt option', { bucket: 'films', key: 'a.mp4', options: { transcod: true } }],
    ['an option of another type', { bucket: 'films', key: 'a.mp4', options: { classId: '7' } }],
    ['an etag from a console', { bucket: 'films', key: 'a.mp4', etag: 'e' }],
    ['a message within a message', inQueue('{}')],
    ['another version', notification('3.0')],
    ['a key that is a number', notification('2.1', { key: 7 })],
    ['an empty key in a notification', notification('2.1', { key: '' })],
    ['another source', { source: 'aws.ec2', 'detail-type': 'Object Created', detail: {} }],
    ['an SNS message that is not JSON', { Type: 'Notification', TopicArn: 'arn:aws:sns', Message: 'hello' }],
  ])('%s, also as a message of a queue, which the error names', (_, value) => {
    expect(() => parseAll(value)).toThrow(InvalidInput);
    expectRejectedInQueue(JSON.stringify(value));
  });

  const deep = 20_000; // fits into a message of 256 KiB and is too deep for JSON.stringify

  test.each([
    ['is not JSON', 'not JSON'],
    ['is empty', ''],
    ['is deeply nested', '['.repeat(deep) + ']'.repeat(deep)],
  ])('a message that %s', (_, body) => {
    expectRejectedInQueue(body);
  });

  test('nothing', () => {
    expect(() => parseAll(undefined)).toThrow(InvalidInput);
  });

  test('a bucket name with a slash', () => {
    const wrong = () => parseAll({ bucket: 'films/2026', key: 'a.mp4' });
    expect(wrong).toThrow(/bucket: Expected a bucket, without a slash/);
  });

  test('an unknown shape and shows the beginning of its names', () => {
    expect(() => parseAll({ ['x'.repeat(1000)]: 1 })).toThrow(
      /^the event: expected .*; got an object with \["x{100,118}…$/,
    );
  });
});

describe('keys', () => {
  /** Encodes a key as S3 does: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
  const formEncoded = (key: string): string =>
    new URLSearchParams({ key }).toString().slice('key='.length).replaceAll('%2F', '/');

  const anyKey = fc.string({ unit: 'binary', minLength: 1, maxLength: 100 });

  test('survive the form encoding of a notification', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        expect(parseAll(notification('2.1', { key: formEncoded(key) }))[0]?.request.key).toBe(key);
      }),
    );
  });

  const withKey = (key: string) => {
    const changed = JSON.parse(JSON.stringify(event('eventbridge-put')));
    changed.detail.object.key = key;
    return changed;
  };

  test.each(['\ud800', 'film \udc00.mp4'])('cannot contain half a character: %j', (key) => {
    expect(() => parseAll(withKey(key))).toThrow(InvalidInput);
    expect(() => parseAll({ bucket: 'b', key })).toThrow(InvalidInput);
  });

  test('are truncated in errors', () => {
    const key = `%${'x'.repeat(10_000)}`;
    expect(() => parseAll(notification('2.1', { key }))).toThrow(/^.{1,300}$/);
  });

  test('are not decoded in EventBridge events and manual requests', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        for (const value of [withKey(key), { bucket: 'b', key }])
          expect(parseAll(value)[0]?.request.key).toBe(key);
      }),
    );
  });
});

describe('any event', () => {
  const fixtures = Object.keys(EXPECTED).map(event);
  /** A valid event with one value replaced. */
  const nearlyRight = fc
    .tuple(
      fc.constantFrom(...fixtures),
      fc.nat(),
      fc.oneof(fc.jsonValue(), fc.constantFrom('', '%', '{}', null, [], {})),
    )
    .map(([known, at, value]) => {
      let seen = 0;
      const chosen = at % (JSON.stringify(known).split(':').length + 1);
      return JSON.parse(JSON.stringify(known), (_, old) => (seen++ === chosen ? value : old));
    });

  test('results in valid requests or InvalidInput, also in a queue', () => {
    const anything = fc.oneof(fc.jsonValue(), nearlyRight);
    fc.assert(
      fc.property(
        fc.oneof(
          anything,
          anything.map((body) => inQueue(JSON.stringify(body))),
        ),
        (value) => {
          try {
            for (const { request, dedupeKey } of parseAll(value)) {
              expect(v.parse(UploadRequest, request)).toEqual(request);
              expect(typeof dedupeKey).toBe('string');
            }
          } catch (error) {
            expect(error).toBeInstanceOf(InvalidInput);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  test.each([
    '{"__proto__": {"bucket": "films", "key": "a.mp4"}}',
    '{"bucket": "films", "__proto__": {"key": "a.mp4"}}',
    '{"__proto__": {"Records": []}}',
  ])('inherits nothing from __proto__: %s', (json) => {
    expect(() => parseAll(JSON.parse(json))).toThrow(InvalidInput);
  });

  test('cannot set options through a prototype', () => {
    const request = JSON.parse('{"bucket": "b", "key": "a.mp4", "options": {"__proto__": {"classId": 1}}}');
    expect(() => parseAll(request)).toThrow('options.__proto__');
    expect('classId' in {}).toBe(false);
  });
});
