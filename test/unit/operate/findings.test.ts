import { describe, expect, test } from 'vitest';
import { uploadSettings } from '../../../lib/config.ts';
import type { Fact } from '../../../lib/s3/bucket-facts.ts';
import type { Facts } from '../../../operate/doctor/facts.ts';
import { findingsOf } from '../../../operate/doctor/findings.ts';

const known = <T>(value: T): Fact<T> => ({ value });
const settings = (env: Record<string, string>) => known(uploadSettings(env));

const HEALTHY: Facts = {
  stack: 's3-vod-dev',
  region: 'eu-central-1',
  settings: settings({}),
  keys: known(undefined),
  init: known(undefined),
  sample: 'film.mp4',
  encryption: known({ algorithm: 'AES256', keyId: undefined }),
  notifications: known({ eventBridge: true, onCopy: 0 }),
  rule: known({ name: 'created', state: 'ENABLED' }),
  mapping: known({ id: 'm', state: 'Enabled' }),
  concurrency: known(1000),
  clockOffsetMs: known(-900),
  connectMs: known(35.2),
  versioning: known({ isEnabled: false, expiresOldVersions: false }),
  retention: known(undefined),
  replication: known(0),
  storageClasses: known({ STANDARD: 7, DEEP_ARCHIVE: 1 }),
};
const failures = (changes: Partial<Facts>) =>
  findingsOf({ ...HEALTHY, ...changes }).flatMap(({ check, ok, message }) => (ok ? [] : [[check, message]]));

test('a healthy stack has one line for each check and no failure', () => {
  const findings = findingsOf(HEALTHY);
  expect(findings.map(({ check }) => check)).toEqual([
    ...[
      'settings',
      'keys',
      'functions',
      'kms',
      'events',
      'rule',
      'trigger',
      'concurrency',
      'clock',
      'distance',
    ],
    ...['versioning', 'object lock', 'replication', 'notifications', 'storage classes'],
  ]);
  for (const { ok, message } of findings) {
    expect({ ok, message }).toEqual({ ok: true, message: expect.stringMatching(/^[^\n]+$/) });
  }
});

test.each<[string, Partial<Facts>, RegExp]>([
  [
    'keys',
    { keys: known('code -10002 (Signature: does not match)') },
    /rejects the keys: code -10002 .*Store/,
  ],
  [
    'functions',
    { init: known('InvalidSetting: parameter /a: got none.') },
    /^Init fails: InvalidSetting.*errors\.md/,
  ],
  ['events', { notifications: known({ eventBridge: false, onCopy: 0 }) }, /npm run enable-events/],
  [
    'rule',
    { rule: known({ name: 'r', state: 'DISABLED' }) },
    /got DISABLED\. Run aws events enable-rule --name r\.$/,
  ],
  ['trigger', { mapping: known({ id: 'm', state: 'Disabled' }) }, /--uuid m --enabled\.$/],
  ['trigger', { mapping: known(undefined) }, /no event source mapping\. Deploy again\.$/],
  [
    'concurrency',
    { concurrency: known(10) },
    /expected 1000 .* has 10\. Deploy with --param="maxFunctions=10"/,
  ],
  ['clock', { clockOffsetMs: known(61_000) }, /61 s ahead of the clock of S3/],
  ['clock', { clockOffsetMs: known(-3_600_000) }, /3600 s behind/],
  ['distance', { connectMs: known(251) }, /251 ms from here\. Measure from eu-central-1 .* nearer/],
  [
    'versioning',
    { versioning: known({ isEnabled: true, expiresOldVersions: false }) },
    /second version.*writeBack=auto/,
  ],
  [
    'object lock',
    { retention: known('GOVERNANCE 30 days') },
    /locked \(GOVERNANCE 30 days\).*writeBack=auto/,
  ],
  ['replication', { replication: known(2) }, /2 replication rules transfer each video again.*writeBack=auto/],
  [
    'notifications',
    { notifications: known({ eventBridge: true, onCopy: 3 }) },
    /3 other destinations.*writeBack=auto/,
  ],
  [
    'storage classes',
    { storageClasses: known({ STANDARD: 1, STANDARD_IA: 2 }) },
    /of 3 objects: .*retrieval/,
  ],
])('%s fails for %j and says what to do', (check, changes, message) => {
  expect(failures(changes)).toEqual([[check, expect.stringMatching(message)]]);
});

test('old versions that a lifecycle rule deletes, and a maxFunctions that fits a low limit, are no failures', () => {
  expect(failures({ versioning: known({ isEnabled: true, expiresOldVersions: true }) })).toEqual([]);
  expect(failures({ concurrency: known(10), settings: settings({ MAX_FUNCTIONS: '10' }) })).toEqual([]);
});

test('only writeBack=metadata rewrites objects, whatever the bucket does with new versions', () => {
  const expensive: Partial<Facts> = {
    versioning: known({ isEnabled: true, expiresOldVersions: false }),
    retention: known('COMPLIANCE 1 years'),
    replication: known(1),
    notifications: known({ eventBridge: true, onCopy: 1 }),
    storageClasses: known({ GLACIER_IR: 9 }),
  };
  expect(failures(expensive)).toHaveLength(5);
  for (const WRITE_BACK of ['tags', 'annotation', 'auto'])
    expect(failures({ ...expensive, settings: settings({ WRITE_BACK }) })).toEqual([]);
  const findings = findingsOf({ ...HEALTHY, ...expensive, settings: settings({ WRITE_BACK: 'auto' }) });
  for (const { message } of findings.slice(-5)) expect(message).toMatch(/so auto chooses annotations$/);
});

test('an unknown fact fails its check with the reason', () => {
  const unknown = { unknown: 'expected the permission s3:GetBucketVersioning, got AccessDenied. Allow it.' };
  expect(failures({ versioning: unknown })).toEqual([['versioning', unknown.unknown]]);
  expect(failures({ settings: unknown }).map(([check]) => check)).toEqual(['settings', 'concurrency']);
});

describe('kms', () => {
  const key = { encryption: known({ algorithm: 'aws:kms', keyId: 'arn:key' }) };

  test('passes if Init reads an object of the bucket, or if there is none', () => {
    expect(failures(key)).toEqual([]);
    expect(failures({ ...key, sample: undefined })).toEqual([]);
  });

  test('fails if Init cannot read an object', () => {
    expect(failures({ ...key, init: known('StorageRejected: 403') })).toEqual([
      ['functions', expect.stringContaining('StorageRejected')],
      ['kms', expect.stringMatching(/encrypted with arn:key.*kms:Decrypt.*bucketKey/)],
    ]);
  });
});
