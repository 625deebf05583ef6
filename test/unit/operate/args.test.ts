import { expect, test } from 'vitest';
import { readBackfill, readInvoke, readRedrive, readReplay } from '../../../operate/args.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const HOUR = 3_600_000;
const DEV = { stack: 's3-vod-dev', region: undefined };

const replay = (argv: string[]) => readReplay(argv, NOW);
const redrive = (argv: string[]) => readRedrive(argv, NOW);

test('the stack options select a deployed stack or a local one', () => {
  const parse = (...argv: string[]) => readRedrive(argv, NOW);
  expect(parse()).toMatchObject({ target: DEV });
  expect(parse('--stage', 'prod', '--region', 'eu-central-1')).toMatchObject({
    target: { stack: 's3-vod-prod', region: 'eu-central-1' },
  });
  expect(parse('--stack', 'films')).toMatchObject({ target: { stack: 'films', region: undefined } });
  expect(parse('--local')).toMatchObject({ target: { local: '.local' } });
  expect(parse('--local', '--data', 'd')).toMatchObject({ target: { local: 'd' } });
});

test('invoke reads the object and its options', () => {
  expect(readInvoke(['s3://films/a b+c.mp4'])).toEqual({
    target: DEV,
    request: { bucket: 'films', key: 'a b+c.mp4' },
    detach: false,
  });
  const options = ['--version-id', 'v1', '--options', '{"classId": 3}', '--force', '--detach'];
  expect(readInvoke(['s3://films/a', ...options])).toEqual({
    target: DEV,
    request: { bucket: 'films', key: 'a', versionId: 'v1', options: { classId: 3 }, force: true },
    detach: true,
  });
});

test.each([
  ['2h', NOW - 2 * HOUR],
  ['90m', NOW - 1.5 * HOUR],
  ['45s', NOW - 45_000],
  ['3d', NOW - 72 * HOUR],
  ['2026-11-20', Date.parse('2026-11-20T00:00:00Z')],
  ['2026-11-21T11:30:00Z', NOW - HOUR / 2],
  ['2026-11-21T12:30+01:00', NOW - HOUR / 2],
  ['2026-11-21T11:59:59.250Z', NOW - 750],
  ['2024-02-29', Date.parse('2024-02-29T00:00:00Z')],
])('replay accepts --from %s', (from, time) => {
  expect(replay(['--from', from])).toEqual({
    target: DEV,
    from: time,
    to: NOW,
    name: 's3-vod-2026-11-21T12-00-00-000Z',
  });
});

test('redrive and backfill read their options and defaults', () => {
  expect(redrive([])).toEqual({
    target: DEV,
    since: NOW - 14 * 24 * HOUR,
    perMinute: 60,
    dryRun: false,
  });
  expect(redrive(['--since', '1h', '--per-minute', '5', '--dry-run'])).toEqual({
    target: DEV,
    since: NOW - HOUR,
    perMinute: 5,
    dryRun: true,
  });
  const defaults = { target: DEV, perMinute: 60, restart: false, dryRun: false };
  expect(readBackfill(['s3://films'])).toEqual({ ...defaults, bucket: 'films', prefix: '' });
  expect(readBackfill(['s3://films/2026/', '--per-minute', '7', '--restart', '--dry-run'])).toEqual({
    ...{ target: DEV, bucket: 'films', prefix: '2026/', perMinute: 7, restart: true, dryRun: true },
  });
});

test.each([readInvoke, replay, redrive, readBackfill])('%o returns help for --help', (read) => {
  expect(read(['--help'])).toBe('help');
});

test.each([
  [readInvoke, [], /^expected s3:\/\/bucket\/key, got no argument\. Run npm run invoke -- --help/],
  [readInvoke, ['s3://films'], /^s3:\/\/films: expected s3:\/\/bucket\/key$/],
  [readInvoke, ['s3://films/'], /^s3:\/\/films\/: expected s3:\/\/bucket\/key$/],
  [readInvoke, ['film.mp4'], /^film\.mp4: expected s3:\/\/bucket\/key$/],
  [readInvoke, ['s3://b/k', 's3://b/l'], /^s3:\/\/b\/l: expected one s3:\/\/bucket\/key, got more$/],
  [readInvoke, ['s3://b/k', '--options', '{classId: 3}'], /^--options \{classId: 3\}: expected JSON$/],
  [readInvoke, ['s3://b/k', '--wat'], /--wat.*npm run invoke -- --help/],
  [
    readInvoke,
    ['s3://b/k', '--local', '--stage', 'a'],
    /^--stage a: expected no deployed stack with --local/,
  ],
  [readInvoke, ['s3://b/k', '--data', 'd'], /^--data d: expected --local/],
  [readInvoke, ['s3://b/k', '--stack', 'a', '--stage', 'b'], /^--stack and --stage/],
  [readInvoke, ['s3://b/k', '--stage', ''], /^--stage: expected a name, got an empty one$/],
  [replay, [], /^--from T is missing\. Run npm run replay -- --help/],
  [replay, ['--from', 'yesterday'], /^--from yesterday: expected a time such as /],
  [replay, ['--from', '2026-02-31'], /^--from 2026-02-31: expected a time/],
  [replay, ['--from', '2026-11-21T25:00:00Z'], /^--from 2026-11-21T25:00:00Z: expected a time/],
  [replay, ['--from', '2026-11-22'], /^--from 2026-11-22: expected a time in the past$/],
  [replay, ['--from', '2h', '--to', '2026-11-22'], /^--to 2026-11-22: expected a time in the past$/],
  [
    replay,
    ['--from', '1h', '--to', '2h'],
    /^--from 2026-11-21T11.+: expected a time before --to 2026-11-21T10/,
  ],
  [replay, ['--from', '1h', '--to', '1h'], /expected a time before/],
  [replay, ['--from', '1h', '--name', 'a b'], /^--name a b: expected 1 to 64/],
  [replay, ['--from', '1h', 'all'], /^all: expected only options\./],
  [redrive, ['--since', '1w'], /^--since 1w: expected a time/],
  [readBackfill, ['s3://b', '--per-minute', '0'], /^--per-minute 0: expected an integer from 1 to 60000$/],
  [readBackfill, ['films'], /^films: expected s3:\/\/bucket\/prefix$/],
])('%o rejects %j with one line that names the problem', (read, argv, message) => {
  expect(() => read(argv)).toThrow(
    expect.objectContaining({ name: 'UsageError', message: expect.stringMatching(message) }),
  );
  expect(() => read(argv)).toThrow(/^[^\n]*$/);
});
