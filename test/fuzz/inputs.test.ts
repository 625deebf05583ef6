import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import { expect, test } from 'vitest';
import { formatError, UsageError } from '../../cli/errors.ts';
import { triggerSettings, uploadSettings, vodSecrets } from '../../lib/config.ts';
import { InvalidInput, InvalidSetting } from '../../lib/errors.ts';
import {
  FinishInput,
  InitInput,
  ManualRequest,
  PartInput,
  parse,
  UploadOptions,
  UploadRequest,
} from '../../lib/schemas.ts';
import { messagesOf } from '../../lib/trigger/events.ts';
import { executionName } from '../../lib/trigger/executions.ts';
import { cleanFileName, mediaTypeOf } from '../../lib/upload/media-type.ts';
import { decodeBatch, encodeBatch, groupForReading, partRange, planBatches } from '../../lib/upload/plan.ts';
import {
  mergeOptions,
  optionsFromEnvironment,
  optionsFromMetadata,
} from '../../lib/upload/upload-options.ts';
import { readArguments } from '../../local/cli/args.ts';
import { assertAlways, attempt, SECRET } from './invariants.ts';
import { corrupt, hostileText, jsonValue, mutate, words } from './values.ts';

const isInvalidInput = (error: Error): boolean => error instanceof InvalidInput;

const folder = join(import.meta.dirname, '../support/events');
const events: unknown[] = readdirSync(folder).map((name) =>
  JSON.parse(readFileSync(join(folder, name), 'utf8')),
);

test('parses events to valid requests, or rejects the wrong message alone', async () => {
  await assertAlways(fc.oneof(mutate(events), jsonValue), 400, async (event) => {
    for (const { parseObjects } of messagesOf(event)) {
      const objects = await attempt(parseObjects, isInvalidInput);
      if ('error' in objects) continue;
      for (const { request, dedupeKey } of objects.value) {
        expect(v.parse(UploadRequest, request)).toEqual(request);
        expect(executionName(request, dedupeKey)).toMatch(/^[A-Za-z0-9_-]{1,80}$/);
      }
    }
  });
});

const manual = {
  bucket: 'b',
  key: 'k.mp4',
  versionId: 'v',
  options: { classId: 1, tags: ['a'], transcode: true, fileName: 'n' },
};

test('parses a manual request or rejects it', async () => {
  await assertAlways(fc.oneof(mutate([manual]), jsonValue), 400, async (input) => {
    const request = await attempt(() => parse(ManualRequest, input, 'the input'), isInvalidInput);
    if ('error' in request) return;
    const { bucket, key } = request.value;
    expect(encodeURIComponent(`${bucket}/${key}`)).not.toBe('');
    expect(mergeOptions({}, request.value.options)).toEqual(request.value.options ?? {});
  });
});

const ENTRIES = words(`
  vod-class-id vod-tags vod-transcode vod-screenshot vod-watermark vod-file-name
`);
const VALID_TEXTS = [
  '1',
  '0',
  'TRUE',
  'false',
  '42',
  'a, b,',
  '%E7%89%87',
  '=?UTF-8?B?54mH?= =?UTF-8?Q?=E7_x?=',
  '100 %',
];

test('parses metadata to options that VOD accepts, or rejects it', async () => {
  const values = fc.oneof(hostileText, corrupt(fc.constantFrom(...VALID_TEXTS)));
  const metadata = fc
    .array(fc.tuple(fc.oneof(fc.constantFrom(...ENTRIES), hostileText), values))
    .map(Object.fromEntries);
  await assertAlways(metadata, 400, async (entries) => {
    const options = await attempt(() => optionsFromMetadata(entries, 's3://b/k'), isInvalidInput);
    if ('error' in options) return;
    expect(v.parse(UploadOptions, options.value)).toEqual(options.value);
    const { fileName } = options.value;
    if (fileName !== undefined) expectName(cleanFileName(fileName));
  });
});

/** Asserts the rules of `fileName` in InitUpload. */
function expectName(name: string): void {
  expect(Buffer.byteLength(name)).toBeGreaterThan(0);
  expect(Buffer.byteLength(name)).toBeLessThanOrEqual(40);
  expect(name).not.toMatch(/[\\/:*?"<>|\p{Cc}]/u);
  expect(name.isWellFormed()).toBe(true);
}

test('derives a name and a type that VOD accepts from any key and content type', async () => {
  const keys = fc
    .tuple(hostileText, fc.constantFrom('', '.mp4', '.JPG', '.', '..', '.constructor'))
    .map((parts) => parts.join(''));
  const types = fc.option(
    fc.oneof(hostileText, corrupt(fc.constantFrom('video/mp4', 'video/x-flv; a=b', 'image/png'))),
    { nil: undefined },
  );
  await assertAlways(fc.tuple(keys, types), 400, ([key, type]) => {
    const media = mediaTypeOf(key, type);
    if (media.kind === 'other') return;
    expectName(media.fileName);
    expect(media.fileType).toMatch(/^[a-z0-9]{1,10}$/);
  });
});

const sha1 = 'a'.repeat(40);
const pin = { bucket: 'b', key: 'k.mp4', etag: 'e', size: 3_000_000 };
const upload = { sha1, size: 3_000_000, partSize: 1_048_576 };
const sent = { parts: 0, bytes: 0 };
const jobState = { request: { bucket: 'b', key: 'k.mp4' }, execution: 'x', round: 0, sent };
const gap = encodeBatch([0, 2]);

test('parses the state between steps to a usable input, or rejects it', async () => {
  const part = { pin, upload, batch: gap, sent };
  const whole = { pin, upload, batch: encodeBatch([0, 1, 2]), sent };
  await assertAlways(fc.oneof(mutate([part, whole]), jsonValue), 400, async (state) => {
    const parts = await attempt(() => {
      const input = parse(PartInput, state, 'the input of part');
      return { input, parts: decodeBatch(input.batch) };
    }, isInvalidInput);
    if ('error' in parts) return;
    for (const number of [parts.value.parts[0], parts.value.parts.at(-1)]) {
      const { offset, size } = partRange(number ?? -1, parts.value.input.upload);
      expect(offset).toBeGreaterThanOrEqual(0);
      expect(size).toBeGreaterThan(0);
    }
    expect(groupForReading(parts.value.parts, parts.value.input.upload, 2 ** 23).flat()).toEqual(
      parts.value.parts,
    );
  });
  const finish = {
    job: { ...jobState, pin, sha1, upload: { ...upload, batches: [gap] }, parts: [sent] },
    redrives: 0,
  };
  const init = { ...jobState, pin, hash: { offset: 0, state: '' }, sha1 };
  await assertAlways(fc.oneof(mutate([finish, init]), jsonValue), 400, async (state) => {
    for (const schema of [InitInput, FinishInput]) {
      await attempt(() => parse(schema, state, 'the input'), isInvalidInput);
    }
  });
});

test('decodes a batch to the parts that were encoded, or rejects it', async () => {
  const encoded = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('base64')),
    corrupt(fc.constant(gap.missing ?? '')),
    hostileText,
  );
  const batches = fc.record({
    first: fc.nat(),
    count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.maxSafeNat()),
    missing: fc.option(encoded, { nil: undefined }),
  });
  await assertAlways(batches, 400, async ({ missing, ...bounds }) => {
    const batch = { ...bounds, ...(missing !== undefined && { missing }) };
    const parts = await attempt(() => decodeBatch(batch), isInvalidInput);
    if ('value' in parts && parts.value.length > 0)
      expect(decodeBatch(encodeBatch(parts.value))).toEqual(parts.value);
  });
  await assertAlways(fc.uniqueArray(fc.nat(100_000), { minLength: 1, maxLength: 300 }), 200, (numbers) => {
    const missing = numbers.toSorted((a, b) => a - b);
    expect(planBatches(missing, 4).batches.flatMap(decodeBatch)).toEqual(missing);
  });
});

const ENVIRONMENT = {
  S3_ENDPOINT: 'http://127.0.0.1:9000',
  VOD_ENDPOINT: 'https://vod2.qcloud.com/v2/index.php',
  VOD_HOST: 'vod2.qcloud.com',
  VOD_REGION: 'gz',
  WRITE_BACK: 'tags',
  COPY_LIMIT_BYTES: '5368709120',
  QUOTA_TABLE: 'quota',
  QUOTA_CALLS_PER_MINUTE: '100',
  QUOTA_PARTS_PER_MINUTE: '10000',
  QUOTA_MINUTE_MS: '60000',
  VOD_CLASS_ID: '1',
  VOD_TAGS: 'a,b',
  VOD_TRANSCODE: '1',
  STATE_MACHINE_ARN: 'arn:aws:states:us-east-1:0:stateMachine:upload',
};

test('parses settings or rejects them without revealing a secret', async () => {
  const changes = fc.array(
    fc.tuple(
      fc.oneof(fc.constantFrom(...Object.keys(ENVIRONMENT)), hostileText),
      fc.oneof(hostileText, corrupt(fc.constantFrom(...Object.values(ENVIRONMENT)))),
    ),
    { maxLength: 3 },
  );
  const secrets = fc.record({
    VOD_SECRET_ID: fc.constantFrom('', 'id', SECRET),
    VOD_SECRET_KEY: fc.constantFrom('', SECRET),
    VOD_TOKEN: fc.constantFrom('', SECRET),
  });
  await assertAlways(fc.tuple(changes, secrets), 400, async ([changed, known]) => {
    const env: Record<string, string> = { ...ENVIRONMENT, ...Object.fromEntries(changed), ...known };
    const isTyped = (error: Error): boolean => error instanceof InvalidSetting;
    const settings = await attempt(() => uploadSettings(env), isTyped);
    if ('value' in settings) {
      const { vod, quota, defaults, writeBack } = settings.value;
      expect(vod.endpoint.protocol).toMatch(/^https?:$/);
      expect(vod.endpoint.pathname).not.toBe('/');
      for (const number of [
        quota.callsPerMinute,
        quota.partsPerMinute,
        quota.minuteMs,
        writeBack.maxCopyBytes,
      ])
        expect(Number.isSafeInteger(number)).toBe(true);
      expect(v.parse(UploadOptions, defaults)).toEqual(defaults);
    }
    await attempt(() => triggerSettings(env), isTyped);
    await attempt(() => optionsFromEnvironment(env), isTyped);
    await attempt(() => vodSecrets(env), isTyped);
  });
});

const WORDS = words(`
  --bucket --data --json --verbose --s3-port --vod-port --time-limit --help -- - -h --json=1 --bucket=
  --data= --__proto__ --constructor=1 --no-json s3:// s3://b/k s3://b/ film.mp4 0 65536 9e2
`);

test('parses a command line or rejects it in one line', async () => {
  await assertAlways(
    fc.array(fc.oneof(fc.constantFrom(...WORDS), hostileText), { maxLength: 6 }),
    2_000,
    async (argv) => {
      const args = await attempt(
        () => readArguments(argv),
        (error) => error instanceof UsageError,
      );
      if ('error' in args) {
        expect(formatError(args.error)).not.toMatch(/[\n\r\0]/);
        return;
      }
      if (args.value === 'help') return;
      expect(args.value.bucket).toMatch(/^[a-z0-9][a-z0-9.-]+[a-z0-9]$/);
      expect(args.value.data).not.toBe('');
      expect(args.value.timeLimitMs).toBeGreaterThanOrEqual(1_000);
    },
  );
});
