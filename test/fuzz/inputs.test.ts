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
import { admitted, always, DOOR_MS, SECRET } from './invariants.ts';
import { json, mutated, nasty, spoilt } from './values.ts';

/** What comes in as JSON, text, and settings; see `law.ts`. */

const folder = join(import.meta.dirname, '../support/events');
const events: unknown[] = readdirSync(folder).map((name) =>
  JSON.parse(readFileSync(join(folder, name), 'utf8')),
);

test(
  'events: requests that the steps take, or InvalidInput for the message that is wrong, alone',
  async () => {
    await always(fc.oneof(mutated(events), json), 400, async (event) => {
      for (const { parseObjects: read } of messagesOf(event)) {
        const announcements = await admitted(read, (error) => error instanceof InvalidInput);
        if ('refused' in announcements) continue;
        for (const { request, dedupeKey } of announcements.value) {
          expect(v.parse(UploadRequest, request)).toEqual(request);
          expect(executionName(request, dedupeKey)).toMatch(/^[A-Za-z0-9._-]{1,80}$/);
        }
      }
    });
  },
  DOOR_MS,
);

const manual = {
  bucket: 'b',
  key: 'k.mp4',
  versionId: 'v',
  options: { classId: 1, tags: ['a'], transcode: true, fileName: 'n' },
};

test(
  'what a person types into a console: a request, or InvalidInput',
  async () => {
    await always(fc.oneof(mutated([manual]), json), 400, async (input) => {
      const request = await admitted(
        () => parse(ManualRequest, input, 'the input'),
        (error) => error instanceof InvalidInput,
      );
      if ('refused' in request) return;
      const { bucket, key } = request.value;
      expect(encodeURIComponent(`${bucket}/${key}`)).not.toBe('');
      expect(mergeOptions({}, request.value.options)).toEqual(request.value.options ?? {});
    });
  },
  DOOR_MS,
);

const ENTRIES = [
  'vod-class-id',
  'vod-tags',
  'vod-transcode',
  'vod-screenshot',
  'vod-watermark',
  'vod-file-name',
];
const GOOD_TEXT = [
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

test(
  'metadata values: options that VOD takes, or InvalidInput',
  async () => {
    const values = fc.oneof(nasty, spoilt(fc.constantFrom(...GOOD_TEXT)));
    const metadata = fc
      .array(fc.tuple(fc.oneof(fc.constantFrom(...ENTRIES), nasty), values))
      .map(Object.fromEntries);
    await always(metadata, 400, async (entries) => {
      const options = await admitted(
        () => optionsFromMetadata(entries, 's3://b/k'),
        (error) => error instanceof InvalidInput,
      );
      if ('refused' in options) return;
      expect(v.parse(UploadOptions, options.value)).toEqual(options.value);
      const { fileName } = options.value;
      if (fileName !== undefined) expectName(cleanFileName(fileName));
    });
  },
  DOOR_MS,
);

/** By the rules of `fileName` in InitUpload. */
function expectName(name: string): void {
  expect(Buffer.byteLength(name)).toBeGreaterThan(0);
  expect(Buffer.byteLength(name)).toBeLessThanOrEqual(40);
  expect(name).not.toMatch(/[\\/:*?"<>|\p{Cc}]/u);
  expect(name.isWellFormed()).toBe(true);
}

test(
  'keys and content types: a name and a type that VOD takes, or why it is no video',
  async () => {
    const suffixed = fc
      .tuple(nasty, fc.constantFrom('', '.mp4', '.JPG', '.', '..', '.constructor'))
      .map((parts) => parts.join(''));
    const types = fc.option(
      fc.oneof(nasty, spoilt(fc.constantFrom('video/mp4', 'video/x-flv; a=b', 'image/png'))),
      { nil: undefined },
    );
    await always(fc.tuple(suffixed, types), 400, ([key, type]) => {
      const media = mediaTypeOf(key, type);
      if (media.kind === 'other') return;
      expectName(media.fileName);
      expect(media.fileType).toMatch(/^[a-z0-9]{1,10}$/);
    });
  },
  DOOR_MS,
);

const sha1 = 'a'.repeat(40);
const pin = { bucket: 'b', key: 'k.mp4', etag: 'e', size: 3_000_000 };
const upload = { sha1, size: 3_000_000, partSize: 1_048_576 };
const sent = { parts: 0, bytes: 0 };
const journey = { request: { bucket: 'b', key: 'k.mp4' }, execution: 'x', round: 0, sent };
const gap = encodeBatch([0, 2]);

test(
  'the state between steps: what the step can work with, or InvalidInput',
  async () => {
    const part = { pin, upload, batch: gap, sent };
    const whole = { pin, upload, batch: encodeBatch([0, 1, 2]), sent };
    await always(fc.oneof(mutated([part, whole]), json), 400, async (state) => {
      const parts = await admitted(
        () => {
          const input = parse(PartInput, state, 'the input of part');
          return { input, parts: decodeBatch(input.batch) };
        },
        (error) => error instanceof InvalidInput,
      );
      if ('refused' in parts) return;
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
      job: { ...journey, pin, sha1, upload: { ...upload, batches: [gap] }, parts: [sent] },
      redrives: 0,
    };
    const init = { ...journey, pin, hash: { offset: 0, state: '' }, sha1 };
    await always(fc.oneof(mutated([finish, init]), json), 400, async (state) => {
      for (const schema of [InitInput, FinishInput]) {
        await admitted(
          () => parse(schema, state, 'the input'),
          (error) => error instanceof InvalidInput,
        );
      }
    });
  },
  DOOR_MS,
);

test(
  'lists of missing parts: read back as they were packed, or InvalidInput',
  async () => {
    const packed = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('base64')),
      spoilt(fc.constant(gap.missing ?? '')),
      nasty,
    );
    const batches = fc.record({
      first: fc.nat(),
      count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.maxSafeNat()),
      missing: fc.option(packed, { nil: undefined }),
    });
    await always(batches, 400, async ({ missing, ...bounds }) => {
      const batch = { ...bounds, ...(missing !== undefined && { missing }) };
      const parts = await admitted(
        () => decodeBatch(batch),
        (error) => error instanceof InvalidInput,
      );
      if ('value' in parts && parts.value.length > 0)
        expect(decodeBatch(encodeBatch(parts.value))).toEqual(parts.value);
    });
    await always(fc.uniqueArray(fc.nat(100_000), { minLength: 1, maxLength: 300 }), 200, (numbers) => {
      const missing = numbers.toSorted((a, b) => a - b);
      expect(planBatches(missing).batches.flatMap(decodeBatch)).toEqual(missing);
    });
  },
  DOOR_MS,
);

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

test(
  'settings: what they say, or InvalidSetting; never a secret in it',
  async () => {
    const changes = fc.array(
      fc.tuple(
        fc.oneof(fc.constantFrom(...Object.keys(ENVIRONMENT)), nasty),
        fc.oneof(nasty, spoilt(fc.constantFrom(...Object.values(ENVIRONMENT)))),
      ),
      { maxLength: 3 },
    );
    const secrets = fc.record({
      VOD_SECRET_ID: fc.constantFrom('', 'id', SECRET),
      VOD_SECRET_KEY: fc.constantFrom('', SECRET),
      VOD_TOKEN: fc.constantFrom('', SECRET),
    });
    await always(fc.tuple(changes, secrets), 400, async ([changed, known]) => {
      const env: Record<string, string> = { ...ENVIRONMENT, ...Object.fromEntries(changed), ...known };
      const isTyped = (error: Error): boolean => error instanceof InvalidSetting;
      const settings = await admitted(() => uploadSettings(env), isTyped);
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
      await admitted(() => triggerSettings(env), isTyped);
      await admitted(
        () => optionsFromEnvironment(env),
        (error) => error instanceof InvalidInput,
      );
      await admitted(() => vodSecrets(env), isTyped);
    });
  },
  DOOR_MS,
);

const WORDS = [
  '--bucket',
  '--data',
  '--json',
  '--verbose',
  '--s3-port',
  '--vod-port',
  '--time-limit',
  '--help',
  '--',
  '-',
  '-h',
  '--json=1',
  '--bucket=',
  '--data=',
  '--__proto__',
  '--constructor=1',
  '--no-json',
  's3://',
  's3://b/k',
  's3://b/',
  'film.mp4',
  '0',
  '65536',
  '9e2',
];

test(
  'the command line: what to do, or one line that says what is wrong',
  async () => {
    await always(
      fc.array(fc.oneof(fc.constantFrom(...WORDS), nasty), { maxLength: 6 }),
      2_000,
      async (argv) => {
        const given = await admitted(
          () => readArguments(argv),
          (error) => error instanceof UsageError,
        );
        if ('refused' in given) {
          expect(formatError(given.refused)).not.toMatch(/[\n\r\0]/);
          return;
        }
        if (given.value === 'help') return;
        expect(given.value.bucket).toMatch(/^[a-z0-9][a-z0-9.-]+[a-z0-9]$/);
        expect(given.value.data).not.toBe('');
        expect(given.value.timeLimitMs).toBeGreaterThanOrEqual(1_000);
      },
    );
  },
  DOOR_MS,
);
