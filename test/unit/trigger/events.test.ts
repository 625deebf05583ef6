import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { InvalidInput } from '../../../lib/errors.ts';
import { UploadRequest } from '../../../lib/schemas.ts';
import { messagesOf, type ObjectCreated } from '../../../lib/trigger/events.ts';

const EVENTS = new URL('../../support/events/', import.meta.url);
const event = (name: string): unknown => JSON.parse(readFileSync(new URL(`${name}.json`, EVENTS), 'utf8'));
const readAll = (value: unknown): ObjectCreated[] =>
  messagesOf(value).flatMap(({ parseObjects: read }) => read());

const CLIP = {
  bucket: 'films',
  key: '2026/My clip (v1+2) 电影.mp4',
  etag: 'd41d8cd98f00b204e9800998ecf8427e',
  size: 6_000_000,
};
const byS3 = { ...CLIP, sequencer: '0055AED6DCD90281E5' };
const byEventBridge = { ...CLIP, sequencer: '00617F08299329D189' };
const multipart = { etag: '9b2cf535f27731c974343645a3985328-6' };
const once = (request: object, dedupeKey = ''): object[] => [{ request, dedupeKey }];

/** By the name of the file in `test/events`. */
const EXPECTED: Readonly<Record<string, object[]>> = {
  's3-put': once(byS3),
  's3-2.0': once(byS3),
  's3-post': once(byS3),
  's3-copy': once(byS3),
  's3-put-2.3': once({ ...byS3, ...multipart }),
  's3-2.9': once(byS3),
  's3-versioned': once({ ...byS3, versionId: '096fKKXTRTtl3on89fVO.nfljtsv6qko' }),
  's3-removed': [],
  's3-several': [...once({ ...byS3, key: 'one.mp4' }), ...once({ ...byS3, key: 'two.mp4' })],
  's3-test-event': [],
  'eventbridge-put': once(byEventBridge),
  'eventbridge-post': once(byEventBridge),
  'eventbridge-copy': once(byEventBridge),
  'eventbridge-multipart': once({ ...byEventBridge, ...multipart }),
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
  'manual-options': once(
    {
      bucket: 'films',
      key: 'a.mp4',
      versionId: 'v1',
      options: { classId: 7, tags: ['x'], transcode: true, fileName: 'A' },
    },
    'manual',
  ),
  'manual-force': once({ bucket: 'films', key: 'a.mp4', force: true }, 'manual'),
};

/** What is said of those that are refused: by the name of the file, the beginning and what it names. */
const REFUSED: Readonly<Record<string, RegExp>> = {
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

test.each(Object.keys(EXPECTED))('%s', (name) => {
  expect(readAll(event(name))).toEqual(EXPECTED[name]);
});

test.each(Object.entries(REFUSED))('%s is refused in one line', (name, message) => {
  expect(() => readAll(event(name))).toThrow(
    expect.objectContaining({ name: 'InvalidInput', message: expect.stringMatching(message) }),
  );
  expect(() => readAll(event(name))).toThrow(/^[^\n]*$/);
});

test('every event of the folder stands in one of the two tables', () => {
  const files = readdirSync(EVENTS).map((file) => file.replace(/\.json$/, ''));
  expect(files.sort()).toEqual([...Object.keys(EXPECTED), ...Object.keys(REFUSED)].sort());
});

/** S3's notification of one object, with another version of its shape or other fields. */
function created(version: string, fields: object = {}): unknown {
  const notification = JSON.parse(JSON.stringify(event('s3-put')));
  notification.Records[0].eventVersion = version;
  Object.assign(notification.Records[0].s3.object, fields);
  return notification;
}

test.each(['2.0', '2.1', '2.2', '2.3', '2.6', '2.10'])('minor version %s adds fields at most', (version) => {
  expect(readAll(created(version, { storageClass: 'STANDARD' }))).toEqual(once(byS3));
});

test.each(['1.9', '3.0', '20.1', '2', '2.x', ''])('version %j is refused', (version) => {
  expect(() => readAll(created(version))).toThrow('Records.0.eventVersion: Expected event version 2.x');
});

// Its page says of versionId: "object version if bucket is versioning-enabled, otherwise null".
test('a version that is null is none', () => {
  expect(readAll(created('2.1', { versionId: null }))).toEqual(once(byS3));
});

test('each message of a queue is read, and fails, alone', () => {
  const messages = messagesOf(event('sqs-one-bad'));
  const id = '059f36b4-87a3-44ab-83d2-66197571000';
  expect(messages.map(({ messageId }) => messageId)).toEqual([1, 2, 3, 4].map((n) => `${id}${n}`));
  const [first, second, third, fourth] = messages;
  expect(first?.parseObjects()).toEqual(once(byS3));
  expect(() => second?.parseObjects()).toThrow(`message ${id}2: expected JSON, got "not JSON"`);
  expect(third?.parseObjects()).toEqual(once(byEventBridge));
  expect(() => fourth?.parseObjects()).toThrow(`message ${id}4 (S3 notification): Records.0.eventVersion`);
});

test('what does not come through a queue is one message without an id', () => {
  expect(messagesOf(event('s3-several')).map(({ messageId }) => messageId)).toEqual([undefined]);
});

describe('refused with InvalidInput', () => {
  const record = JSON.parse(JSON.stringify(event('s3-put'))).Records[0];
  const sqsOf = (body: string) => ({ Records: [{ eventSource: 'aws:sqs', messageId: 'm', body }] });

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['a text', 'a.mp4'],
    ['a list', [event('s3-put')]],
    ['an empty object', {}],
    ['no records', { Records: [] }],
    ['records of something else', { Records: [{ eventSource: 'aws:dynamodb', dynamodb: {} }] }],
    ['records of two kinds', { Records: [record, { eventSource: 'aws:sqs', messageId: 'm', body: '{}' }] }],
    ['a record without an object', { Records: [{ ...record, s3: { bucket: { name: 'b' } } }] }],
    [
      'a size that is none',
      { Records: [{ ...record, s3: { bucket: { name: 'b' }, object: { key: 'k', size: -1 } } }] },
    ],
    [
      'a key that is not form-encoded',
      { Records: [{ ...record, s3: { bucket: { name: 'b' }, object: { key: '%' } } }] },
    ],
    ['an event of another source', { source: 'aws.ec2', 'detail-type': 'Object Created', detail: {} }],
    ['a bucket without a key', { bucket: 'films' }],
    ['an empty key', { bucket: 'films', key: '' }],
    ['a misspelt field', { bucket: 'films', key: 'a.mp4', verionId: 'v1' }],
    ['a misspelt option', { bucket: 'films', key: 'a.mp4', options: { transcod: true } }],
    ['an option of another type', { bucket: 'films', key: 'a.mp4', options: { classId: '7' } }],
    ['an etag, which only events name', { bucket: 'films', key: 'a.mp4', etag: 'e' }],
    ['a message that is a list', sqsOf('[]')],
    ['a message within a message', sqsOf(JSON.stringify(sqsOf('{}')))],
  ])('%s', (_, value) => {
    expect(() => readAll(value)).toThrow(InvalidInput);
  });

  test('the message shows what came, cut short', () => {
    expect(() => readAll({ ['x'.repeat(1000)]: 1 })).toThrow(
      /^the event: expected .*; got an object with \["x{100,118}…$/,
    );
  });
});

describe('a refused message of a queue is named', () => {
  const deep = 20_000; // as deep as a message of 256 KiB may well be, and too deep for JSON.stringify

  test.each([
    ['no JSON', 'not JSON'],
    ['an empty body', ''],
    ['nothing', 'null'],
    ['an unknown shape', '{"order": 42}'],
    ['lists in lists, without end', '['.repeat(deep) + ']'.repeat(deep)],
    ['another version', JSON.stringify(created('3.0'))],
    ['no key', JSON.stringify(created('2.1', { key: 7 }))],
    ['a key that is not form-encoded', JSON.stringify(created('2.1', { key: '100%.mp4' }))],
    ['an empty key', JSON.stringify(created('2.1', { key: '' }))],
    ['another source', '{"detail-type": "Object Created", "source": "aws.ec2", "detail": {}}'],
    ['a misspelt field', '{"bucket": "b", "key": "k", "verionId": "v"}'],
    [
      'what SNS passed on is no JSON',
      '{"Type": "Notification", "TopicArn": "arn:aws:sns", "Message": "hello"}',
    ],
  ])('%s', (_, body) => {
    const [message] = messagesOf({ Records: [{ eventSource: 'aws:sqs', messageId: 'm-17', body }] });
    expect(() => message?.parseObjects()).toThrow(InvalidInput);
    expect(() => message?.parseObjects()).toThrow(/message m-17/);
  });
});

describe('keys', () => {
  /** As S3 encodes them: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
  const formEncoded = (key: string): string =>
    new URLSearchParams({ key }).toString().slice('key='.length).replaceAll('%2F', '/');

  const anyKey = fc.string({ unit: 'binary', minLength: 1, maxLength: 100 });

  test('any goes through the form encoding of a notification', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const notification = JSON.parse(JSON.stringify(event('s3-put')));
        notification.Records[0].s3.object.key = formEncoded(key);
        expect(readAll(notification)[0]?.request.key).toBe(key);
      }),
    );
  });

  test.each(['\ud800', 'film \udc00.mp4'])('%j, half a character, is no key of S3', (key) => {
    const told = JSON.parse(JSON.stringify(event('eventbridge-put')));
    told.detail.object.key = key;
    expect(() => readAll(told)).toThrow(InvalidInput);
    expect(() => readAll({ bucket: 'b', key })).toThrow(InvalidInput);
  });

  test('a bucket with a slash in it is none', () => {
    expect(() => readAll({ bucket: 'films/2026', key: 'a.mp4' })).toThrow(
      /bucket: Expected a bucket, without a slash/,
    );
  });

  test('a long key that is not form-encoded is not repeated in full', () => {
    const told = JSON.parse(JSON.stringify(event('s3-put')));
    told.Records[0].s3.object.key = `%${'x'.repeat(10_000)}`;
    expect(() => readAll(told)).toThrow(/^.{1,300}$/);
  });

  test('any goes through EventBridge and a console as it is', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const told = JSON.parse(JSON.stringify(event('eventbridge-put')));
        told.detail.object.key = key;
        expect(readAll(told)[0]?.request.key).toBe(key);
        expect(readAll({ bucket: 'b', key })[0]?.request.key).toBe(key);
      }),
    );
  });
});

describe('whatever comes', () => {
  const fixtures = Object.keys(EXPECTED).map(event);
  /** A known event with one of its values replaced. */
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

  const inQueue = (body: unknown) => ({
    Records: [{ eventSource: 'aws:sqs', messageId: 'm', body: JSON.stringify(body) }],
  });

  test('is a list of well-formed requests or an InvalidInput, also in a queue', () => {
    const anything = fc.oneof(fc.jsonValue(), nearlyRight);
    fc.assert(
      fc.property(fc.oneof(anything, anything.map(inQueue)), (value) => {
        try {
          for (const { request, dedupeKey } of readAll(value)) {
            expect(v.parse(UploadRequest, request)).toEqual(request);
            expect(typeof dedupeKey).toBe('string');
          }
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidInput);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    '{"__proto__": {"bucket": "films", "key": "a.mp4"}}',
    '{"bucket": "films", "__proto__": {"key": "a.mp4"}}',
    '{"__proto__": {"Records": []}}',
  ])('inherits nothing from __proto__: %s', (json) => {
    expect(() => readAll(JSON.parse(json))).toThrow(InvalidInput);
  });

  test('changes no prototype, and no option comes of one', () => {
    const asked = JSON.parse('{"bucket": "b", "key": "a.mp4", "options": {"__proto__": {"classId": 1}}}');
    expect(() => readAll(asked)).toThrow('options.__proto__');
    expect('classId' in {}).toBe(false);
  });
});
