import { expect, test } from 'vitest';
import { readArguments } from '../../../local/cli/args.ts';

const DEFAULTS = {
  bucket: 'videos',
  data: '.local',
  json: false,
  packaged: false,
  verbose: false,
  s3Port: undefined,
  vodPort: undefined,
  timeLimitMs: 900_000,
  faults: undefined,
};

test('reads files and objects, with default options', () => {
  expect(readArguments(['a/b.mp4', 's3://films/2026/c d.mp4'])).toEqual({
    ...DEFAULTS,
    items: [{ path: 'a/b.mp4' }, { bucket: 'films', key: '2026/c d.mp4' }],
  });
  expect(readArguments([])).toEqual({ ...DEFAULTS, items: [] });
});

test('reads every option', () => {
  const options = '--bucket my-films --data d --json --packaged --verbose --s3-port 0 --vod-port 65535'.split(
    ' ',
  );
  expect(readArguments([...options, '--time-limit=3', '--faults', '2.5%', '--seed', '7'])).toEqual({
    ...{ items: [], bucket: 'my-films', data: 'd', json: true, packaged: true, verbose: true },
    ...{ s3Port: 0, vodPort: 65_535, timeLimitMs: 3_000, faults: { rate: 0.025, seed: 7 } },
  });
  expect(readArguments(['x', '--help'])).toBe('help');
});

test.each([
  [['--wat'], /--wat/],
  [['--bucket'], /--bucket/],
  [['--bucket', 'No'], /--bucket No/],
  [['--data='], /--data: expected a folder/],
  [['--time-limit', 'soon'], /--time-limit soon: expected an integer from 1 to 900/],
  [['--time-limit', '0'], /--time-limit 0/],
  [['--time-limit', '1e2'], /--time-limit 1e2/],
  [['--s3-port', '65536'], /--s3-port 65536/],
  [['--vod-port', '-1'], /--vod-port/],
  [['--faults', '5'], /--faults 5: expected a percentage/],
  [['--faults', '101%'], /--faults 101%/],
  [['--faults', '-1%'], /--faults/],
  [['--seed', '1'], /--seed 1: .*--faults/],
  [['--faults', '1%', '--seed', 'x'], /--seed x/],
  [['s3://bucket-only'], /s3:\/\/bucket-only: expected s3:\/\/bucket\/key/],
  [['s3:///key'], /expected s3:\/\/bucket\/key/],
  [['a/film.mp4', 'b/film.mp4'], /b\/film\.mp4: another file is also named film\.mp4/],
])('rejects %j with one line that names the problem', (argv, message) => {
  expect(() => readArguments(argv)).toThrow(
    expect.objectContaining({ name: 'UsageError', message: expect.stringMatching(message) }),
  );
  expect(() => readArguments(argv)).toThrow(/^[^\n]*$/);
});
